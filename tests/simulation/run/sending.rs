//! What devices send, on its way to the monitor.

use super::{Event, Simulation};
use crate::devices::Sent;
use crate::model::Checked;
use crate::monitor::heartbeat;
use crate::trace;
use crate::world::SECOND;

impl Simulation {
    pub(super) fn beat(&mut self, device: usize) -> Checked {
        let pause = self.devices[device].pause(&mut self.rng);
        self.schedule(pause, Event::Beat(device));
        let sent = match self.devices[device].is_alive() {
            true => self.devices[device].send(&mut self.rng, &mut self.of_parts, self.t),
            false if self.rng.u8(..50) == 0 => self.devices[device].stray().into_iter().collect(),
            false => return Ok(()),
        };
        sent.into_iter().try_for_each(|sent| self.send(device, &sent))
    }

    /// Sends to the monitor, if it can be reached.
    fn send(&mut self, device: usize, sent: &Sent) -> Checked {
        let is_stalled = self.stalled_until.is_some_and(|until| self.t < until);
        if self.process.is_none() || is_stalled || self.t < self.partition_until {
            return Ok(());
        }
        let machine = self.devices[device].machine;
        let (body, is_alive, is_shutdown) = match sent {
            Sent::Heartbeat(body, _) | Sent::Nonsense(body) => (body, true, false),
            Sent::Shutdown(body) => (body, true, true),
            Sent::Replays(body) => (body, false, false),
        };
        if is_alive {
            self.model.beat(machine, is_shutdown, self.t);
            self.counts.heartbeats += 1;
        }
        if let Sent::Heartbeat(_, report) = sent {
            self.model.report(machine, report, self.t, self.wall());
        }
        let request = heartbeat(&self.tokens[machine], body);
        let answer = self.step(|process, now| process.request(&request, now));
        let Some(((status, is_recorded), healthy)) = answer else { return Ok(()) };
        if is_recorded {
            let Some(entries) = self.committed() else { return Ok(()) };
            self.model.observe(&entries, self.t, self.wall())?;
        }
        if healthy {
            self.model.check_beats()?;
            if matches!(sent, Sent::Heartbeat(..)) {
                self.model.check_conditions(machine)?;
            }
            let expected: &[u16] = if matches!(sent, Sent::Nonsense(_)) { &[400] } else { &[200, 503] };
            if !status.is_some_and(|status| expected.contains(&status)) {
                return Err(format!("m{} got {status:?} for {body}", machine + 1));
            }
        } else {
            self.model.lost_beats();
        }
        self.wake_couriers()
    }

    pub(super) fn change_device(&mut self, device: usize) -> Checked {
        if self.is_calm {
            return Ok(());
        }
        let (length, is_shutdown) = self.devices[device].change(&mut self.rng, self.t);
        let state = if self.devices[device].is_up { "up" } else { "silent" };
        trace::note(format!("device {} is {state} for {} s", device + 1, length / SECOND));
        self.schedule(length, Event::Phase(device));
        if is_shutdown {
            let sent = self.devices[device].shutdown(&mut self.rng);
            return self.send(device, &sent);
        }
        Ok(())
    }
}
