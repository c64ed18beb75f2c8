//! The newest beat of each machine, in memory: the workers write it, the recorder collects the changes.
//!
//! A machine costs its payload (about 1 KB) and 400 bytes. What is here is the truth while the monitor runs; the
//! database follows within seconds (`last_seen`) and minutes (payload, history), and at once for a machine that returns.

pub mod activity;
pub mod beats;
mod conditions;
mod devices;
pub mod elsewhere;
mod minute;
mod refusals;
mod servers;
mod shared;

use super::beat::{Beat, Sample};
use super::cameras::minutes::{CameraMinutes, UnsavedCameras};
use super::history::packed::Packed;
use super::machine;
use crate::clock::Moment;
use crate::latest::Latest;
use crate::monitor::beat::BeatKind;
use crate::monitor::conditions::table::EffectiveSettings;
use crate::monitor::conditions::tracked::MachineConditions;
use crate::monitor::machine::{DeviceServer, MachineId};
use activity::{BeatLog, Mark, REASONS};
pub use devices::SharedToken;
use devices::{Devices, hardware_id};
use elsewhere::LAG;
use minute::Minute;
use refusals::Refusals;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Number of locks. Each is held while one payload is copied, 50 ns.
const SHARDS: usize = 64;

/// A longer payload is not kept, its figures are. Ours has 1.3 KB; one device must not take 64 KiB from the others.
pub const MAX_PAYLOAD: usize = 16 * 1024;

/// Minutes of a machine that are not written yet. They are written every 1 to 15 minutes; if that fails for longer, the
/// oldest are dropped.
const MAX_MINUTES: usize = 120;

/// The beats of all machines.
#[derive(Debug)]
pub struct Fleet {
    shards: Box<[Mutex<Shard>]>,
    /// Of the conditions of all machines.
    settings: Latest<EffectiveSettings>,
    refusals: Refusals,
    /// Other monitors of the database may hear the machines, too.
    is_shared: bool,
}

#[derive(Debug, Default)]
struct Shard {
    slots: HashMap<MachineId, MachineSlot>,
    /// Machines with beats that the database does not have.
    changed: Vec<MachineId>,
    /// Machines whose token two devices use in turn, to be reported.
    shared: Vec<SharedToken>,
    /// Boots and changes of uplinks, to be written.
    marks: Vec<Mark>,
}

/// What a beat reports beside its machine's state.
struct Reports<'a> {
    shared: &'a mut Vec<SharedToken>,
    marks: &'a mut Vec<Mark>,
}

/// A machine's status in the database, as far as a beat depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    Online,
    /// Offline, stopped or new: the recorder is informed of its next beat at once.
    Away,
    /// The recorder has been informed of a beat, and has not recorded it yet.
    Reported,
}

/// The effect of a beat on the recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeatEffect {
    Nothing,
    /// A machine that was not online sends a beat.
    Back,
    /// A machine announces that it is being stopped.
    Shutdown,
}

#[derive(Debug)]
struct MachineSlot {
    belief: Belief,
    /// As its last beat said.
    server: DeviceServer,
    /// Also before the monitor started, and by other monitors as far as the database has it.
    seen: Option<Moment>,
    /// Another monitor of the database heard it last.
    is_elsewhere: bool,
    /// In `Shard::changed`.
    changed: bool,
    /// The payload is newer than the database's.
    unsaved: bool,
    interval: Option<Duration>,
    sample: Sample,
    /// `None` before the first beat that is judged.
    conditions: Option<Box<MachineConditions>>,
    /// `None` before the first camera.
    cameras: Option<Box<CameraMinutes>>,
    devices: Devices,
    log: BeatLog,
    payload: Vec<u8>,
    /// When the payload was received.
    payload_at: Option<Moment>,
    /// Reported since the last write to the database.
    hostname: Option<Box<str>>,
    minute: Minute,
    /// Complete ones, oldest first, with their number since 1970.
    minutes: Vec<(i64, Packed)>,
}

/// The newest beat of a machine, to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct LatestBeat {
    pub seen: Moment,
    /// By how much `seen` may be behind, because another monitor hears the machine.
    pub lag: Duration,
    pub interval: Option<Duration>,
    pub sample: Sample,
    /// JSON as it was sent; `None` if it was longer than [`MAX_PAYLOAD`], before the first beat since the monitor started, and
    /// if the caller knows it.
    pub payload: Option<String>,
    /// When `payload` was received.
    pub payload_at: Option<Moment>,
}

