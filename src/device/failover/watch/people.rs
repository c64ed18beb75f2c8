//! What people ask over the control socket, and what everybody is told.

use super::Watch;
use crate::device::failover::control::{Answer, Request, Status, Told};
use crate::device::failover::decision::{Decision, Event, State};
use crate::device::failover::handle::FailoverMailbox;
use std::io;
use std::time::Instant;

impl Watch<'_> {
    pub(super) fn hear_people(&mut self, now: Instant, mailbox: &FailoverMailbox) -> io::Result<()> {
        let Some(control) = &self.control else { return Ok(()) };
        for (request, client) in control.requests()? {
            let answer = self.obey(request, now, mailbox);
            self.control.iter().for_each(|control| control.answer(&client, &answer));
        }
        Ok(())
    }

    fn obey(&mut self, request: Option<Request>, now: Instant, mailbox: &FailoverMailbox) -> Answer {
        match request {
            None => return Err("this is no request".into()),
            Some(Request::Status) => {}
            Some(Request::Auto) => {
                log::info!("failover: override ended by command");
                self.manual_until = None;
                self.uplinks.learn(Event::Auto, now);
            }
            Some(Request::Manual { interface, limit }) => {
                if self.rank(&interface).is_none() {
                    return Err(format!(
                        "{interface} is none of the configured uplinks ({})",
                        self.config.interfaces.join(", ")
                    ));
                }
                log::info!("failover: override by command: {interface}");
                let until = limit.map(|limit| now + limit);
                self.manual_until = until;
                self.uplinks.learn(Event::Manual { interface, until }, now);
            }
        }
        let decision = self.act(now, mailbox);
        // An override may have got another end, which changes nothing else.
        self.tell(&decision);
        Ok(self.status(&decision).at(now))
    }

    fn status(&self, decision: &Decision) -> Told {
        let status = Status {
            active: decision.path.clone(),
            state: decision.state.to_string(),
            backend: self.backend.name().into(),
            manual_s: None,
            uplinks: decision.uplinks.clone(),
            not_covered: self.not_covered.clone(),
        };
        Told::new(status, self.manual_until.filter(|_| decision.state == State::ManualOverride))
    }

    pub(super) fn tell(&self, decision: &Decision) {
        self.outside.told.put(Some(self.status(decision)));
    }
}
