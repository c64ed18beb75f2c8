//! Whether the monitor's own work makes progress: for `/healthz`, `/metrics`, the log, and people who are alerted.
//!
//! Each kind of work publishes its [`Progress`](super::progress::Progress); this file only reads them. Receivers that
//! refuse or hang do not count as trouble of the monitor.

use super::notify::NotifySettings;
use super::notify::couriers;
use super::notify::dead_channels::DeadChannels;
use super::notify::self_alert::SelfAlert;
use super::pulse::{Pulse, STALE};
use super::store::{Damage, Store};
use crate::clock::Now;
use crate::duration::{go, go_seconds};
use crate::latest::Latest;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Trouble ends after this long without any, so that the log does not alternate.
const CALM: Duration = Duration::from_secs(60);

/// Time limit of the table check at the start.
const TABLE_CHECK_LIMIT: Duration = Duration::from_secs(5);

/// The state of the monitor's own work.
#[derive(Debug)]
pub struct Health {
    pulse: Arc<Pulse>,
    couriers: Arc<couriers::DeliveryCounters>,
    /// Tables that the check at the start found damaged.
    damage: Mutex<Vec<Damage>>,
}

/// A kind of work and the time for which it has made no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// As in `/metrics`.
    pub name: &'static str,
    pub stuck_for: Duration,
    /// The consequence if it is stuck.
    consequence: &'static str,
}

impl Health {
    pub fn new(pulse: Arc<Pulse>, couriers: Arc<couriers::DeliveryCounters>) -> Health {
        Health { pulse, couriers, damage: Mutex::default() }
    }

    /// All kinds of work.
    pub fn work(&self, now: Instant) -> [Work; 5] {
        let work = |name, stuck_for, consequence| Work { name, stuck_for, consequence };
        let (pulse, couriers) = (&self.pulse, &self.couriers);
        [
            work("ingest", pulse.returns.stuck_for(now), "recoveries are not recorded"),
            work("flush", pulse.age(now), "heartbeats are not written to the database"),
            work("sweep", pulse.sweep.stuck_for(now), "late machines are not detected"),
            work(
                "outbox_read",
                couriers.reading.stuck_for(now),
                "notifications cannot be read from the outbox",
            ),
            work(
                "outbox_mark",
                couriers.marking.stuck_for(now),
                "deliveries cannot be leased or marked in the outbox",
            ),
        ]
    }

    pub fn damage(&self) -> Vec<Damage> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One sentence for everything that is wrong; `None` if the monitor works. A monitor whose database is down, and that goes on
    /// listening because nobody else does, says nothing here: a proxy would pass it no heartbeats any more.
    pub fn trouble(&self, now: Instant) -> Option<String> {
        if self.pulse.others() == Some(0) && !self.pulse.is_fresh(now) {
            return None;
        }
        self.stuck(now)
    }

