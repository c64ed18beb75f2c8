//! Facts that no longer change, so that a look at the fleet need not read them again: the outages of the week before the last
//! day, the last payload of a machine that has sent nothing since the monitor's start, and payloads that were parsed for an
//! earlier look.

use super::reported::Reported;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::incidents::recent::EndedOutage;
use heartbeat_daemon::monitor::machine::MachineId;
use heartbeat_daemon::monitor::store::{Store, StoreError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The bar shows a day: incidents that ended within it are read at each look.
const DAY: Duration = Duration::from_secs(86_400);
/// Outages since Monday, in every time zone.
const WEEK: Duration = Duration::from_secs(8 * 86_400);
/// The part that is read at each look grows by this time before the outages are read again.
const REFRESH: Duration = Duration::from_secs(3_600);

/// See the module.
#[derive(Default)]
pub struct FleetPast {
    outages: HashMap<MachineId, Vec<EndedOutage>>,
    /// They ended before this moment; `None`: not read yet.
    until: Option<Moment>,
    /// From before the monitor's start; `None`: not read yet.
    reported: Option<HashMap<MachineId, Arc<Reported>>>,
    /// The newest payloads, and when they were received: looks follow each other faster than the beats of a machine.
    parsed: HashMap<MachineId, (Moment, Arc<Reported>)>,
}

impl FleetPast {
    /// Reads what is missing at `now`. Returns the moment since which ended incidents are not in here.
    pub fn refresh(&mut self, store: &Store, now: Moment) -> Result<Moment, StoreError> {
        if self.reported.is_none() {
            let mut reported = HashMap::new();
            store.each_latest(|machine, payload| {
                reported.insert(machine, Arc::new(Reported::parse(payload)));
            })?;
            self.reported = Some(reported);
        }
        let day = now.minus(DAY);
        if let Some(until) = self.until.filter(|until| is_recent(*until, day)) {
            return Ok(until);
        }
        self.outages.clear();
        for (machine, outage) in store.ended_outages(now.minus(WEEK), day)? {
            self.outages.entry(machine).or_default().push(outage);
        }
        self.until = Some(day);
        Ok(day)
    }

    /// Begin and end of the outages of `machine`.
    pub fn outages(&self, machine: MachineId) -> impl Iterator<Item = (Moment, Option<Moment>)> {
        let outages = self.outages.get(&machine).into_iter().flatten();
        outages.map(|&(began, ended)| (began, Some(ended)))
    }

    /// What the last payload of `machine` before the monitor's start said.
    pub fn reported(&self, machine: MachineId) -> Arc<Reported> {
        self.reported.as_ref().and_then(|reported| reported.get(&machine)).cloned().unwrap_or_default()
    }

    /// When the payload of `machine` was received that was parsed last.
    pub fn parsed_at(&self, machine: MachineId) -> Option<Moment> {
        self.parsed.get(&machine).map(|(at, _)| *at)
    }

    /// What the payload of `machine` says that was received at `at`; `payload` is not read if it is the one of
    /// [`FleetPast::parsed_at`].
    pub fn parse(&mut self, machine: MachineId, at: Moment, payload: Option<&str>) -> Arc<Reported> {
        if let Some((_, reported)) = self.parsed.get(&machine).filter(|(known, _)| *known == at) {
            return reported.clone();
        }
        let reported = Arc::new(payload.map(Reported::parse).unwrap_or_default());
        self.parsed.insert(machine, (at, reported.clone()));
        reported
    }

    /// Bounds the memory once machines were removed: `machines` is the number of those that are left.
    pub fn forget_removed(&mut self, machines: usize) {
        if self.parsed.len() > machines {
            self.parsed.clear();
        }
    }
}

/// Whether a day that begins at `day` is covered, and little more; not after the clock was set back.
fn is_recent(until: Moment, day: Moment) -> bool {
    until <= day && day.since(until) < REFRESH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::scratch::ScratchStore;
    use heartbeat_daemon::monitor::machine::Description;

    const HOUR: Duration = Duration::from_secs(3_600);
    const NOW: Moment = Moment(100 * 86_400_000);

    fn store() -> ScratchStore {
        let store = ScratchStore::new();
        store
            .add_machine(&Description { name: "barn".into(), ..Description::default() }, NOW)
            .expect("added");
        store
    }

    fn add_outage(store: &Store, ended: Moment) {
        let row = format!(
            "INSERT INTO incident (machine_id, kind, subject, planned, last_seen, began_at, ended_at)
             VALUES (1, 'offline', '', FALSE, {0}, {0}, {0})",
            ended.0
        );
        store.write(|tx| tx.execute_batch(&row)).expect("a row");
    }

    #[test]
    fn each_outage_of_the_week_is_either_kept_or_read_at_a_look() {
        let (store, mut past) = (store(), FleetPast::default());
        let hours_ago = |hours: u32| NOW.minus(HOUR * hours);
        for hours in [1, 23, 25, 100, 24 * 9] {
            add_outage(&store, hours_ago(hours));
        }
        for later in [Duration::ZERO, HOUR / 2, HOUR * 2, HOUR * 30] {
            let now = NOW.plus(later);
            let since = past.refresh(&store, now).expect("read");
            assert!(since <= now.minus(DAY), "the bar of the day is complete");
            let read = store.recent_incidents(since).expect("read").len();
            let kept = past.outages(MachineId(1)).count();
            assert_eq!(read + kept, 4, "after {later:?}");
        }
    }

    #[test]
    fn the_outages_are_read_once_an_hour_and_again_after_the_clock_was_set_back() {
        let (store, mut past) = (store(), FleetPast::default());
        let day = NOW.minus(DAY);
        assert_eq!(past.refresh(&store, NOW).expect("read"), day);
        assert_eq!(past.refresh(&store, NOW.plus(HOUR / 2)).expect("read"), day, "kept");
        assert_eq!(past.refresh(&store, NOW.plus(HOUR)).expect("read"), day.plus(HOUR), "read again");
        assert_eq!(past.refresh(&store, NOW).expect("read"), day, "the clock was set back");
    }

    #[test]
    fn the_last_payload_of_a_machine_is_known_after_a_start() {
        let (store, mut past) = (store(), FleetPast::default());
        let row = r#"INSERT INTO machine_latest VALUES (1, 7, '{"connection":{"active":"wlan1"}}')"#;
        store.write(|tx| tx.execute_batch(row)).expect("a row");
        past.refresh(&store, NOW).expect("read");
        assert_eq!(past.reported(MachineId(1)).uplink.as_deref(), Some("wlan1"));
        assert_eq!(*past.reported(MachineId(2)), Reported::default());
    }

    #[test]
    fn a_payload_is_parsed_once_and_forgotten_with_its_machine() {
        let mut past = FleetPast::default();
        let uplink = |past: &mut FleetPast, at, payload| {
            past.parse(MachineId(1), Moment(at), payload).uplink.clone().unwrap_or_default()
        };
        assert_eq!(past.parsed_at(MachineId(1)), None);
        assert_eq!(uplink(&mut past, 7, Some(r#"{"connection":{"active":"wlan1"}}"#)), "wlan1");
        assert_eq!(past.parsed_at(MachineId(1)), Some(Moment(7)));
        assert_eq!(uplink(&mut past, 7, None), "wlan1", "known");
        assert_eq!(uplink(&mut past, 8, Some(r#"{"connection":{"active":"eth0"}}"#)), "eth0");
        assert_eq!(uplink(&mut past, 9, None), "", "too long to be kept");
        past.forget_removed(1);
        assert_eq!(past.parsed_at(MachineId(1)), Some(Moment(9)));
        past.forget_removed(0);
        assert_eq!(past.parsed_at(MachineId(1)), None);
    }
}
