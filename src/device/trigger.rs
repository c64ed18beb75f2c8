//! A request to send a heartbeat at once, from any thread.

use crate::wire::Reason;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// The requesting end.
#[derive(Debug, Clone)]
pub struct Trigger(Sender<Reason>);

impl Trigger {
    /// Never waits. At most one request is pending: false if there is one already, which will do for both.
    pub fn fire(&self, reason: Reason) -> bool {
        !matches!(self.0.try_send(reason), Err(TrySendError::Full(_)))
    }
}

/// A trigger, and the end of it that the heartbeat thread holds.
pub fn trigger() -> (Trigger, Receiver<Reason>) {
    let (sender, receiver) = bounded(1);
    (Trigger(sender), receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_request_while_one_is_pending_returns_false() {
        let (trigger, pending) = trigger();
        assert!(trigger.fire(Reason::Trigger));
        assert!(!trigger.fire(Reason::Failover));
        assert_eq!(pending.recv(), Ok(Reason::Trigger));
        assert!(trigger.fire(Reason::Failover));
    }
}
