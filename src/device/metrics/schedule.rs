//! When each source is read: the fast ones for every sample, a slow one at a time between two samples.

use super::doctor::SourceReport;
use super::firmware::Firmware;
use super::reading::Reading;
use super::source::{Absent, Place, Source, Turn};
use super::terms::Cadence;
use std::path::Path;
use std::time::{Duration, Instant};

/// A value is dropped once it is older than this many periods of its source.
const STALE_AFTER: u32 = 3;

/// All sources, in the order in which they write into a reading.
#[derive(Default)]
pub struct Sources {
    entries: Vec<Box<dyn Entry>>,
    /// When the last reading was made.
    last: Option<Instant>,
}

impl Sources {
    pub fn add(&mut self, pace: Cadence, source: impl Source + 'static) {
        self.entries.push(Box::new(Scheduled { source, pace, gone: false, last_read: None, kept: None }));
    }

    /// Reads the fast sources, and adds the last values of the slow ones.
    pub fn sample(&mut self, turn: &mut Turn<'_>) -> Reading {
        let last = self.last.replace(turn.now).unwrap_or(turn.now);
        let spacing = turn.now.saturating_duration_since(last);
        // One slow source is read per sample, so that with long intervals each has to wait for the others.
        let slow = self.entries.iter().filter(|entry| entry.is_slow()).count();
        let round = spacing * u32::try_from(slow).unwrap_or(u32::MAX);
        let mut reading = Reading::default();
        for entry in &mut self.entries {
            entry.fill(turn, round, &mut reading);
            reading.unresponsive.extend(entry.unresponsive().map(Path::to_owned));
        }
        reading
    }

    /// Reads the longest overdue of the slow sources; false if none is due.
    pub fn read_one(&mut self, turn: &mut Turn<'_>) -> bool {
        let due = self.entries.iter_mut().filter_map(|entry| Some((entry.due(turn.now)?, entry)));
        // The first of equals: one that was never read is the longest overdue.
        match due.min_by_key(|(due, _)| *due) {
            Some((_, entry)) => entry.read(turn),
            None => return false,
        }
        true
    }

    /// Reads every source, the slow ones too.
    pub fn inspect(&mut self, turn: &mut Turn<'_>) -> Vec<SourceReport> {
        self.entries.iter_mut().flat_map(|entry| entry.inspect(turn)).collect()
    }
}

