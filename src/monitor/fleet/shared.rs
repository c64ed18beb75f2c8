//! Machines that other monitors of the database hear.

use super::beats::StoredStatus;
use super::elsewhere::PayloadElsewhere;
use super::{Belief, Fleet, MachineSlot};
use crate::clock::Moment;
use crate::monitor::beat::Beat;
use crate::monitor::machine::MachineStatus;
use std::time::Duration;

/// After a longer silence another monitor may have heard a machine, and may have found it offline. With a shorter threshold the
/// change of status says so, a second later.
const SILENCE: Duration = Duration::from_secs(10);

impl Fleet {
    /// What another monitor has heard of a machine, unless this one has heard it later. `beat` is its payload, parsed; `None`: it
    /// is in a format that says nothing else.
    pub fn hear_of(&self, heard: &PayloadElsewhere, beat: Option<&Beat<'_>>) {
        let mut shard = self.shard(heard.machine);
        let Some(slot) = shard.slots.get_mut(&heard.machine) else { return };
        if !slot.is_elsewhere || slot.payload_at.is_some_and(|known| known >= heard.received) {
            return;
        }
        slot.sample = beat.map(|beat| beat.sample).unwrap_or_default();
        slot.interval = beat.and_then(|beat| beat.interval).or(slot.interval);
        slot.payload = heard.payload.clone().into_bytes();
        slot.payload_at = Some(heard.received);
    }

    /// What the database says of a machine now. Returns when this monitor heard the machine, if that was after another one
    /// found it offline: it has returned.
    pub fn follow(&self, state: &StoredStatus, process: i64) -> Option<Moment> {
        let mut shard = self.shard(state.machine);
        let slot = shard.slots.entry(state.machine).or_default();
        let is_elsewhere = state.seen_by != Some(process);
        if is_elsewhere && state.last_seen > slot.seen {
            slot.seen = state.last_seen;
            slot.is_elsewhere = true;
        }
        if slot.belief == Belief::Reported {
            return None;
        }
        slot.belief = if state.status == MachineStatus::Online { Belief::Online } else { Belief::Away };
        let has_returned = state.status == MachineStatus::Offline && slot.changed;
        slot.seen.filter(|seen| has_returned && *seen > state.since)
    }
}

impl MachineSlot {
    /// A machine that is believed to be online, before a beat of it is recorded: the recorder has to look.
    pub(super) fn may_have_been_elsewhere(&self, now: Moment) -> bool {
        let silence = SILENCE.max(self.interval.unwrap_or_default() * 2);
        self.belief == Belief::Online
            && (self.is_elsewhere || self.seen.is_none_or(|seen| now.since(seen) > silence))
    }
}
