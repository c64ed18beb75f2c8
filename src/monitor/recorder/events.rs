//! The recorder's events, and which of them share a transaction.

use crate::clock::Moment;
use crate::monitor::history::rows::PastSample;
use crate::monitor::incidents::sweep::SweepSettings;
use crate::monitor::machine::MachineId;
use crate::monitor::store::StoreError;
use crate::ticker::Ticker;
use crossbeam_channel::Receiver;
use std::fmt;

/// Everything that wakes the recorder.
#[derive(Debug)]
pub struct RecorderInbox {
    pub orders: Receiver<RecorderEvent>,
    /// Each [`FLUSH`](super::FLUSH).
    pub flush: Ticker,
    /// Each check interval.
    pub sweep: Ticker,
}

/// Everything that can reach the recorder.
pub enum RecorderEvent {
    /// A machine that was not online has sent a beat.
    Back { machine: MachineId, seen: Moment },
    /// A machine has announced that it is being stopped.
    Shutdown { machine: MachineId, seen: Moment },
    /// Conditions of a machine have begun or ended.
    Conditions { machine: MachineId },
    /// Replays of a machine; `stored` is called when they are durable, or cannot be stored.
    Replays { past: Vec<PastSample>, stored: OnStored },
    /// This process has changed machines or tokens; `loaded` is called when every thread has the change.
    Registry { loaded: OnStored },
    /// A machine's request could not be decoded; the log line has the machine's name.
    Undecodable { machine: MachineId, reason: String },
    /// A changed configuration.
    Settings(SweepSettings),
}

/// Called once with the result, on the recorder's thread: it must not block.
pub type OnStored = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

impl fmt::Debug for RecorderEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecorderEvent::Back { machine, seen } => write!(f, "Back({machine:?}, {seen:?})"),
            RecorderEvent::Shutdown { machine, seen } => write!(f, "Shutdown({machine:?}, {seen:?})"),
            RecorderEvent::Conditions { machine } => write!(f, "Conditions({machine:?})"),
            RecorderEvent::Replays { past, .. } => write!(f, "Replays({})", past.len()),
            RecorderEvent::Registry { .. } => f.write_str("Registry"),
            RecorderEvent::Undecodable { machine, reason } => write!(f, "Undecodable({machine:?}, {reason})"),
            RecorderEvent::Settings(settings) => write!(f, "{settings:?}"),
        }
    }
}

/// Events that share a transaction.
#[derive(Default)]
pub(super) struct Gathered {
    pub back: Vec<(MachineId, Moment)>,
    pub conditions: Vec<MachineId>,
    pub shutdowns: Vec<(MachineId, Moment)>,
    pub past: Vec<PastSample>,
    pub stored: Vec<OnStored>,
}

impl Gathered {
    /// Whether `event` may share the transaction without changing the result: a machine that returns after a shutdown
    /// heartbeat is not stopped.
    pub fn accepts(&self, event: &RecorderEvent) -> bool {
        match event {
            RecorderEvent::Back { .. } | RecorderEvent::Conditions { .. } => self.shutdowns.is_empty(),
            RecorderEvent::Shutdown { .. } => self.back.is_empty() && self.conditions.is_empty(),
            RecorderEvent::Replays { .. } | RecorderEvent::Undecodable { .. } => true,
            RecorderEvent::Registry { .. } | RecorderEvent::Settings(_) => {
                self.back.is_empty() && self.conditions.is_empty() && self.shutdowns.is_empty()
            }
        }
    }
}
