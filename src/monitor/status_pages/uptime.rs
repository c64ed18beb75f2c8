//! The share of each day (UTC) for which a machine was up. A day without a heartbeat and without an outage is unknown: the
//! monitor was not running, or the machine was not there yet.
//!
//! Stops on purpose, and outages during a maintenance, count neither as up nor as down.

use crate::clock::Moment;
use crate::monitor::fleet::activity::day;

/// Days that a page shows, today included.
pub const DAYS: usize = 90;
const DAY_MS: i64 = 86_400_000;

/// Begin and end.
pub type TimeSpan = (Moment, Moment);

/// What is recorded of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UptimeRecords {
    /// When it was added, or the oldest record that is kept.
    pub from: Moment,
    /// The present moment; for a machine that is not watched, the moment from which on it was not.
    pub until: Moment,
    /// Days with heartbeats, since 1970, sorted.
    pub beat_days: Vec<i64>,
    /// Unplanned outages, from the last heartbeat to the next one.
    pub outages: Vec<TimeSpan>,
    pub stops: Vec<TimeSpan>,
    pub maintenances: Vec<TimeSpan>,
}

/// Milliseconds of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UptimeDay {
    pub up: i64,
    pub down: i64,
}

/// The last [`DAYS`] days of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uptime {
    /// Since 1970.
    pub first_day: i64,
    /// Oldest first; `None`: unknown.
    pub days: Vec<Option<UptimeDay>>,
}

/// Share of the known time, rounded down to 0.01 %: only what was never down has 100 %. `None`: nothing is known.
pub fn percent(days: impl Iterator<Item = UptimeDay>) -> Option<f64> {
    let (up, down) = days.fold((0, 0), |(up, down), day| (up + day.up, down + day.down));
    let hundredths = (up * 10_000).checked_div(up + down)?;
    // At most 10,000: exact.
    Some(hundredths as f64 / 100.0)
}

impl Uptime {
    pub fn of(records: &UptimeRecords, now: Moment) -> Uptime {
        // 90 fits.
        let first_day = day(now) - (DAYS as i64 - 1);
        Uptime { first_day, days: (first_day..=day(now)).map(|day| records.day(day)).collect() }
    }

    pub fn percent(&self) -> Option<f64> {
        percent(self.days.iter().flatten().copied())
    }
}

impl UptimeRecords {
    fn day(&self, day: i64) -> Option<UptimeDay> {
        let (begin, end) = (Moment(day.saturating_mul(DAY_MS)), Moment((day + 1).saturating_mul(DAY_MS)));
        let span = (begin.max(self.from), end.min(self.until));
        let of = |spans: &[TimeSpan]| spans.iter().map(|other| length(common(*other, span))).sum::<i64>();
        let here =
            self.outages.iter().map(|outage| common(*outage, span)).filter(|outage| length(*outage) > 0);
        let excused = here.map(|outage| of_excused(&self.maintenances, outage));
        let (outages, excused, stops) = (of(&self.outages), excused.sum::<i64>(), of(&self.stops));
        let has_data = outages > 0 || self.beat_days.binary_search(&day).is_ok();
        let down = outages - excused;
        let up = length(span) - outages - stops;
        // Less than 0 only after a step of the clock, which made incidents overlap.
        let known = UptimeDay { up: up.max(0), down: down.max(0) };
        (has_data && known.up + known.down > 0).then_some(known)
    }
}

/// The part of an outage for which there was a maintenance.
fn of_excused(maintenances: &[TimeSpan], outage: TimeSpan) -> i64 {
    maintenances.iter().map(|maintenance| length(common(*maintenance, outage))).sum()
}

fn common(one: TimeSpan, other: TimeSpan) -> TimeSpan {
    (one.0.max(other.0), one.1.min(other.1))
}

