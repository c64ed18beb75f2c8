//! Machines behind another one: while that one is dead, they are shown and not announced.

use crate::clock::milliseconds;
use crate::monitor::incidents::policy::{AFTER_FRONT, FRONT_UNDECIDED, SAME_DEATH};
use crate::monitor::machine::MachineStatus;

/// A condition of SQL: the machine in front of a machine is dead, has just returned, or probably died at the same time.
/// `own` is the machine's row of `machine_state`, `began` when its outage began, `now` the parameter that is now.
pub fn hidden_by_front(own: &str, began: &str, now: &str) -> String {
    let (offline, stopped) = (MachineStatus::Offline as i64, MachineStatus::Stopped as i64);
    let online = MachineStatus::Online as i64;
    let [same_death, undecided, returns] = [SAME_DEATH, FRONT_UNDECIDED, AFTER_FRONT].map(milliseconds);
    format!(
        "EXISTS (SELECT 1 FROM machine behind JOIN machine_state front ON front.machine_id = behind.behind
                 WHERE behind.id = {own}.machine_id AND front.watched
                   AND (front.status IN ({offline}, {stopped})
                        OR front.status = {online}
                           AND (front.since > {now} - {returns}
                                OR front.last_seen <= {own}.last_seen + {same_death} AND {began} > {now} - {undecided})))"
    )
}
