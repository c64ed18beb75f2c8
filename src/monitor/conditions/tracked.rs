//! The conditions of one machine in memory: only those that hold. A machine with eight cameras that respond has none.
//!
//! What begins or ends here is recorded by the recorder, in one transaction with its messages. Until it confirms that, a
//! change stays pending: a failed transaction or a full queue loses nothing.

use crate::clock::Now;
use crate::monitor::beat::Sample;
use crate::monitor::conditions::catalogue::{CATALOGUE, Condition};
use crate::monitor::conditions::facts::{Facts, InterfaceName, MAX_SUBJECTS};
use crate::monitor::conditions::held::{ConditionChange, HeldCondition, OpenCondition};
use crate::monitor::conditions::judge::{Change, Reading, holds, is_known, judge};
use crate::monitor::conditions::readings::observe;
use crate::monitor::conditions::recent::Recent;
use crate::monitor::conditions::settings::SharedSettings;

/// The conditions of one machine.
#[derive(Debug)]
pub struct MachineConditions {
    settings: SharedSettings,
    /// Bits of the conditions that were judged before, and of those of them that the database has.
    judged: u32,
    judged_recorded: u32,
    tracked: Vec<HeldCondition>,
    /// The uplink of the last heartbeat.
    active: Option<InterfaceName>,
    recent: Recent,
    /// The recorder was informed of changes that it has not recorded yet.
    is_reported: bool,
}

/// Everything about one machine's conditions that the recorder has to record.
#[derive(Debug, Clone, PartialEq)]
pub struct ConditionChanges {
    pub changes: Vec<ConditionChange>,
    /// Bits of all conditions that have been judged.
    pub judged: u32,
    /// The uplink that the machine uses.
    pub active: Option<InterfaceName>,
}

impl MachineConditions {
    pub fn new(settings: SharedSettings) -> MachineConditions {
        MachineConditions {
            settings,
            judged: 0,
            judged_recorded: 0,
            tracked: Vec::new(),
            active: None,
            recent: Recent::default(),
            is_reported: false,
        }
    }

    /// Judges a heartbeat. True if the recorder is to be informed: something began or ended that it does not know of.
    /// `has_returned`: the machine was not online, so what was pending proves nothing.
    pub fn beat(
        &mut self,
        facts: &Facts<'_>,
        sample: &Sample,
        shared_by: Option<&str>,
        has_returned: bool,
        now: Now,
    ) -> bool {
        if has_returned {
            self.forget_pending();
        }
        let MachineConditions { settings, judged, tracked, recent, .. } = self;
        let mut newly_judged = 0;
        let mut begun = 0;
        observe(facts, sample, recent, shared_by, now.wall, |seen| {
            let entry = seen.condition.entry();
            let setting = settings.get(seen.condition);
            let at = tracked.iter().position(|known| known.is_of(&seen));
            if !setting.is_on
                || (at.is_none() && seen.reading == Reading::Good && *judged & seen.condition.bit() != 0)
            {
                return;
            }
            let is_first = *judged & seen.condition.bit() == 0;
            if is_first && is_known(entry, &setting, seen.reading) {
                newly_judged |= seen.condition.bit();
                let is_open = at.is_some_and(|at| !tracked[at].is_pending());
                if !is_open && holds(entry, &setting, seen.reading) && tracked.len() < MAX_SUBJECTS {
                    // What only seemed to hold so far did so before it was judged.
                    let since = at.map_or(now.wall, |at| tracked.swap_remove(at).since());
                    add(tracked, HeldCondition::existing(&seen, since));
                    return;
                }
            }
            let phase = at.and_then(|at| tracked[at].phase());
            let (next, change) = judge(entry, &setting, phase, seen.reading, now);
            if change == Change::Begins {
                begun |= seen.condition.bit();
            }
            match at {
                Some(at) => {
                    tracked[at].update(&seen, next);
                    if tracked[at].is_forgotten() {
                        tracked.swap_remove(at);
                    }
                }
                None if next.is_some() && tracked.len() < MAX_SUBJECTS => {
                    add(tracked, HeldCondition::new(&seen, next, now));
                }
                None => {}
            }
        });
        self.judged |= newly_judged;
        self.begin_together(begun);
        self.active = facts.active;
        !self.is_reported && self.has_unrecorded()
    }

