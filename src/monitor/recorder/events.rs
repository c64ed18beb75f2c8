//! What the recorder is told to do, and what of it is done together.

use crate::clock::Moment;
use crate::monitor::history::rows::PastSample;
use crate::monitor::incidents::sweep::SweepSettings;
use crate::monitor::machine::MachineId;
use crate::monitor::store::StoreError;
use std::fmt;

/// All that can reach the recorder.
pub enum RecorderEvent {
    /// A machine that was away has been heard of.
    Back { machine: MachineId, seen: Moment },
    /// A machine says that it is being stopped.
    Farewell { machine: MachineId, seen: Moment },
    /// What a machine says of the past; `stored` is told when that is durable, or cannot be.
    Replays { past: Vec<PastSample>, stored: OnStored },
    /// This process has changed machines or tokens; `loaded` is told when every thread knows.
    Registry { loaded: OnStored },
    /// A machine's request could not be decoded, which is to be logged under the machine's name.
    Undecodable { machine: MachineId, reason: String },
    /// Another configuration.
    Settings(SweepSettings),
}

/// Told once whether it is stored. Called on the recorder's thread: it must not wait for anything.
pub type OnStored = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

impl fmt::Debug for RecorderEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecorderEvent::Back { machine, seen } => write!(f, "Back({machine:?}, {seen:?})"),
            RecorderEvent::Farewell { machine, seen } => write!(f, "Farewell({machine:?}, {seen:?})"),
            RecorderEvent::Replays { past, .. } => write!(f, "Replays({})", past.len()),
            RecorderEvent::Registry { .. } => f.write_str("Registry"),
            RecorderEvent::Undecodable { machine, reason } => write!(f, "Undecodable({machine:?}, {reason})"),
            RecorderEvent::Settings(settings) => write!(f, "{settings:?}"),
        }
    }
}

/// Orders that are carried out together.
#[derive(Default)]
pub(super) struct Gathered {
    pub back: Vec<(MachineId, Moment)>,
    pub farewells: Vec<(MachineId, Moment)>,
    pub past: Vec<PastSample>,
    pub stored: Vec<OnStored>,
}

impl Gathered {
    /// Whether `order` may join without changing what comes of it: who comes back after a farewell is not stopped.
    pub fn takes(&self, order: &RecorderEvent) -> bool {
        match order {
            RecorderEvent::Back { .. } => self.farewells.is_empty(),
            RecorderEvent::Farewell { .. } => self.back.is_empty(),
            RecorderEvent::Replays { .. } | RecorderEvent::Undecodable { .. } => true,
            RecorderEvent::Registry { .. } | RecorderEvent::Settings(_) => {
                self.back.is_empty() && self.farewells.is_empty()
            }
        }
    }
}