/// In milliseconds; 0 for spans that have nothing in common.
fn length(span: TimeSpan) -> i64 {
    span.1.0.saturating_sub(span.0.0).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    /// Noon of day 1,000.
    const NOW: Moment = Moment(1_000 * DAY_MS + 12 * HOUR);

    /// Hours from the begin of day 998, which is the third last.
    fn at(hour: i64) -> Moment {
        Moment(998 * DAY_MS + hour * HOUR)
    }

    fn spans(hours: &[(i64, i64)]) -> Vec<TimeSpan> {
        hours.iter().map(|(from, to)| (at(*from), at(*to))).collect()
    }

    /// A machine that was added long ago and sent heartbeats on the last three days.
    fn records() -> UptimeRecords {
        UptimeRecords {
            from: Moment(0),
            until: NOW,
            beat_days: vec![998, 999, 1_000],
            outages: Vec::new(),
            stops: Vec::new(),
            maintenances: Vec::new(),
        }
    }

    /// Hours up and down of the last three days.
    fn hours(records: &UptimeRecords) -> [Option<(i64, i64)>; 3] {
        let days = Uptime::of(records, NOW).days;
        assert_eq!(days.len(), DAYS);
        let hours = |index: usize| days[DAYS - 3 + index].map(|day| (day.up / HOUR, day.down / HOUR));
        [hours(0), hours(1), hours(2)]
    }

    #[test]
    fn a_day_without_data_is_unknown_and_never_up() {
        assert_eq!(hours(&records()), [Some((24, 0)), Some((24, 0)), Some((12, 0))]);
        let gap = UptimeRecords { beat_days: vec![998], ..records() };
        assert_eq!(hours(&gap), [Some((24, 0)), None, None]);
        let never = UptimeRecords { beat_days: Vec::new(), ..records() };
        assert_eq!(Uptime::of(&never, NOW).percent(), None);
    }

    #[test]
    fn an_outage_counts_on_each_of_its_days_with_or_without_heartbeats() {
        let outage = UptimeRecords { outages: spans(&[(20, 54)]), beat_days: vec![998, 1_000], ..records() };
        assert_eq!(hours(&outage), [Some((20, 4)), Some((0, 24)), Some((6, 6))]);
        let open = UptimeRecords { outages: vec![(at(36), NOW)], ..records() };
        assert_eq!(hours(&open), [Some((24, 0)), Some((12, 12)), Some((0, 12))]);
    }

    #[test]
    fn a_machine_counts_from_the_moment_at_which_it_was_added() {
        let new = UptimeRecords { from: at(36), ..records() };
        assert_eq!(hours(&new), [None, Some((12, 0)), Some((12, 0))]);
        // With the last heartbeat before the removal and the addition under the same number, which cannot be.
        let before = UptimeRecords { outages: spans(&[(1, 30), (40, 42)]), ..new };
        assert_eq!(hours(&before), [None, Some((10, 2)), Some((12, 0))]);
    }

    #[test]
    fn a_machine_that_is_not_watched_is_unknown_from_then_on() {
        let disabled = UptimeRecords { until: at(30), outages: spans(&[(29, 60)]), ..records() };
        assert_eq!(hours(&disabled), [Some((24, 0)), Some((5, 1)), None]);
    }

    #[test]
    fn stops_and_outages_in_a_maintenance_count_neither_as_up_nor_as_down() {
        let stopped = UptimeRecords { stops: spans(&[(6, 12), (24, 48)]), ..records() };
        assert_eq!(hours(&stopped), [Some((18, 0)), None, Some((12, 0))]);
        let maintenance =
            UptimeRecords { outages: spans(&[(10, 20)]), maintenances: spans(&[(8, 16)]), ..records() };
        assert_eq!(hours(&maintenance)[0], Some((14, 4)));
        let up = UptimeRecords { maintenances: spans(&[(8, 16)]), ..records() };
        assert_eq!(hours(&up)[0], Some((24, 0)), "up all the time");
    }

    #[test]
    fn overlapping_outages_after_a_step_of_the_clock_are_not_negative() {
        let twice = UptimeRecords { outages: spans(&[(0, 24), (0, 24)]), ..records() };
        assert_eq!(hours(&twice)[0], Some((0, 48)));
        let future = UptimeRecords { outages: vec![(at(100), at(90))], from: at(90), ..records() };
        assert_eq!(hours(&future), [None; 3]);
    }

    #[test]
    fn only_what_was_never_down_has_100_percent() {
        let percent = |up, down| percent([UptimeDay { up, down }].into_iter());
        for (up, down, expected) in [
            (DAY_MS, 0, Some(100.0)),
            (90 * DAY_MS - 1, 1, Some(99.99)),
            (1, 1, Some(50.0)),
            (1, 90 * DAY_MS, Some(0.0)),
            (0, 0, None),
        ] {
            assert_eq!(percent(up, down), expected, "{up} {down}");
        }
    }
}