/// A type-erased [`Source`] with its schedule.
trait Entry: Send {
    fn is_slow(&self) -> bool;
    fn fill(&mut self, turn: &mut Turn<'_>, round: Duration, reading: &mut Reading);
    /// When it was or must be read, if that is not in the future; `Some(None)`: never.
    fn due(&self, now: Instant) -> Option<Option<Instant>>;
    fn read(&mut self, turn: &mut Turn<'_>);
    fn inspect(&mut self, turn: &mut Turn<'_>) -> Vec<SourceReport>;
    fn unresponsive(&self) -> Option<&Path>;
}

struct Scheduled<S: Source> {
    source: S,
    pace: Cadence,
    /// Set once it has failed for good.
    gone: bool,
    last_read: Option<Instant>,
    kept: Option<S::Value>,
}

impl<S: Source> Scheduled<S> {
    fn read(&mut self, turn: &mut Turn<'_>) -> Result<S::Value, Absent> {
        let result = self.source.read(turn);
        self.gone = matches!(result, Err(Absent::ForGood(_)));
        result
    }
}

impl<S: Source> Entry for Scheduled<S> {
    fn is_slow(&self) -> bool {
        !self.gone && self.pace != Cadence::EachSample
    }

    fn fill(&mut self, turn: &mut Turn<'_>, round: Duration, reading: &mut Reading) {
        if self.gone {
            return;
        }
        match (self.pace, self.last_read) {
            (Cadence::EachSample, _) => {
                if let Ok(value) = self.read(turn) {
                    self.source.put(&value, reading);
                }
            }
            (Cadence::Every(period), Some(last)) => {
                let age = turn.now.saturating_duration_since(last);
                let fresh = age <= period.max(round) * STALE_AFTER;
                self.kept = self.kept.take().filter(|_| fresh);
                self.kept.iter().for_each(|value| self.source.put(value, reading));
            }
            (Cadence::Every(_), None) => {}
        }
    }

    fn due(&self, now: Instant) -> Option<Option<Instant>> {
        match (self.pace, self.last_read) {
            (Cadence::EachSample, _) => None,
            _ if self.gone => None,
            (Cadence::Every(_), None) => Some(None),
            (Cadence::Every(period), Some(last)) => Some(Some(last + period)).filter(|due| *due <= Some(now)),
        }
    }

    fn read(&mut self, turn: &mut Turn<'_>) {
        self.last_read = Some(turn.now);
        self.kept = self.read(turn).ok();
    }

    fn inspect(&mut self, turn: &mut Turn<'_>) -> Vec<SourceReport> {
        self.source.inspect(turn)
    }

    fn unresponsive(&self) -> Option<&Path> {
        self.source.unresponsive()
    }
}

/// A slow source that is no more than a question: what a program or a peer says within a limit.
pub struct QuerySource<V, A> {
    pub name: &'static str,
    pub place: String,
    /// `None` if the peer answers without data: no modem, no receiver.
    pub query: A,
    pub put: fn(&V, &mut Reading),
    pub show: fn(&V) -> String,
}

impl<V, A> Source for QuerySource<V, A>
where
    V: Send,
    A: FnMut(Duration) -> Result<Option<V>, String> + Send,
{
    type Value = V;

    fn name(&self) -> &'static str {
        self.name
    }

    fn place(&self, _: &Firmware) -> Place {
        Place::named(self.place.clone())
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<V, Absent> {
        match (self.query)(turn.limit) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(Absent::because(format!("{} has no data", self.place))),
            Err(reason) => Err(Absent::because(reason)),
        }
    }

    fn put(&self, value: &V, reading: &mut Reading) {
        (self.put)(value, reading);
    }

    fn show(&self, value: &V) -> String {
        (self.show)(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::metrics::power::Power;
    use crate::wire::Cellular;

    /// A modem of which only the operator matters here.
    fn modem(operator: &str) -> Cellular {
        Cellular {
            state: "connected".to_owned(),
            operator: Some(operator.to_owned()),
            technology: None,
            signal_percent: None,
        }
    }

    fn query_source<A>(query: A) -> QuerySource<Cellular, A> {
        QuerySource {
            name: "modem",
            place: "mmcli".to_owned(),
            query,
            put: |modem, reading| reading.connection.cellular = Some(modem.clone()),
            show: |modem| modem.state.clone(),
        }
    }

    /// Runs `act` with the sources and the firmware of a machine that has none.
    fn turn<T>(sources: &mut Sources, now: Instant, act: fn(&mut Sources, &mut Turn<'_>) -> T) -> T {
        let mut firmware = Firmware::choose(Path::new("/proc/nowhere"));
        act(sources, &mut Turn { now, limit: Duration::ZERO, firmware: &mut firmware })
    }

    #[test]
    fn a_peers_last_answer_is_kept_until_it_has_no_data() {
        let mut answers =
            vec![Err("gone".to_owned()), Ok(None), Ok(Some(modem("two"))), Ok(Some(modem("one")))];
        let mut sources = Sources::default();
        let period = Duration::from_secs(60);
        sources.add(Cadence::Every(period), query_source(move |_| answers.pop().expect("four answers")));
        let mut now = Instant::now();
        for expected in [Some("one"), Some("two"), None, None] {
            assert!(turn(&mut sources, now, Sources::read_one));
            assert!(!turn(&mut sources, now, Sources::read_one), "not before its period");
            let connection = turn(&mut sources, now, Sources::sample).connection;
            let operator = connection.cellular.and_then(|modem| modem.operator);
            assert_eq!(operator.as_deref(), expected);
            now += period;
        }
    }

    #[test]
    fn the_longest_overdue_source_is_read_first_and_a_permanently_absent_one_never() {
        let (said, queried) = crossbeam_channel::unbounded();
        let mut sources = Sources::default();
        for (name, period) in [("a", 10), ("b", 30)] {
            let said = said.clone();
            let query = move |_| -> Result<Option<Cellular>, String> {
                said.send(name).expect("the test listens");
                Ok(None)
            };
            sources.add(Cadence::Every(Duration::from_secs(period)), query_source(query));
        }
        // Without firmware: for good.
        sources.add(Cadence::Every(Duration::ZERO), Power);
        let begin = Instant::now();
        for seconds in [0, 1, 2, 3, 12, 40, 41] {
            turn(&mut sources, begin + Duration::from_secs(seconds), Sources::read_one);
        }
        // 2 s is the firmware's only turn; at 3 s none is due; at 40 s a has waited since 22 s, b since 31 s.
        assert_eq!(queried.try_iter().collect::<Vec<_>>(), ["a", "b", "a", "a", "b"]);
    }
}
