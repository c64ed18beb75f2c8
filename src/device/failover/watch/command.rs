//! Manual overrides, and the published status.

use super::Watch;
use crate::device::failover::decision::{Decision, Event, State};
use crate::device::failover::handle::FailoverMailbox;
use crate::device::failover::status::{FailoverCommand, FailoverStatus, PublishedStatus};
use std::time::Instant;

impl Watch<'_> {
    /// # Errors
    /// The interface is not a configured uplink.
    pub(super) fn execute(
        &mut self,
        command: FailoverCommand,
        now: Instant,
        mailbox: &FailoverMailbox,
    ) -> Result<FailoverStatus, String> {
        match command {
            FailoverCommand::Auto => {
                log::info!("failover: override ended by command");
                self.manual_until = None;
                self.uplinks.learn(Event::Auto, now);
            }
            FailoverCommand::Manual { interface, limit } => {
                if self.rank(&interface).is_none() {
                    return Err(format!(
                        "{interface} is not a configured uplink ({})",
                        self.config.interfaces.join(", ")
                    ));
                }
                log::info!("failover: override by command: {interface}");
                // A time beyond the clock's range does not end.
                let until = limit.and_then(|limit| now.checked_add(limit));
                self.manual_until = until;
                self.uplinks.learn(Event::Manual { interface, until }, now);
            }
        }
        let decision = self.act(now, mailbox);
        // A new end of the same override changes nothing that `act` publishes.
        self.publish(&decision);
        Ok(self.status(&decision).at(now))
    }

    fn status(&self, decision: &Decision) -> PublishedStatus {
        let status = FailoverStatus {
            active: decision.path.clone(),
            state: decision.state.to_string(),
            backend: self.backend.name().into(),
            manual_s: None,
            uplinks: decision.uplinks.clone(),
            not_covered: self.not_covered.clone(),
        };
        PublishedStatus::new(status, self.manual_until.filter(|_| decision.state == State::ManualOverride))
    }

    pub(super) fn publish(&self, decision: &Decision) {
        self.outside.told.put(Some(self.status(decision)));
    }
}