    fn stuck(&self, now: Instant) -> Option<String> {
        let stuck = self.work(now).into_iter().filter(|work| work.stuck_for > STALE);
        let stuck = stuck.map(|work| format!("{} (for {})", work.consequence, go_seconds(work.stuck_for)));
        let damage = self.damage().into_iter().map(|damage| format!("table {} is damaged", damage.table));
        let all: Vec<String> = stuck.chain(damage).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// As [`Health::trouble`], and whether the monitor is cut off from its machines. `/healthz` does not say that: a proxy that
    /// stopped passing heartbeats on would keep it cut off.
    fn reported_trouble(&self, now: Now) -> Option<String> {
        let isolated = self.pulse.isolated().map(|isolated| isolated.sentence(now.wall));
        let all: Vec<String> = self.stuck(now.monotonic).into_iter().chain(isolated).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Checks the tables once. Damage stops nothing: the other tables may still work.
    fn check(&self, store: &Store) {
        match store.quick_check(TABLE_CHECK_LIMIT) {
            Ok(checked) => {
                for damage in &checked.damage {
                    log::error!(
                        "table {} is damaged: {}; restore a backup, or run \"heartbeat-monitor db check\" for all problems",
                        damage.table,
                        damage.problem
                    );
                }
                if checked.unchecked > 0 {
                    log::info!(
                        "{} tables were not checked, the limit of {} was reached",
                        checked.unchecked,
                        go(TABLE_CHECK_LIMIT)
                    );
                }
                *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = checked.damage;
            }
            Err(error) => log::warn!("cannot check the tables: {error}"),
        }
    }
}

/// Checks the tables once, then the progress of all work until `stop` is disconnected. Trouble is logged once, and people
/// are alerted directly.
pub fn watch(health: &Health, store: &Store, settings: &Latest<NotifySettings>, stop: &Receiver<()>) {
    let mut alert = SelfAlert::default();
    let mut watcher = Watcher::default();
    let mut dead = DeadChannels::default();
    alert.refresh(store, Instant::now());
    health.check(store);
    loop {
        let now = Now::read();
        match watcher.observe(health.reported_trouble(now), now.monotonic) {
            Some(HealthChange::Trouble(trouble)) => log::error!("the monitor is in trouble: {trouble}"),
            Some(HealthChange::Over(length)) => {
                log::info!("the monitor works again; the trouble lasted {}", go_seconds(length))
            }
            None => {}
        }
        match &watcher.trouble {
            Some(trouble) => alert.send(&settings.get(), &trouble.what, now),
            None => alert.refresh(store, now.monotonic),
        }
        dead.check(store, &health.couriers.failing(), &settings.get(), now);
        if stop.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

/// The trouble seen by the last checks. One check is not enough: after SIGSTOP all work looks stuck.
#[derive(Debug, Default)]
struct Watcher {
    suspected: bool,
    trouble: Option<OngoingTrouble>,
}

#[derive(Debug)]
struct OngoingTrouble {
    since: Instant,
    seen: Instant,
    what: String,
}

#[derive(Debug, PartialEq, Eq)]
enum HealthChange {
    Trouble(String),
    Over(Duration),
}

impl Watcher {
    fn observe(&mut self, trouble: Option<String>, now: Instant) -> Option<HealthChange> {
        let suspected = std::mem::replace(&mut self.suspected, trouble.is_some());
        match (&mut self.trouble, trouble) {
            (None, None) => None,
            (None, Some(_)) if !suspected => None,
            (None, Some(what)) => {
                self.trouble = Some(OngoingTrouble { since: now, seen: now, what: what.clone() });
                Some(HealthChange::Trouble(what))
            }
            (Some(known), Some(what)) => {
                (known.seen, known.what) = (now, what);
                None
            }
            (Some(known), None) => {
                if now.saturating_duration_since(known.seen) < CALM {
                    return None;
                }
                let length = known.seen.saturating_duration_since(known.since);
                self.trouble = None;
                Some(HealthChange::Over(length))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn health(begin: Instant) -> Health {
        Health::new(Arc::new(Pulse::new(begin)), Arc::default())
    }

    #[test]
    fn each_kind_of_work_counts_as_failed_after_15_s_and_is_named() {
        let begin = Instant::now();
        type Stick = fn(&Health, Instant);
        let stick: [(&str, Stick); 5] = [
            ("recoveries", |health, now| health.pulse.returns.failed(now)),
            ("written", |_, _| {}),
            ("late machines", |health, now| health.pulse.sweep.started(now)),
            ("read", |health, now| health.couriers.reading.failed(now)),
            ("marked", |health, now| health.couriers.marking.failed(now)),
        ];
        for (named, stick) in stick {
            let health = health(begin);
            stick(&health, begin);
            if named != "written" {
                health.pulse.flushed(begin + SECOND * 16);
            }
            assert!(health.trouble(begin + SECOND * 15).is_none(), "{named}");
            stick(&health, begin + SECOND * 16);
            let trouble = health.trouble(begin + SECOND * 16).expect(named);
            assert!(trouble.contains(named) && !trouble.contains(';'), "{trouble}");
        }
    }

    #[test]
    fn a_failure_is_logged_once_and_ends_after_a_minute_without_one() {
        let (mut watcher, begin) = (Watcher::default(), Instant::now());
        let trouble = || Some("disk".to_owned());
        assert_eq!(watcher.observe(trouble(), begin), None, "once is not believed");
        assert_eq!(watcher.observe(None, begin), None);
        assert_eq!(watcher.observe(trouble(), begin), None);
        assert_eq!(watcher.observe(trouble(), begin), Some(HealthChange::Trouble("disk".into())));
        for second in 1..100 {
            let trouble = if second % 10 == 0 { trouble() } else { None };
            assert_eq!(watcher.observe(trouble, begin + SECOND * second), None);
        }
        assert_eq!(watcher.observe(None, begin + SECOND * 149), None);
        assert_eq!(watcher.observe(None, begin + SECOND * 150), Some(HealthChange::Over(SECOND * 90)));
    }
}
