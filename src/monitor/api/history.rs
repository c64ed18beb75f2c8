//! A machine's history as JSON.

use super::query::{Query, QueryFault};
use crate::clock::Moment;
use crate::monitor::beat::Sample;
use crate::monitor::fleet::Fleet;
use crate::monitor::history;
use crate::monitor::history::resolution::RESOLUTIONS;
use crate::monitor::machine::MachineId;
use crate::monitor::store::{Store, StoreError};
use serde::Serialize;
use std::time::Duration;

/// Points of one response: about 450 KB, and more than a graph has pixels.
const MOST_POINTS: u64 = 2_000;
const DAY: Duration = Duration::from_secs(86_400);

/// The requested range and resolution.
#[derive(Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Moment,
    pub to: Moment,
    /// Seconds.
    pub step: u32,
}

#[derive(Debug, Serialize)]
pub struct HistoryView {
    pub step_s: u32,
    /// Oldest first; steps without heartbeats have no point.
    pub points: Vec<PointView>,
}

/// Averages of a step; `null` where there was no value.
#[derive(Debug, Serialize)]
pub struct PointView {
    pub at: Option<String>,
    pub cpu: Option<f32>,
    pub mem: Option<f32>,
    pub temp: Option<f32>,
    pub disk: Option<f32>,
    pub power: Option<f32>,
    pub load: Option<f32>,
    pub signal: Option<f32>,
    /// Of the minutes in the step; `None` if it is one minute.
    pub min: Option<BoundView>,
    pub max: Option<BoundView>,
}

/// The least or the greatest minute of a step; `null` where it is not known.
#[derive(Debug, Serialize)]
pub struct BoundView {
    pub cpu: Option<f32>,
    pub mem: Option<f32>,
    pub temp: Option<f32>,
    pub power: Option<f32>,
    pub signal: Option<f32>,
}

impl BoundView {
    fn of(Sample { cpu, mem, temp, power, signal, .. }: Sample) -> BoundView {
        BoundView { cpu, mem, temp, power, signal }
    }
}

/// Reads `from`, `to` and `step`.
pub fn span(mut query: Query, now: Moment) -> Result<Span, QueryFault> {
    let to = query.moment("to")?.unwrap_or(now);
    let from = query.moment("from")?.unwrap_or_else(|| to.minus(DAY));
    let step = query.number("step", "seconds", 60..=86_400)?;
    query.end()?;
    if step.is_some_and(|step| step % 60 != 0) {
        return Err("step must be whole minutes: a multiple of 60".into());
    }
    if from >= to {
        return Err("from must be before to".into());
    }
    let points = |step: u32| to.since(from).as_secs().div_ceil(u64::from(step));
    match step {
        Some(step) if points(step) > MOST_POINTS => {
            Err(format!("{} points are too many; use a larger step or a shorter range", points(step)))
        }
        Some(step) => Ok(Span { from, to, step }),
        None => {
            let steps = RESOLUTIONS.map(|kept| (u32::try_from(kept.seconds).unwrap_or(3600), kept.kept));
            let reaches =
                |(step, kept): &&(u32, Duration)| points(*step) <= MOST_POINTS && now.since(from) <= *kept;
            let step = steps.iter().find(reaches).map_or(3600, |(step, _)| *step);
            let enough = to.since(from).as_secs().div_ceil(MOST_POINTS);
            // Whole hours, if one hour is too fine.
            let step = if points(step) > MOST_POINTS {
                u32::try_from(enough.div_ceil(3600) * 3600).unwrap_or(u32::MAX)
            } else {
                step
            };
            Ok(Span { from, to, step })
        }
    }
}

/// Reads the history from the database and the part that is not written yet from memory.
pub fn view(store: &Store, fleet: &Fleet, id: MachineId, span: &Span) -> Result<HistoryView, StoreError> {
    let step = Duration::from_secs(span.step.into());
    let points = history::query::query(store, fleet, id, span.from, span.to, step)?;
    let bound = |side: Sample| (span.step > 60).then(|| BoundView::of(side));
    let view = |point: history::resolution::Point| PointView {
        at: point.at.rfc_3339(),
        cpu: point.sample.cpu,
        mem: point.sample.mem,
        temp: point.sample.temp,
        disk: point.sample.disk,
        power: point.sample.power,
        load: point.sample.load,
        signal: point.sample.signal,
        min: bound(point.least),
        max: bound(point.greatest),
    };
    Ok(HistoryView { step_s: span.step, points: points.into_iter().map(view).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_763_756_400_000);

    fn parsed(text: &str) -> Result<Span, QueryFault> {
        span(Query::parse(Some(text)).expect(text), NOW)
    }

    fn ago(hours: u64) -> Moment {
        NOW.minus(Duration::from_secs(hours * 3600))
    }

    #[test]
    fn the_default_is_the_last_day_by_the_minute() {
        assert_eq!(parsed(""), Ok(Span { from: ago(24), to: NOW, step: 60 }));
    }

    #[test]
    fn the_step_is_the_finest_that_is_kept_and_fits_into_a_response() {
        let step = |hours: u64| parsed(&format!("from={}", ago(hours).0 / 1000)).map(|span| span.step);
        assert_eq!(step(33), Ok(60));
        assert_eq!(step(34), Ok(900), "2,040 minutes");
        assert_eq!(step(24 * 20), Ok(900));
        assert_eq!(step(24 * 31), Ok(3600));
        assert_eq!(step(24 * 365), Ok(5 * 3600));
    }

    #[test]
    fn an_empty_range_or_one_with_too_many_points_is_refused() {
        for text in [
            "from=1763756400&to=1763756400",
            "from=1763756400",
            "from=0&step=60",
            "step=59",
            "step=61",
            "step=1m",
        ] {
            parsed(text).expect_err(text);
        }
    }
}
