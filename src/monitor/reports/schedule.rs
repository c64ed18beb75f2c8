//! When a report is due, and which days it covers: by the recipient's clock. Pure.

use crate::clock::Moment;
use crate::monitor::zone::Clock;
use clap::ValueEnum;
use std::time::Duration;
use time::{Date, OffsetDateTime};

const DAY_MS: i64 = 86_400_000;

/// A report arrives at 08:00, after the night and before the work.
const HOUR_MS: i64 = 8 * 3_600_000;

/// Two reports of a recipient are at least this far apart, also after a change of the time zone.
pub const SHORTEST_DISTANCE: Duration = Duration::from_secs(3 * 86_400);

/// 1970-01-01 as a Julian day.
const EPOCH: i64 = 2_440_588;

/// How often a recipient gets a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportInterval {
    /// On Monday at 08:00, about the last week
    Weekly,
    /// On the first day of the month at 08:00, about the last month
    Monthly,
}

/// The time that a report covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPeriod {
    pub from: Moment,
    pub until: Moment,
    /// Its first and last day: `2026-11-23 to 2026-11-29`.
    pub name: String,
}

impl ReportInterval {
    /// As in `recipient_report.every`.
    pub fn name(self) -> &'static str {
        match self {
            ReportInterval::Weekly => "weekly",
            ReportInterval::Monthly => "monthly",
        }
    }

    pub fn from_name(name: &str) -> Option<ReportInterval> {
        [ReportInterval::Weekly, ReportInterval::Monthly].into_iter().find(|every| every.name() == name)
    }

    /// The latest time at which a report was due.
    pub fn last_due(self, clock: &Clock, now: Moment) -> Moment {
        let today = local_day(clock, now);
        let due = |day| local(clock, day * DAY_MS + HOUR_MS);
        let this = self.first_day(today);
        if due(this) <= now { due(this) } else { due(self.first_day(this - 1)) }
    }

    /// The week or month before the day on which a report is due.
    pub fn period(self, clock: &Clock, due: Moment) -> ReportPeriod {
        let until = self.first_day(local_day(clock, due));
        period(clock, self.first_day(until - 1), until)
    }

    /// The first day of the week or month of `day`, counted from 1970.
    fn first_day(self, day: i64) -> i64 {
        match self {
            // 1970-01-01 was a Thursday.
            ReportInterval::Weekly => day - (day + 3).rem_euclid(7),
            ReportInterval::Monthly => day - i64::from(date(day).map_or(1, Date::day)) + 1,
        }
    }
}

/// The last `days` days, up to now.
pub fn latest(clock: &Clock, days: i64, now: Moment) -> ReportPeriod {
    let today = local_day(clock, now);
    ReportPeriod { until: now, ..period(clock, today - days + 1, today + 1) }
}

fn period(clock: &Clock, from: i64, until: i64) -> ReportPeriod {
    let shown = |day: i64| date(day).map_or_else(|| "unknown".to_owned(), |date| date.to_string());
    ReportPeriod {
        from: local(clock, from * DAY_MS),
        until: local(clock, until * DAY_MS),
        name: format!("{} to {}", shown(from), shown(until - 1)),
    }
}

/// The day of the local calendar, counted from 1970.
pub fn local_day(clock: &Clock, at: Moment) -> i64 {
    at.0.saturating_add(clock.ahead_ms(at)).div_euclid(DAY_MS)
}

/// The moment at which the local clock shows this many milliseconds since 1970.
fn local(clock: &Clock, shown: i64) -> Moment {
    let roughly = Moment(shown - clock.ahead_ms(Moment(shown)));
    Moment(shown - clock.ahead_ms(roughly))
}

fn date(day: i64) -> Option<Date> {
    i32::try_from(day + EPOCH).ok().and_then(|day| Date::from_julian_day(day).ok())
}

/// `2026-11-30` by this clock.
pub fn shown_day(clock: &Clock, at: Moment) -> String {
    let seconds = at.0.saturating_add(clock.ahead_ms(at)).div_euclid(1000);
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| "unknown".into(), |at| at.date().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::zone::berlin;

    const HOUR: i64 = 3_600_000;
    /// Sunday 2026-03-29 01:00 UTC, when Berlin's clock jumps from 02:00 to 03:00.
    const SPRING: i64 = 1_774_746_000_000;
    /// Monday 2026-03-30 08:00 CEST.
    const MONDAY: i64 = SPRING + 29 * HOUR;

    fn shown(at: Moment) -> String {
        berlin().written(at)
    }

    #[test]
    fn a_weekly_report_is_due_on_monday_at_eight_also_after_the_clock_was_changed() {
        let weekly = ReportInterval::Weekly;
        let due = weekly.last_due(&berlin(), Moment(MONDAY));
        assert_eq!((due.0, shown(due).as_str()), (MONDAY, "2026-03-30 08:00:00 CEST"));
        let before = weekly.last_due(&berlin(), Moment(MONDAY - 1));
        assert_eq!(shown(before), "2026-03-23 08:00:00 CET");
        let period = weekly.period(&berlin(), due);
        assert_eq!(period.name, "2026-03-23 to 2026-03-29");
        assert_eq!(shown(period.from), "2026-03-23 00:00:00 CET");
        assert_eq!(shown(period.until), "2026-03-30 00:00:00 CEST");
        assert_eq!(period.until.since(period.from), Duration::from_secs(167 * 3600), "an hour is missing");
    }

    #[test]
    fn a_monthly_report_is_due_on_the_first_and_covers_the_month_before() {
        let monthly = ReportInterval::Monthly;
        let due = monthly.last_due(&berlin(), Moment(MONDAY));
        assert_eq!(shown(due), "2026-03-01 08:00:00 CET");
        assert_eq!(monthly.period(&berlin(), due).name, "2026-02-01 to 2026-02-28");
        let january = Moment(due.0 - 59 * 24 * HOUR);
        let due = monthly.last_due(&berlin(), january);
        assert_eq!(shown(due), "2026-01-01 08:00:00 CET");
        assert_eq!(monthly.period(&berlin(), due).name, "2025-12-01 to 2025-12-31");
    }

    #[test]
    fn each_due_time_of_ten_years_follows_the_one_before_in_every_zone() {
        for clock in [berlin(), Clock::Fixed(-570), Clock::UTC, Clock::Fixed(840)] {
            for every in [ReportInterval::Weekly, ReportInterval::Monthly] {
                let mut due = every.last_due(&clock, Moment(MONDAY));
                for _ in 0..120 {
                    let before = every.last_due(&clock, Moment(due.0 - 1));
                    assert!(before < due && due.since(before) >= SHORTEST_DISTANCE, "{every:?}");
                    assert_eq!(every.last_due(&clock, due), due);
                    let (this, last) = (every.period(&clock, due), every.period(&clock, before));
                    assert_eq!(this.from, last.until, "no moment is missing, none is counted twice");
                    due = before;
                }
            }
        }
    }

    #[test]
    fn the_latest_days_end_now() {
        let latest = latest(&berlin(), 7, Moment(MONDAY));
        assert_eq!((latest.until, latest.name.as_str()), (Moment(MONDAY), "2026-03-24 to 2026-03-30"));
        assert_eq!(shown_day(&berlin(), Moment(MONDAY)), "2026-03-30");
    }
}
