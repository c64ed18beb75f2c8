//! Open incidents that were announced and not acknowledged: what reminders and escalations are about.

use crate::clock::Moment;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::incidents::table::{IncidentId, IncidentKey, OFFLINE};
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::Row;

/// An incident that nobody has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unacknowledged {
    pub id: IncidentId,
    pub machine: MachineId,
    pub kind: String,
    pub subject: String,
    /// The last heartbeat before an outage; when a condition began to hold.
    pub since: Moment,
}

/// The columns of an [`Unacknowledged`], the first of a row.
pub const COLUMNS: &str = "i.id, i.machine_id, i.kind, i.subject, i.last_seen";

/// The condition, for the incident `i` and its machine's state `s`. An offline machine hides its conditions: whether they
/// still hold is unknown, except for those that the sweep judges.
pub fn condition() -> String {
    let (offline, online) = (MachineStatus::Offline as i64, MachineStatus::Online as i64);
    let [one, other] = [Condition::NeverSeen, Condition::RefusedToken].map(Condition::name);
    format!(
        "i.ended_at IS NULL AND i.notified_at IS NOT NULL AND i.acknowledged_at IS NULL AND NOT i.planned AND s.watched
         AND CASE WHEN i.kind = '{OFFLINE}' THEN s.status = {offline}
                  ELSE s.status = {online} OR i.kind IN ('{one}', '{other}') END"
    )
}

impl Unacknowledged {
    pub fn of_row(row: &Row<'_>) -> Result<Unacknowledged, StoreError> {
        Ok(Unacknowledged {
            id: IncidentId(row.get(0)?),
            machine: MachineId(row.get(1)?),
            kind: row.get(2)?,
            subject: row.get(3)?,
            since: Moment(row.get(4)?),
        })
    }

    pub fn key(&self) -> IncidentKey<'_> {
        IncidentKey { machine: self.machine, kind: &self.kind, subject: &self.subject }
    }
}
