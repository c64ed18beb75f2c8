//! The state of one simulated machine.

use super::choice::FleetChoice;
use super::connection::FleetConnection;
use super::ledger::CausedOutage;
use super::stream::MachineTls;
use std::time::{Duration, Instant};

/// One machine. There may be 100,000.
pub struct SimulatedMachine {
    pub connection: Option<FleetConnection>,
    /// The server that the connection leads to.
    pub connected_to: usize,
    pub choice: FleetChoice,
    pub tls: MachineTls,
    /// Attempts so far; a timer of an earlier attempt counts no more.
    pub attempts: u32,
    /// When the last acknowledged heartbeat left.
    pub heard: Option<Instant>,
    /// Something failed since the last acknowledgement.
    pub is_disturbed: bool,
    /// The connection is closed after the response in flight.
    pub churns: bool,
    pub outage: OutageState,
}

/// Where a machine is in its outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageState {
    None,
    /// It will be silent from the one moment to the other.
    Planned {
        from: Instant,
        until: Instant,
        closes: bool,
    },
    Silent {
        since: Instant,
        heard: Instant,
        until: Instant,
    },
    /// A heartbeat was sent afterwards, but none is acknowledged.
    Resumed {
        since: Instant,
        heard: Instant,
        at: Instant,
    },
}

impl SimulatedMachine {
    pub fn new(preferred: usize) -> SimulatedMachine {
        SimulatedMachine {
            connection: None,
            connected_to: 0,
            choice: FleetChoice::new(preferred),
            tls: None,
            attempts: 0,
            heard: None,
            is_disturbed: false,
            churns: false,
            outage: OutageState::None,
        }
    }

    pub fn is_busy(&self) -> bool {
        self.connection.as_ref().is_some_and(FleetConnection::is_busy)
    }

    /// Whether the outage forbids to send now; begins and ends it. A machine that was never heard has none.
    pub fn is_silent(&mut self, now: Instant) -> bool {
        match (self.outage, self.heard) {
            (OutageState::Planned { until, .. }, _) if until <= now => self.outage = OutageState::None,
            (OutageState::Planned { from, until, closes }, Some(heard)) if from <= now => {
                // The monitor may have heard a heartbeat in flight: its response must not count later.
                if closes || self.is_busy() {
                    self.connection = None;
                }
                self.outage = OutageState::Silent { since: now, heard, until };
            }
            (OutageState::Silent { since, heard, until }, _) if until <= now => {
                self.outage = OutageState::Resumed { since, heard, at: now };
            }
            _ => {}
        }
        matches!(self.outage, OutageState::Silent { .. })
    }

    /// A heartbeat that left at `sent` was acknowledged. Returns the silence before it, unless that was an outage.
    pub fn acknowledged(&mut self, sent: Instant, now: Instant) -> Option<Duration> {
        self.choice.acknowledged();
        self.is_disturbed = false;
        let before = self.heard.replace(sent);
        match self.outage {
            OutageState::Resumed { .. } => None,
            _ => Some(now.saturating_duration_since(before?)),
        }
    }

    /// The outage, if it has begun; `acknowledged`: a heartbeat was, now.
    pub fn caused_outage(
        &self,
        machine: u32,
        start: Instant,
        acknowledged: Option<Instant>,
    ) -> Option<CausedOutage> {
        let (since, heard, resumed) = match self.outage {
            OutageState::Silent { since, heard, .. } => (since, heard, None),
            OutageState::Resumed { since, heard, at } => (since, heard, Some(at)),
            OutageState::None | OutageState::Planned { .. } => return None,
        };
        let relative = |at: Instant| at.saturating_duration_since(start);
        Some(CausedOutage {
            machine,
            heard: relative(heard),
            silent: relative(since),
            resumed: resumed.map(relative),
            acknowledged: acknowledged.map(relative),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn planned(start: Instant) -> SimulatedMachine {
        let (from, until) = (start + SECOND * 10, start + SECOND * 20);
        let outage = OutageState::Planned { from, until, closes: true };
        SimulatedMachine { outage, ..SimulatedMachine::new(0) }
    }

    #[test]
    fn an_outage_begins_and_ends_with_the_heartbeats_around_it() {
        let start = Instant::now();
        let mut machine = planned(start);
        let at = |seconds| start + SECOND * seconds;
        assert!(!machine.is_silent(at(9)));
        assert_eq!(machine.acknowledged(at(9), at(9)), None, "the first");
        assert!(machine.is_silent(at(14)) && machine.is_silent(at(19)));
        let outage = machine.caused_outage(7, start, None).expect("it has begun");
        assert_eq!((outage.heard, outage.silent, outage.resumed), (SECOND * 9, SECOND * 14, None));
        assert!(!machine.is_silent(at(24)));
        assert_eq!(machine.acknowledged(at(24), at(25)), None, "an outage is no silence to report");
        let outage = machine.caused_outage(7, start, Some(at(25))).expect("it is over");
        assert_eq!((outage.resumed, outage.acknowledged), (Some(SECOND * 24), Some(SECOND * 25)));
        assert_eq!((outage.machine, outage.heard), (7, SECOND * 9));
    }

    #[test]
    fn a_machine_that_was_never_heard_has_no_outage() {
        let start = Instant::now();
        let mut machine = planned(start);
        assert!(!machine.is_silent(start + SECOND * 15));
        assert!(!machine.is_silent(start + SECOND * 25));
        assert_eq!(machine.outage, OutageState::None);
        assert_eq!(machine.caused_outage(7, start, None), None);
    }

    #[test]
    fn a_silence_lasts_from_one_sending_to_the_next_acknowledgement() {
        let (start, mut machine) = (Instant::now(), SimulatedMachine::new(0));
        machine.acknowledged(start, start + SECOND);
        assert_eq!(machine.acknowledged(start + SECOND * 5, start + SECOND * 6), Some(SECOND * 6));
    }
}
