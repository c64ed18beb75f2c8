//! The conditions of the machines in memory: judged at each beat, recorded by the recorder.

use crate::clock::Now;
use crate::monitor::beat::Beat;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::conditions::held::OpenCondition;
use crate::monitor::conditions::table::EffectiveSettings;
use crate::monitor::conditions::tracked::{ConditionChanges, MachineConditions};
use crate::monitor::fleet::{Fleet, MachineSlot, held};
use crate::monitor::machine::MachineId;
use std::borrow::Cow;
use std::sync::Arc;

impl Fleet {
    /// Judges a live beat that was recorded before. True if the recorder is to be informed, which it counts as from now on.
    /// `has_returned`: the machine was not online before this beat.
    pub fn judge(&self, machine: MachineId, beat: &Beat<'_>, has_returned: bool, now: Now) -> bool {
        let mut shard = self.shard(machine);
        let Some(slot) = shard.slots.get_mut(&machine) else { return false };
        let MachineSlot { devices, conditions, cameras, .. } = slot;
        let conditions = self.conditions(conditions, machine);
        let shared_by = devices.shared_by(now.wall);
        let facts = match cameras {
            Some(cameras) => cameras.without_refused(&beat.facts),
            None => Cow::Borrowed(&beat.facts),
        };
        let has_changes = conditions.beat(&facts, &beat.sample, shared_by, has_returned, now);
        if has_changes {
            conditions.set_reported(true);
        }
        has_changes
    }

    /// The machine's heartbeats go to another monitor, which judges them.
    pub fn forget_conditions(&self, machine: MachineId) {
        if let Some(slot) = self.shard(machine).slots.get_mut(&machine) {
            slot.conditions = None;
        }
    }

    /// A machine has returned with a request that is not judged.
    pub(super) fn forget_pending(&self, machine: MachineId) {
        let mut shard = self.shard(machine);
        let slot = shard.slots.get_mut(&machine);
        if let Some(conditions) = slot.and_then(|slot| slot.conditions.as_mut()) {
            conditions.forget_pending();
        }
    }

    /// What the recorder has to record of a machine.
    pub fn condition_changes(&self, machine: MachineId) -> Option<ConditionChanges> {
        Some(self.shard(machine).slots.get(&machine)?.conditions.as_ref()?.changes())
    }

    /// The database has these changes.
    pub fn conditions_recorded(&self, machine: MachineId, changes: &ConditionChanges) {
        let mut shard = self.shard(machine);
        let slot = shard.slots.get_mut(&machine);
        if let Some(conditions) = slot.and_then(|slot| slot.conditions.as_mut()) {
            conditions.recorded(changes);
        }
    }

    /// The recorder could not be informed, or could not record the changes: the next beat informs it.
    pub fn conditions_not_recorded(&self, machine: MachineId) {
        let mut shard = self.shard(machine);
        let slot = shard.slots.get_mut(&machine);
        if let Some(conditions) = slot.and_then(|slot| slot.conditions.as_mut()) {
            conditions.set_reported(false);
        }
    }

    /// Loads what the database has of a machine's conditions, before its first beat.
    pub fn load_conditions(&self, machine: MachineId, judged: u32, mut open: Vec<OpenCondition>) {
        let is_open = |condition| open.iter().any(|known| known.condition == condition);
        let (is_shared, is_refused) = (is_open(Condition::SharedToken), is_open(Condition::RefusedToken));
        if is_refused {
            self.refusals.load(machine);
        }
        open.retain(|known| !known.condition.is_judged_by_sweep());
        let mut shard = self.shard(machine);
        if let Some(MachineSlot { devices, conditions, .. }) = shard.slots.get_mut(&machine) {
            devices.load(is_shared);
            if judged != 0 || !open.is_empty() {
                self.conditions(conditions, machine).load(judged, open);
            }
        }
    }

    /// What the database has of a machine's conditions, after another monitor may have judged them.
    pub fn adopt_conditions(&self, machine: MachineId, judged: u32, mut open: Vec<OpenCondition>) {
        open.retain(|known| !known.condition.is_judged_by_sweep());
        let mut shard = self.shard(machine);
        let Some(MachineSlot { conditions, .. }) = shard.slots.get_mut(&machine) else { return };
        if conditions.is_some() || judged != 0 || !open.is_empty() {
            self.conditions(conditions, machine).adopt(judged, &open);
        }
    }

    /// Applies changed settings. Returns the machines with conditions (bits) that were judged and are off now.
    pub fn apply_settings(&self, settings: EffectiveSettings) -> Vec<(MachineId, u32)> {
        self.settings.put(settings);
        let settings = self.settings.get();
        let mut switched_off = Vec::new();
        for shard in &self.shards {
            for (machine, slot) in &mut held(shard).slots {
                let bits = slot.conditions.as_mut().map_or(0, |known| known.apply(settings.of(*machine)));
                if bits != 0 {
                    switched_off.push((*machine, bits));
                }
            }
        }
        switched_off
    }

    /// The settings of every machine.
    pub fn settings(&self) -> Arc<EffectiveSettings> {
        self.settings.get()
    }

    fn conditions<'s>(
        &self,
        conditions: &'s mut Option<Box<MachineConditions>>,
        machine: MachineId,
    ) -> &'s mut MachineConditions {
        conditions
            .get_or_insert_with(|| Box::new(MachineConditions::new(self.settings.get().of(machine).clone())))
    }
}
