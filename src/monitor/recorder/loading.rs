//! What the recorder loads from the database into memory: at the start, and after another process or a request changed it.

use crate::clock::Moment;
use crate::monitor::fleet::Belief;
use crate::monitor::machine::MachineStatus;
use crate::monitor::recorder::{Recorder, RecorderContext};
use crate::monitor::registry::lookup::Registry;
use crate::monitor::store::StoreError;
use std::collections::HashSet;

impl Recorder {
    /// Loads machines, tokens and statuses from the database. Call it before the first beat: otherwise a restart would
    /// look like a recovery of all machines.
    pub fn load(&self, now: Moment) -> Result<(), StoreError> {
        self.load_machines()?;
        let RecorderContext { store, fleet, .. } = &self.shared;
        for (machine, stored) in store.stored_conditions()? {
            fleet.load_conditions(machine, stored.judged, stored.open);
        }
        for (machine, cameras) in store.stored_cameras()? {
            fleet.load_cameras(machine, cameras);
        }
        self.apply_settings(now)
    }

    /// Loads what another process or a request has changed. The conditions in memory are ahead of the database.
    pub(super) fn reload(&self, now: Moment) -> Result<(), StoreError> {
        self.load_machines()?;
        self.apply_settings(now)
    }

    fn load_machines(&self) -> Result<(), StoreError> {
        let RecorderContext { store, registry, fleet, .. } = &self.shared;
        registry.put(Registry::load(store)?);
        let mut known = HashSet::new();
        for state in store.states()? {
            let belief = if state.status == MachineStatus::Online { Belief::Online } else { Belief::Away };
            fleet.load(state.machine, belief, state.last_seen);
            fleet.load_server(state.machine, state.server);
            known.insert(state.machine);
        }
        fleet.retain(|machine| known.contains(&machine));
        Ok(())
    }

    fn apply_settings(&self, now: Moment) -> Result<(), StoreError> {
        let RecorderContext { store, fleet, .. } = &self.shared;
        let switched_off = fleet.apply_settings(store.effective_settings()?);
        store.end_switched_off(&switched_off, now)
    }
}
