//! The last 24 hours of a machine as a few runs of equal state.

use heartbeat_daemon::clock::{Moment, milliseconds};
use heartbeat_daemon::monitor::incidents::recent::RecentIncident;
use std::time::Duration;

/// Length of the smallest part of the bar, which is less than a pixel wide.
const SLOT: Duration = Duration::from_secs(300);
pub const SLOTS: usize = 288;

/// State of a machine for some time; a later one covers an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DayState {
    Up,
    /// Before it was added.
    Unknown,
    Degraded,
    Down,
}

/// Slots `from..to` of the day in one state; the day ends now. Slots without a run are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DayRun {
    pub from: usize,
    pub to: usize,
    pub state: DayState,
}

impl DayRun {
    /// When it began and ended, to the slot.
    pub fn times(self, now: Moment) -> (Moment, Moment) {
        let at = |slot: usize| now.minus(SLOT * u32::try_from(SLOTS - slot).unwrap_or(0));
        (at(self.from), at(self.to))
    }
}

/// The runs that are not up, oldest first. Incidents that ended before the day do not count.
pub fn day_runs(added: Moment, incidents: &[RecentIncident], now: Moment) -> Vec<DayRun> {
    let mut slots = [DayState::Up; SLOTS];
    let begin = now.minus(SLOT * 288);
    if added > begin {
        paint(&mut slots, begin, (begin, added), DayState::Unknown);
    }
    for incident in incidents.iter().filter(|incident| incident.ended.is_none_or(|ended| ended > begin)) {
        let state = if incident.is_outage { DayState::Down } else { DayState::Degraded };
        paint(&mut slots, begin, (incident.since, incident.ended.unwrap_or(now)), state);
    }
    runs(&slots)
}

/// A short time fills at least one slot, or it would not be seen.
fn paint(slots: &mut [DayState; SLOTS], begin: Moment, (from, to): (Moment, Moment), state: DayState) {
    let slot = |at: Moment| usize::try_from((at.0 - begin.0).max(0) / milliseconds(SLOT)).unwrap_or(SLOTS);
    let (first, last) = (slot(from).min(SLOTS - 1), slot(to).min(SLOTS - 1));
    let last = if state == DayState::Unknown { last.saturating_sub(1) } else { last };
    for painted in slots.iter_mut().take(last + 1).skip(first) {
        *painted = (*painted).max(state);
    }
}

fn runs(slots: &[DayState; SLOTS]) -> Vec<DayRun> {
    let mut found: Vec<DayRun> = Vec::new();
    for (slot, state) in slots.iter().copied().enumerate() {
        match found.last_mut().filter(|run| run.to == slot && run.state == state) {
            Some(run) => run.to += 1,
            None => found.push(DayRun { from: slot, to: slot + 1, state }),
        }
    }
    found.retain(|run| run.state != DayState::Up);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use heartbeat_daemon::monitor::machine::MachineId;

    const NOW: Moment = Moment(100 * 86_400_000);

    fn ago(minutes: u64) -> Moment {
        NOW.minus(Duration::from_secs(60 * minutes))
    }

    fn incident(is_outage: bool, since: u64, ended: Option<u64>) -> RecentIncident {
        RecentIncident { machine: MachineId(1), is_outage, since: ago(since), ended: ended.map(ago) }
    }

    fn shown(added: Moment, incidents: &[RecentIncident]) -> Vec<(usize, usize, DayState)> {
        day_runs(added, incidents, NOW).into_iter().map(|run| (run.from, run.to, run.state)).collect()
    }

    #[test]
    fn a_day_without_incidents_has_no_runs() {
        assert_eq!(shown(Moment(0), &[]), []);
    }

    #[test]
    fn the_time_before_a_machine_was_added_is_unknown() {
        assert_eq!(shown(ago(60), &[]), [(0, 276, DayState::Unknown)]);
    }

    #[test]
    fn a_short_outage_is_still_visible_and_an_open_one_lasts_until_now() {
        assert_eq!(shown(Moment(0), &[incident(true, 61, Some(60))]), [(275, 277, DayState::Down)]);
        assert_eq!(shown(Moment(0), &[incident(true, 10, None)]), [(286, 288, DayState::Down)]);
        assert_eq!(shown(Moment(0), &[incident(true, 0, None)]), [(287, 288, DayState::Down)]);
    }

    #[test]
    fn an_outage_covers_a_condition_and_what_began_earlier_is_cut() {
        let incidents = [incident(false, 3000, Some(120)), incident(true, 240, Some(180))];
        assert_eq!(
            shown(Moment(0), &incidents),
            [(0, 240, DayState::Degraded), (240, 253, DayState::Down), (253, 265, DayState::Degraded)]
        );
    }

    #[test]
    fn a_clock_that_went_back_paints_nothing_outside_the_day() {
        let future = RecentIncident {
            machine: MachineId(1),
            is_outage: true,
            since: NOW.plus(Duration::from_secs(3600)),
            ended: None,
        };
        assert_eq!(shown(Moment(0), &[future]), [(287, 288, DayState::Down)]);
    }
}
