//! What this monitor is to each device, and what that changes of the effect of a beat.

use super::{BeatEffect, Belief, Fleet, MachineSlot};
use crate::monitor::beat::BeatKind;
use crate::monitor::machine::{DeviceServer, MachineId};

impl Fleet {
    /// Loads what this monitor is to the device, unless a beat has said it already.
    pub fn load_server(&self, machine: MachineId, server: DeviceServer) {
        let mut shard = self.shard(machine);
        let slot = shard.slots.entry(machine).or_default();
        if slot.payload_at.is_none() {
            slot.server = server;
        }
    }

    /// What this monitor is to the device.
    pub fn server(&self, machine: MachineId) -> DeviceServer {
        self.shard(machine).slots.get(&machine).map_or(DeviceServer::Only, |slot| slot.server)
    }
}

impl MachineSlot {
    /// The effect of a beat that was sent to this monitor as `server`.
    pub(super) fn effect(&mut self, kind: BeatKind, server: DeviceServer) -> BeatEffect {
        let has_other_role = std::mem::replace(&mut self.server, server) != server;
        match (kind, self.belief) {
            (BeatKind::Shutdown, _) => {
                self.belief = Belief::Away;
                BeatEffect::Shutdown
            }
            // The check of each hour changes nothing.
            (BeatKind::Live, Belief::Away) if server == DeviceServer::Standby && !has_other_role => {
                BeatEffect::Nothing
            }
            (BeatKind::Live, belief) if belief == Belief::Away || has_other_role => {
                self.belief = Belief::Reported;
                BeatEffect::Back
            }
            (BeatKind::Live, _) => BeatEffect::Nothing,
        }
    }
}