    /// Of the conditions (bits) that begin with this heartbeat, the other subjects that hold would begin within the hold time
    /// anyway: one message instead of several.
    fn begin_together(&mut self, begun: u32) {
        for known in &mut self.tracked {
            if known.is_pending() && known.is_confirmed() && begun & known.condition().bit() != 0 {
                known.open();
            }
        }
    }

    /// Open incidents that are not recorded.
    fn unrecorded(&self) -> impl Iterator<Item = &HeldCondition> {
        self.tracked.iter().filter(|known| known.is_open() && !known.is_recorded())
    }

    fn has_unrecorded(&self) -> bool {
        self.judged != self.judged_recorded
            || self.unrecorded().next().is_some()
            || self.tracked.iter().any(HeldCondition::is_over)
    }

    /// The machine was not online: what did not hold for its hold time before proves nothing.
    pub fn forget_pending(&mut self) {
        self.tracked.retain(|known| !known.is_pending());
        self.tracked.iter_mut().filter(|known| known.is_open()).for_each(HeldCondition::open);
    }

    /// The recorder is informed. `false`: it could not be, and is at the next beat.
    pub fn set_reported(&mut self, is_reported: bool) {
        self.is_reported = is_reported;
    }

    /// Everything that is not recorded.
    pub fn changes(&self) -> ConditionChanges {
        let change = |known: &HeldCondition| known.change(self.settings.get(known.condition()).threshold);
        let ended = self.tracked.iter().filter(|known| known.is_over());
        let changes = self.unrecorded().chain(ended).map(change).collect();
        ConditionChanges { changes, judged: self.judged, active: self.active }
    }

    /// The database has these changes.
    pub fn recorded(&mut self, recorded: &ConditionChanges) {
        self.is_reported = false;
        self.judged_recorded |= recorded.judged;
        for change in &recorded.changes {
            // It may have ended, or begun again, meanwhile: then the next beat reports that.
            match self.tracked.iter().position(|known| known.is_changed_by(change)) {
                Some(at) => {
                    self.tracked[at].set_recorded(change.begins);
                    if self.tracked[at].is_forgotten() {
                        self.tracked.swap_remove(at);
                    }
                }
                None if change.begins => add(&mut self.tracked, HeldCondition::ended(change)),
                None => {}
            }
        }
    }

    /// Loads what the database has, before the first beat.
    pub fn load(&mut self, judged: u32, open: Vec<OpenCondition>) {
        (self.judged, self.judged_recorded) = (judged, judged);
        for known in &open {
            if known.condition == Condition::DiskErrors {
                self.recent.had_new_errors(&known.subject, known.value.unwrap_or_default() as u32);
            }
        }
        self.tracked = open.iter().map(HeldCondition::stored).collect();
    }

    /// What the database has, after another monitor may have judged the machine: incidents that it began or ended. What this
    /// one has not recorded yet stays.
    pub fn adopt(&mut self, judged: u32, open: &[OpenCondition]) {
        self.judged |= judged;
        self.judged_recorded = judged;
        let is_of = |known: &HeldCondition, open: &OpenCondition| {
            known.condition() == open.condition && known.subject() == open.subject
        };
        self.tracked.retain(|known| !known.is_recorded() || open.iter().any(|open| is_of(known, open)));
        for open in open {
            if !self.tracked.iter().any(|known| is_of(known, open)) {
                add(&mut self.tracked, HeldCondition::stored(open));
            }
        }
    }

    /// Drops what is known of the subjects of `condition` that `is_subject` accepts.
    pub fn forget(&mut self, condition: Condition, is_subject: impl Fn(&str) -> bool) {
        self.tracked.retain(|known| known.condition() != condition || !is_subject(&known.subject()));
    }

    /// Applies changed settings. Returns the bits of conditions that were judged and are off now: their incidents are to be
    /// ended without a message.
    pub fn apply(&mut self, settings: &SharedSettings) -> u32 {
        self.settings = settings.clone();
        let off = |bits: u32, condition: Condition| match settings.get(condition).is_on {
            true => bits,
            false => bits | condition.bit(),
        };
        let off = CATALOGUE.iter().map(|entry| entry.condition).fold(0, off);
        let switched_off = self.judged & off;
        self.judged &= !off;
        self.judged_recorded &= !off;
        self.tracked.retain(|known| known.condition().bit() & off == 0);
        switched_off
    }
}

/// Few machines have more than one, so there is no room for others in advance.
fn add(tracked: &mut Vec<HeldCondition>, new: HeldCondition) {
    tracked.reserve_exact(1);
    tracked.push(new);
}