/// Data of a machine that the database does not have.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsaved {
    pub machine: MachineId,
    pub received_at: Moment,
    /// `None`: too long, or the database has it.
    pub payload: Option<String>,
    pub hostname: Option<Box<str>>,
    pub minutes: Vec<(i64, Packed)>,
    pub cameras: UnsavedCameras,
    /// Beats by reason.
    pub counts: [u16; REASONS],
}

impl Default for Fleet {
    /// Of a monitor that has its database for itself.
    fn default() -> Fleet {
        Fleet::new(false)
    }
}

impl Fleet {
    pub fn new(is_shared: bool) -> Fleet {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Fleet { shards, settings: Latest::default(), refusals: Refusals::default(), is_shared }
    }

    /// Records a beat at `now`. Waits for other beats at most.
    pub fn beat(&self, machine: MachineId, beat: &Beat<'_>, now: Moment) -> BeatEffect {
        self.record(machine, beat.kind, Some(beat.server), now, |slot, Reports { shared, marks }| {
            slot.log.add(machine, beat, now, marks);
            if beat.device.is_some_and(|device| slot.devices.sent(device, now)) {
                let payloads = [slot.payload.as_slice(), beat.payload.as_bytes()];
                let hardware_ids = payloads.into_iter().filter_map(hardware_id).collect();
                let report = SharedToken { machine, hardware_ids };
                slot.devices.named(&report);
                shared.push(report);
            }
            slot.apply(beat, now);
        })
    }

    /// A machine sent a request that cannot be decoded: it is alive, and nothing else about it changes.
    pub fn alive(&self, machine: MachineId, now: Moment) -> BeatEffect {
        let effect = self.record(machine, BeatKind::Live, None, now, |slot, _| slot.seen = Some(now));
        if effect == BeatEffect::Back {
            self.forget_pending(machine);
        }
        effect
    }

    fn record(
        &self,
        machine: MachineId,
        kind: BeatKind,
        server: Option<DeviceServer>,
        now: Moment,
        change: impl FnOnce(&mut MachineSlot, Reports<'_>),
    ) -> BeatEffect {
        let mut shard = self.shard(machine);
        let Shard { slots, changed, shared, marks } = &mut *shard;
        let slot = slots.entry(machine).or_default();
        if !std::mem::replace(&mut slot.changed, true) {
            changed.push(machine);
        }
        if self.is_shared && slot.may_have_been_elsewhere(now) {
            slot.belief = Belief::Away;
        }
        change(slot, Reports { shared, marks });
        // Which of its servers a device prefers says nothing among monitors of one database.
        let server = server.filter(|_| !self.is_shared);
        slot.effect(kind, server.unwrap_or(slot.server))
    }

    /// Loads the status of `machine` from the database.
    pub fn load(&self, machine: MachineId, belief: Belief, last_seen: Option<Moment>) {
        let mut shard = self.shard(machine);
        let slot = shard.slots.entry(machine).or_default();
        slot.belief = belief;
        slot.is_elsewhere |= self.is_shared && slot.seen.is_none();
        slot.seen = slot.seen.or(last_seen);
    }

    /// Sets the status that was just written to the database. Returns when the machine was last seen if it has sent a beat
    /// since the last flush: then a machine that was just marked as offline is already back.
    pub fn believe(&self, machine: MachineId, belief: Belief) -> Option<Moment> {
        let mut shard = self.shard(machine);
        let slot = shard.slots.entry(machine).or_default();
        slot.belief = belief;
        slot.is_elsewhere &= belief != Belief::Online;
        slot.seen.filter(|_| slot.changed)
    }

    /// The machines that sent a beat since the last call, and when.
    pub fn drain_changed(&self) -> Vec<(MachineId, Moment)> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            let Shard { slots, changed, .. } = &mut *held(shard);
            for machine in changed.drain(..) {
                if let Some(slot) = slots.get_mut(&machine) {
                    slot.changed = false;
                    taken.extend(slot.seen.map(|seen| (machine, seen)));
                }
            }
        }
        // Neighbours in the database: a page is written once for all of its rows.
        taken.sort_unstable();
        taken
    }

    /// Marks beats as changed again that could not be written.
    pub fn not_written(&self, beats: &[(MachineId, Moment)]) {
        for (machine, _) in beats {
            let Shard { slots, changed, .. } = &mut *self.shard(*machine);
            let Some(slot) = slots.get_mut(machine) else { continue };
            if !std::mem::replace(&mut slot.changed, true) {
                changed.push(*machine);
            }
        }
    }

    pub fn newest(&self, machine: MachineId) -> Option<LatestBeat> {
        self.newest_beside(machine, None)
    }

    /// [`Fleet::newest`], without a copy of the payload if the caller knows it: the one received at `known`.
    pub fn newest_beside(&self, machine: MachineId, known: Option<Moment>) -> Option<LatestBeat> {
        let shard = self.shard(machine);
        let slot = shard.slots.get(&machine)?;
        let MachineSlot { interval, sample, payload_at, .. } = *slot;
        let is_known = known.is_some() && known == payload_at;
        let payload = if is_known { None } else { slot.payload() };
        let lag = if slot.is_elsewhere { LAG } else { Duration::ZERO };
        Some(LatestBeat { seen: slot.seen?, lag, interval, sample, payload, payload_at })
    }

    /// The time of the last beat of `machine`.
    pub fn seen(&self, machine: MachineId) -> Option<Moment> {
        self.shard(machine).slots.get(&machine)?.seen
    }

    pub fn is_online(&self, machine: MachineId) -> bool {
        self.shard(machine).slots.get(&machine).is_some_and(|slot| slot.belief == Belief::Online)
    }

    /// Number of machines.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| held(shard).slots.len()).sum()
    }

    /// Number of machines that are online, and of all machines.
    pub fn online(&self) -> (usize, usize) {
        let count = |shard: &Mutex<Shard>| {
            let shard = held(shard);
            let online = shard.slots.values().filter(|slot| slot.belief == Belief::Online).count();
            (online, shard.slots.len())
        };
        self.shards.iter().map(count).fold((0, 0), |sum, shard| (sum.0 + shard.0, sum.1 + shard.1))
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops the machines that `known` refuses.
    pub fn retain(&self, mut known: impl FnMut(MachineId) -> bool) {
        for shard in &self.shards {
            held(shard).slots.retain(|machine, _| known(*machine));
        }
    }

    fn shard(&self, machine: MachineId) -> MutexGuard<'_, Shard> {
        held(&self.shards[machine.0.unsigned_abs() as usize % SHARDS])
    }
}

