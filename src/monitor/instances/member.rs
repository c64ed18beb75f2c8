//! This monitor as one of several: it shows that it is alive, and notices which others are not.

use super::limits::MONITOR_LAPSES;
use super::table::Instance;
use crate::clock::{Moment, Now};
use crate::duration::go;
use crate::monitor::store::{Store, StoreError};
use log::{info, warn};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Time between two signs of life.
const SHOWN_EVERY: Duration = Duration::from_secs(4);

/// A monitor must have shown itself for this long without a gap before it gives others up: after an outage of the database all
/// are silent, and they come back one after the other.
const SETTLED_AFTER: Duration = Duration::from_secs(20);

/// A clock that is further off is worth a warning; certificates and logs go by it.
const CLOCK_WARNING: Duration = Duration::from_secs(5);

/// This monitor among those of its database.
#[derive(Debug)]
pub struct Member {
    process: i64,
    started: Moment,
    /// The last sign of life, and when the first one without a gap was.
    shown: Option<(Instant, Instant)>,
    /// Heartbeats when it was shown.
    counted: u64,
    others: HashSet<i64>,
    has_warned_of_clock: bool,
}

/// What a look at the others has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Others {
    /// How many are alive.
    pub alive: usize,
    /// One was given up, and its notifications can be sent by this monitor.
    pub has_buried: bool,
}

impl Member {
    /// `None`: a database in a file has one monitor.
    pub fn of(store: &Store, now: Moment) -> Option<Member> {
        store.process().map(|process| Member {
            process,
            started: now,
            shown: None,
            counted: 0,
            others: HashSet::new(),
            has_warned_of_clock: false,
        })
    }

    /// Shows that this monitor is alive, and looks at the others, every few seconds; `heartbeats` have been received since the
    /// start. `None`: nothing was due.
    ///
    /// # Errors
    /// The database; it is due again at the next call.
    pub fn show(&mut self, store: &Store, heartbeats: u64, now: Now) -> Result<Option<Others>, StoreError> {
        let last = self.shown.map(|(last, _)| now.since(last));
        if last.is_some_and(|passed| passed < SHOWN_EVERY) {
            return Ok(None);
        }
        let rate = heartbeats.saturating_sub(self.counted) as f64 / last.unwrap_or(SHOWN_EVERY).as_secs_f64();
        store.show_alive(&self.instance(rate, now.wall))?;
        self.counted = heartbeats;
        let since = match self.shown {
            Some((last, since)) if now.since(last) < MONITOR_LAPSES => since,
            _ => now.monotonic,
        };
        self.shown = Some((now.monotonic, since));
        self.warn_of_clock();
        self.look(store, now.since(since) >= SETTLED_AFTER, now.wall).map(Some)
    }

    fn instance(&self, heartbeats: f64, now: Moment) -> Instance {
        Instance {
            process: self.process,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: self.started,
            alive: now,
            dead: None,
            clock_difference: own_clock_difference(),
            heartbeats,
        }
    }

    fn look(&mut self, store: &Store, is_settled: bool, now: Moment) -> Result<Others, StoreError> {
        let others: Vec<Instance> =
            store.instances()?.into_iter().filter(|other| other.process != self.process).collect();
        let has_silent = others.iter().any(|other| other.dead.is_none() && !other.is_alive(now));
        let buried = if is_settled && has_silent { store.bury_silent_instances(now)? } else { Vec::new() };
        for other in &buried {
            warn!(
                "the monitor on {} has not shown itself for {}; this one takes over its machines and notifications",
                other.host,
                go(now.since(other.alive))
            );
        }
        let alive: HashSet<i64> =
            others.iter().filter(|other| other.is_alive(now)).map(|other| other.process).collect();
        for other in others.iter().filter(|other| alive.contains(&other.process)) {
            if !self.others.contains(&other.process) {
                info!("the monitor on {} serves this database, too", other.host);
            }
        }
        self.others = alive;
        Ok(Others { alive: self.others.len(), has_buried: !buried.is_empty() })
    }

    fn warn_of_clock(&mut self) {
        let off = Duration::from_millis(own_clock_difference().unsigned_abs());
        let is_off = off > CLOCK_WARNING;
        if is_off && !self.has_warned_of_clock {
            warn!(
                "this machine's clock is {} off the database's, which the monitor goes by; set it (timedatectl)",
                go(off)
            );
        }
        self.has_warned_of_clock = is_off;
    }

    /// Its number among the monitors of the database.
    pub fn process(&self) -> i64 {
        self.process
    }

    /// Tells the others that this monitor ends.
    pub fn leave(&self, store: &Store, now: Moment) -> Result<(), StoreError> {
        store.leave(self.process, now)
    }
}

fn own_clock_difference() -> i64 {
    #[cfg(feature = "postgres")]
    return crate::followed_clock::own_difference();
    #[cfg(not(feature = "postgres"))]
    return 0;
}
