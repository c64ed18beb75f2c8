//! People: they acknowledge open incidents, on the page or with the command, also while the monitor is down.

use crate::disk;
use crate::model::{Checked, Key};
use crate::parts::Part;
use crate::run::{Event, Simulation};
use crate::trace;
use crate::world::{MINUTE, SECOND, about, pick};
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::accounts::audit::Actor;
use heartbeat_daemon::monitor::incidents::table::{IncidentId, OFFLINE};
use heartbeat_daemon::monitor::machine::MachineId;
use heartbeat_daemon::monitor::store::Store;

impl Simulation {
    pub fn acknowledge(&mut self) -> Checked {
        let next = about(&mut self.of_people, 8 * MINUTE).max(SECOND);
        self.schedule(next, Event::Acknowledge);
        let open = self.model.unacknowledged();
        if open.is_empty() {
            return Ok(());
        }
        let key = pick(&mut self.of_people, &open);
        let is_stalled = self.stalled_until.is_some_and(|until| self.t < until);
        let is_on_page = self.of_people.bool() && self.process.is_some() && !is_stalled;
        let (faults, mut id) = (disk::faults(), None);
        let result = if is_on_page {
            let step = self.step(|process, now| acknowledge(&process.store, key, &mut id, now.wall));
            step.map_or(Ok(()), |(result, _)| result)
        } else {
            let now = self.now().wall;
            let store =
                Store::open_beside(&self.path().to_owned().into(), now).map_err(|error| error.to_string());
            store.and_then(|store| acknowledge(&store, key, &mut id, now))
        };
        if disk::crashed().is_some() {
            self.unsure_acknowledged.extend(id.map(|id| (key, id)));
            self.crash();
            return Ok(());
        }
        let Some(id) = id else { return Ok(()) };
        match result {
            // What the last process has committed is not known before the next one starts.
            Ok(()) if self.process.is_none() => self.unsure_acknowledged.push((key, id)),
            Ok(()) => {
                trace::note(format!("{key} is acknowledged"));
                self.counts.acknowledgements += 1;
                self.model.acknowledged(key);
            }
            Err(error) if disk::faults() == faults => return Err(format!("cannot acknowledge: {error}")),
            Err(_) => {}
        }
        Ok(())
    }
}

/// Acknowledges the open incident; `id` is its number, if there is one.
fn acknowledge(store: &Store, key: Key, id: &mut Option<i64>, now: Moment) -> Result<(), String> {
    let machine = MachineId(i64::try_from(key.machine).expect("a machine") + 1);
    let part = |kind: &str, subject: &str| match kind {
        OFFLINE => Some(Part::Machine),
        _ => Part::find(kind, subject),
    };
    let open = store.open_incidents(machine).map_err(|error| error.to_string())?;
    let incident = open.iter().find(|open| part(&open.kind, &open.subject) == Some(key.part));
    *id = incident.map(|incident| incident.id);
    let Some(id) = *id else { return Ok(()) };
    let actor = Actor { name: "ada".into(), address: None };
    let by = store.acknowledge(IncidentId(id), &actor, now).map_err(|error| error.to_string())?;
    if by == actor.name { Ok(()) } else { Err(format!("{by} has it")) }
}
