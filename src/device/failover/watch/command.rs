//! Manual overrides, and the published status.

use super::FailoverLoop;
use crate::device::failover::decision::{Decision, Fact, FailoverState};
use crate::device::failover::handle::FailoverMailbox;
use crate::device::failover::names::configured;
use crate::device::failover::status::{FailoverCommand, FailoverStatus, PublishedStatus};
use std::time::Instant;

impl FailoverLoop<'_> {
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
                self.uplinks.apply(Fact::Auto, now);
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
                self.uplinks.apply(Fact::Manual { interface, until }, now);
            }
        }
        let decision = self.act(now, mailbox);
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
        PublishedStatus::new(
            status,
            self.manual_until.filter(|_| decision.state == FailoverState::ManualOverride),
            configured(self.config, &decision.uplinks),
        )
    }

    /// Publishes the status if it has changed.
    pub(super) fn publish(&self, decision: &Decision) {
        let status = Some(self.status(decision));
        if *self.context.status.get() != status {
            self.context.status.put(status);
        }
    }
}
