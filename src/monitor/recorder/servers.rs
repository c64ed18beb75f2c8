//! What this monitor is to the devices: the only server, the first one of several, or a backup. A device says so with each
//! heartbeat; the recorder writes changes, so that a backup does not report a machine as silent that has returned to its
//! first server.

use super::trouble::Task;
use super::{Recorder, RecorderContext};
use crate::clock::{Moment, Now};
use crate::monitor::machine::{DeviceServer, MachineId};

impl Recorder {
    /// Writes what this monitor is to the devices; returns the beats of those that are online by them. If that fails, the next
    /// beat of a machine reports it again.
    pub(super) fn set_servers(
        &mut self,
        beats: Vec<(MachineId, Moment)>,
        now: Now,
    ) -> Vec<(MachineId, Moment)> {
        let RecorderContext { store, fleet, .. } = &self.shared;
        if store.process().is_some() {
            // Monitors of one database are one server to the devices.
            return beats;
        }
        let beats: Vec<_> =
            beats.into_iter().map(|(machine, seen)| (machine, seen, fleet.server(machine))).collect();
        let set = self.sweeper.servers(store, &beats, now.wall);
        let standby = |server: DeviceServer| server == DeviceServer::Standby;
        for (machine, ..) in beats.iter().filter(|(_, _, server)| standby(*server)) {
            fleet.forget_conditions(*machine);
        }
        if self.logged(Task::Returns, set, now.monotonic).is_none() {
            return Vec::new();
        }
        let online = beats.into_iter().filter(|(_, _, server)| !standby(*server));
        online.map(|(machine, seen, _)| (machine, seen)).collect()
    }
}
