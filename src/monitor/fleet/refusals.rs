//! Machines of which a device still uses a replaced token. An unknown token belongs to no machine and is only counted.

use crate::clock::Moment;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::machine::MachineId;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Refusals within [`WINDOW`] that count as repeated.
const REPEATED: u32 = 5;
/// Also how long a replaced token must be unused if the machine's heartbeats are accepted meanwhile.
const WINDOW: Duration = Duration::from_secs(600);

/// The refused requests of each machine; only of those that have any.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    requests: HashMap<MachineId, RefusedRequests>,
    /// Machines whose refusals were repeated and have ended.
    over: HashSet<MachineId>,
}

#[derive(Debug)]
struct RefusedRequests {
    /// The first one of the window.
    first: Moment,
    /// `None`: before the monitor started.
    last: Option<Moment>,
    count: u32,
    is_repeated: bool,
}

impl Refusals {
    /// A request with a replaced token of `machine` was refused.
    pub fn refused(&self, machine: MachineId, now: Moment) {
        let mut known = self.held();
        let new = RefusedRequests { first: now, last: None, count: 0, is_repeated: false };
        let requests = known.requests.entry(machine).or_insert(new);
        if !requests.is_repeated && now.since(requests.first) > WINDOW {
            (requests.first, requests.count) = (now, 0);
        }
        requests.count = requests.count.saturating_add(1);
        requests.is_repeated |= requests.count >= REPEATED;
        requests.last = Some(now);
    }

    /// The machines of which a device uses a replaced token, and since when. `seen`: a machine's last heartbeat.
    pub fn repeated(
        &self,
        seen: impl Fn(MachineId) -> Option<Moment>,
        now: Moment,
    ) -> HashMap<MachineId, Moment> {
        let Known { requests, over } = &mut *self.held();
        requests.retain(|machine, requests| {
            let last = *requests.last.get_or_insert(now);
            let is_accepted = seen(*machine).is_some_and(|seen| seen > last);
            let end = if is_accepted || !requests.is_repeated {
                WINDOW
            } else {
                Condition::RefusedToken.entry().clear
            };
            let is_kept = now.since(last) <= end;
            if !is_kept && requests.is_repeated {
                over.insert(*machine);
            }
            is_kept
        });
        let repeated = requests.iter().filter(|(_, requests)| requests.is_repeated);
        let repeated: HashMap<_, _> =
            repeated.map(|(machine, requests)| (*machine, requests.first)).collect();
        over.retain(|machine| !repeated.contains_key(machine));
        repeated
    }

    /// The machines whose refusals were repeated, as far as this monitor knows, and have ended.
    pub fn over(&self) -> HashSet<MachineId> {
        self.held().over.clone()
    }

    /// The database has an open incident of it: the token counts as refused until it is unused for long enough.
    pub fn load(&self, machine: MachineId) {
        let requests = RefusedRequests { first: Moment(0), last: None, count: REPEATED, is_repeated: true };
        self.held().requests.insert(machine, requests);
    }

    fn held(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: MachineId = MachineId(7);
    const BEGIN: Moment = Moment(1_769_005_800_000);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn five_refusals_within_ten_minutes_count_until_an_hour_without_one() {
        let refusals = Refusals::default();
        let mut now = BEGIN;
        for _ in 0..20 {
            refusals.refused(MACHINE, now);
            now = now.plus(MINUTE * 3);
        }
        assert_eq!(refusals.repeated(|_| None, now).len(), 0, "every three minutes is too seldom");
        for _ in 0..5 {
            refusals.refused(MACHINE, now);
        }
        assert_eq!(refusals.repeated(|_| None, now).len(), 1);
        assert_eq!(refusals.repeated(|_| None, now.plus(MINUTE * 60)).len(), 1);
        assert_eq!(refusals.repeated(|_| None, now.plus(MINUTE * 61)).len(), 0);
    }

    #[test]
    fn it_ends_after_ten_minutes_if_the_machine_is_accepted_meanwhile() {
        let refusals = Refusals::default();
        for _ in 0..5 {
            refusals.refused(MACHINE, BEGIN);
        }
        let seen = |_| Some(BEGIN.plus(MINUTE));
        assert_eq!(refusals.repeated(seen, BEGIN.plus(MINUTE * 10)), HashMap::from([(MACHINE, BEGIN)]));
        assert_eq!(refusals.repeated(seen, BEGIN.plus(MINUTE * 11)).len(), 0);
    }
}
