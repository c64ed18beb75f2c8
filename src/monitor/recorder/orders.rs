//! What the recorder is told to do, and what of it is done together.

use crate::clock::Moment;
use crate::monitor::detect::Settings;
use crate::monitor::store::{MachineId, Past, StoreError};
use std::fmt;

/// All that can reach the recorder.
pub enum Order {
    /// A machine that was away has been heard of.
    Back { machine: MachineId, seen: Moment },
    /// A machine says that it is being stopped.
    Farewell { machine: MachineId, seen: Moment },
    /// What a machine says of the past; `stored` is told when that is durable, or cannot be.
    Replays { past: Vec<Past>, stored: Done },
    /// This process has changed machines or tokens; `loaded` is told when every thread knows.
    Registry { loaded: Done },
    /// A machine's request could not be decoded, which is to be logged under the machine's name.
    Undecodable { machine: MachineId, reason: String },
    /// Another configuration.
    Settings(Settings),
}

/// Told once whether it is stored. Called on the recorder's thread: it must not wait for anything.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Back { machine, seen } => write!(f, "Back({machine:?}, {seen:?})"),
            Order::Farewell { machine, seen } => write!(f, "Farewell({machine:?}, {seen:?})"),
            Order::Replays { past, .. } => write!(f, "Replays({})", past.len()),
            Order::Registry { .. } => f.write_str("Registry"),
            Order::Undecodable { machine, reason } => write!(f, "Undecodable({machine:?}, {reason})"),
            Order::Settings(settings) => write!(f, "{settings:?}"),
        }
    }
}

/// Orders that are carried out together.
#[derive(Default)]
pub(super) struct Gathered {
    pub back: Vec<(MachineId, Moment)>,
    pub farewells: Vec<(MachineId, Moment)>,
    pub past: Vec<Past>,
    pub stored: Vec<Done>,
}

impl Gathered {
    /// Whether `order` may join without changing what comes of it: who comes back after a farewell is not stopped.
    pub fn takes(&self, order: &Order) -> bool {
        match order {
            Order::Back { .. } => self.farewells.is_empty(),
            Order::Farewell { .. } => self.back.is_empty(),
            Order::Replays { .. } | Order::Undecodable { .. } => true,
            Order::Registry { .. } | Order::Settings(_) => self.back.is_empty() && self.farewells.is_empty(),
        }
    }
}
