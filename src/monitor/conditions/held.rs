//! A condition that holds, as it is kept in memory: small, because a fleet has a million cameras, and a power cut takes many at
//! once.

use crate::clock::{Moment, Now};
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::conditions::judge::{Phase, Reading};
use crate::monitor::conditions::readings::Observation;
use crate::monitor::conditions::subject::Subject;
use std::time::Instant;

/// A condition that holds, or whose end is not recorded yet. [`Phase`] is taken apart, which saves the padding.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldCondition {
    subject: Subject,
    /// When it began to hold.
    since: Moment,
    /// Of the phase: since when it holds while it is pending; since when it is good while it is open.
    at: Option<Instant>,
    /// `None`: nothing of it is to be recorded, and it has no number.
    details: Option<Box<Details>>,
    condition: Condition,
    stage: HeldStage,
    /// The last reading shows that it holds, and does not only seem to.
    is_confirmed: bool,
    /// The database has its incident.
    is_recorded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldStage {
    Pending,
    Open,
    /// Its end is not recorded.
    Over,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Details {
    label: Option<Box<str>>,
    value: Option<f32>,
    /// It held when the condition was first judged on this machine.
    existed: bool,
}

/// A condition that begins or ends, for the recorder.
#[derive(Debug, Clone, PartialEq)]
pub struct ConditionChange {
    pub condition: Condition,
    pub subject: Box<str>,
    pub label: Option<Box<str>>,
    pub begins: bool,
    /// When it began to hold.
    pub since: Moment,
    pub value: Option<f32>,
    pub threshold: Option<f32>,
    /// It held when it was first judged: recorded, not announced.
    pub existed: bool,
}

/// An open incident, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenCondition {
    pub condition: Condition,
    pub subject: String,
    pub since: Moment,
    pub value: Option<f32>,
}

impl HeldCondition {
    pub fn new(seen: &Observation<'_>, phase: Option<Phase>, now: Now) -> HeldCondition {
        let mut new = HeldCondition::seen(seen, now.wall, false);
        new.set_phase(phase);
        new
    }

    /// It held when the condition was first judged.
    pub fn existing(seen: &Observation<'_>, since: Moment) -> HeldCondition {
        HeldCondition::seen(seen, since, true)
    }

    /// An open one that is not recorded.
    fn seen(seen: &Observation<'_>, since: Moment, existed: bool) -> HeldCondition {
        let details = Details { label: seen.label.map(Into::into), value: value(seen.reading), existed };
        HeldCondition {
            subject: seen.subject.into(),
            since,
            at: None,
            details: details.boxed(),
            condition: seen.condition,
            stage: HeldStage::Open,
            is_confirmed: is_confirmed(seen.reading),
            is_recorded: false,
        }
    }

    pub fn stored(open: &OpenCondition) -> HeldCondition {
        HeldCondition {
            subject: open.subject.as_str().into(),
            since: open.since,
            at: None,
            details: Details { value: open.value, ..Details::default() }.boxed(),
            condition: open.condition,
            stage: HeldStage::Open,
            is_confirmed: true,
            is_recorded: true,
        }
    }

    /// It was over before its begin was recorded.
    pub fn ended(begin: &ConditionChange) -> HeldCondition {
        let details = Details { label: begin.label.clone(), value: begin.value, existed: begin.existed };
        HeldCondition {
            subject: (*begin.subject).into(),
            since: begin.since,
            at: None,
            details: details.boxed(),
            condition: begin.condition,
            stage: HeldStage::Over,
            is_confirmed: true,
            is_recorded: true,
        }
    }

    pub fn condition(&self) -> Condition {
        self.condition
    }

    pub fn subject(&self) -> String {
        self.subject.to_string()
    }

    pub fn since(&self) -> Moment {
        self.since
    }

    pub fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    pub fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    pub fn is_of(&self, seen: &Observation<'_>) -> bool {
        self.condition == seen.condition && self.subject.is(seen.subject)
    }

    pub fn is_changed_by(&self, change: &ConditionChange) -> bool {
        self.condition == change.condition && self.subject.is(&change.subject)
    }

