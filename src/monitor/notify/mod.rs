//! Telling people: what is said, to whom, when, and over which channel, until it has been heard or has expired.
//!
//! | file | what it owns |
//! |---|---|
//! | `plan` | who is told what and when: pure |
//! | `notice` | what is said |

pub mod notice;
pub mod plan;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// Wakes the couriers: there is something new in the outbox. Any number of pokes before they look are one.
#[derive(Debug, Clone)]
pub struct Poke(Option<Sender<()>>);

impl Poke {
    pub fn new() -> (Poke, Receiver<()>) {
        let (sender, receiver) = bounded(1);
        (Poke(Some(sender)), receiver)
    }

    /// Wakes nobody: for who writes an outbox that another program empties.
    pub fn nobody() -> Poke {
        Poke(None)
    }

    pub fn poke(&self) {
        if let Some(sender) = &self.0 {
            // Full: they have been woken already. Disconnected: they have stopped, and the rows wait for the next start.
            let (Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(()))) = sender.try_send(());
        }
    }
}