fn held(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for MachineSlot {
    /// An unknown machine: its first beat is reported to the recorder.
    fn default() -> MachineSlot {
        MachineSlot {
            belief: Belief::Away,
            server: DeviceServer::Only,
            seen: None,
            is_elsewhere: false,
            changed: false,
            unsaved: false,
            interval: None,
            sample: Sample::default(),
            conditions: None,
            cameras: None,
            devices: Devices::default(),
            log: BeatLog::default(),
            payload: Vec::new(),
            payload_at: None,
            hostname: None,
            minute: Minute::default(),
            minutes: Vec::new(),
        }
    }
}

impl MachineSlot {
    fn apply(&mut self, beat: &Beat<'_>, now: Moment) {
        // Also if the clock went back: silence begins now.
        self.seen = Some(now);
        self.interval = beat.interval.or(self.interval);
        self.sample = beat.sample;
        self.keep_payload(beat.payload);
        self.payload_at = Some(now);
        if let Some(name) = beat.hostname.as_deref().filter(|name| self.hostname.as_deref() != Some(*name)) {
            // It is part of every message, and a machine with an invalid hostname could not be edited any more.
            if machine::hostname(name).is_ok() {
                self.hostname = Some(name.into());
            }
        }
        if !self.minute.contains(now) {
            self.end_minute();
            self.minute = Minute::of(now);
        }
        self.minute.add(beat.sample);
        if !beat.facts.cameras.is_empty() {
            self.cameras.get_or_insert_default().report(&beat.facts.cameras, now);
        }
    }

    /// Reuses the buffer of the previous payload: the payloads of a machine have about the same length.
    fn keep_payload(&mut self, payload: &str) {
        self.unsaved = true;
        self.payload.clear();
        if payload.len() <= MAX_PAYLOAD {
            self.payload.reserve_exact(payload.len());
            self.payload.extend_from_slice(payload.as_bytes());
        }
        if self.payload.capacity() > 2 * self.payload.len() + 512 {
            self.payload.shrink_to_fit();
        }
    }

    fn payload(&self) -> Option<String> {
        // It was UTF-8 when it was stored.
        String::from_utf8(self.payload.clone()).ok().filter(|payload| !payload.is_empty())
    }

    fn end_minute(&mut self) {
        self.minutes.extend(self.minute.mean());
        self.minute = Minute::default();
        self.bound_minutes();
    }

    fn bound_minutes(&mut self) {
        let surplus = self.minutes.len().saturating_sub(MAX_MINUTES);
        self.minutes.drain(..surplus);
    }
}

#[cfg(test)]
mod tests;