    pub fn is_pending(&self) -> bool {
        self.stage == HeldStage::Pending
    }

    pub fn is_open(&self) -> bool {
        self.stage == HeldStage::Open
    }

    pub fn is_over(&self) -> bool {
        self.stage == HeldStage::Over
    }

    /// It is over, and the database knows nothing of it.
    pub fn is_forgotten(&self) -> bool {
        self.is_over() && !self.is_recorded
    }

    pub fn phase(&self) -> Option<Phase> {
        match (self.stage, self.at) {
            (HeldStage::Pending, Some(since)) => Some(Phase::Pending { since }),
            (HeldStage::Open, good_since) => Some(Phase::Open { good_since }),
            _ => None,
        }
    }

    fn set_phase(&mut self, phase: Option<Phase>) {
        (self.stage, self.at) = match phase {
            Some(Phase::Pending { since }) => (HeldStage::Pending, Some(since)),
            Some(Phase::Open { good_since }) => (HeldStage::Open, good_since),
            None => (HeldStage::Over, None),
        };
    }

    /// It is an incident, and not good.
    pub fn open(&mut self) {
        self.set_phase(Some(Phase::Open { good_since: None }));
    }

    pub fn update(&mut self, seen: &Observation<'_>, phase: Option<Phase>) {
        if self.is_over() && phase.is_none() {
            return;
        }
        let was_pending = self.is_pending();
        match phase {
            // It holds again before its end was recorded: the incident goes on.
            Some(Phase::Pending { .. }) if self.is_recorded => self.open(),
            phase => self.set_phase(phase),
        }
        self.is_confirmed = is_confirmed(seen.reading);
        let mut details = self.details.take().map(|details| *details).unwrap_or_default();
        // The incident shows the value with which it began.
        if was_pending {
            details.value = value(seen.reading).or(details.value);
        }
        if !self.is_open() || !self.is_recorded {
            details.label = seen.label.map(Into::into).or(details.label);
        }
        self.details = details.boxed();
    }

    /// The database has its begin, or its end.
    pub fn set_recorded(&mut self, begins: bool) {
        self.is_recorded = begins;
        if self.is_open() {
            // The heartbeat that ends it names it again.
            let value = self.details.as_ref().and_then(|details| details.value);
            self.details = Details { value, ..Details::default() }.boxed();
        }
    }

    /// What is to be recorded of it.
    pub fn change(&self, threshold: Option<f32>) -> ConditionChange {
        let details = self.details.as_deref().cloned().unwrap_or_default();
        ConditionChange {
            condition: self.condition,
            subject: self.subject().into(),
            label: details.label,
            begins: !self.is_over(),
            since: self.since,
            value: details.value,
            threshold,
            existed: details.existed,
        }
    }
}

impl Details {
    fn boxed(self) -> Option<Box<Details>> {
        (self != Details::default()).then(|| Box::new(self))
    }
}

fn is_confirmed(reading: Reading) -> bool {
    !matches!(reading, Reading::Unconfirmed | Reading::Unknown)
}

fn value(reading: Reading) -> Option<f32> {
    match reading {
        Reading::Number(number) => Some(number),
        Reading::Bad(number) => number,
        Reading::Unknown | Reading::Good | Reading::Unconfirmed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_is_down_takes_56_bytes_once_it_is_recorded() {
        let seen = Observation {
            condition: Condition::Camera,
            subject: "b8:27:eb:12:34:5f",
            label: Some("gate"),
            reading: Reading::Bad(None),
        };
        let now = Now { monotonic: Instant::now(), wall: Moment(1_763_774_609_000) };
        let mut down = HeldCondition::new(&seen, Some(Phase::Open { good_since: None }), now);
        assert_eq!(down.change(None).label.as_deref(), Some("gate"));
        down.set_recorded(true);
        assert_eq!((size_of::<HeldCondition>(), down.details.clone()), (56, None), "and nothing elsewhere");
        down.update(&seen, None);
        let end = down.change(None);
        assert_eq!((end.begins, end.label.as_deref(), &*end.subject), (false, Some("gate"), seen.subject));
    }
}
