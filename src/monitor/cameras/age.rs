//! Removes cameras that are no longer reported, and days that are older than a year.

use crate::clock::Moment;
use crate::mac::Mac;
use crate::monitor::cameras::minutes::{day, minute};
use crate::monitor::incidents::conditions::end_forgotten;
use crate::monitor::machine::MachineId;
use crate::monitor::store::sql::{Connection, params};
use crate::monitor::store::{Store, StoreError};
use std::time::Duration;

/// Without a report for longer, a camera is forgotten with its history.
const REPORTED_WITHIN: Duration = Duration::from_secs(30 * 86_400);

/// How long days are kept.
const KEPT_DAYS: u16 = 365;

/// A camera that was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgottenCamera {
    pub machine: MachineId,
    pub mac: Mac,
}

impl Store {
    /// Ages the cameras of the machines whose number is `turn` modulo `turns`. Open incidents of the cameras that it returns
    /// are ended without a message.
    pub fn age_cameras(
        &self,
        turn: i64,
        turns: i64,
        now: Moment,
    ) -> Result<Vec<ForgottenCamera>, StoreError> {
        self.write(|tx| {
            let forgotten = not_reported(tx, turn, turns, now)?;
            for (id, camera) in &forgotten {
                tx.execute("DELETE FROM camera WHERE id = ?1", params![id])?;
                end_forgotten(tx, camera.machine, |subject| Mac::parse(subject) == Some(camera.mac), now)?;
            }
            tx.execute(
                "DELETE FROM camera_day
                 WHERE day <= ?3 AND camera_id IN (SELECT c.id FROM machine m CROSS JOIN camera c
                                                   WHERE c.machine_id = m.id AND m.id % ?1 = ?2)",
                params![turns, turn, i64::from(day(minute(now))) - i64::from(KEPT_DAYS)],
            )?;
            Ok(forgotten.into_iter().map(|(_, camera)| camera).collect())
        })
    }
}

fn not_reported(
    connection: &Connection<'_>,
    turn: i64,
    turns: i64,
    now: Moment,
) -> Result<Vec<(i64, ForgottenCamera)>, StoreError> {
    let sql = "SELECT c.id, c.machine_id, c.mac FROM machine m CROSS JOIN camera c
               WHERE c.machine_id = m.id AND m.id % ?1 = ?2 AND c.reported < ?3";
    let mut found = Vec::new();
    connection.query_each(sql, params![turns, turn, minute(now.minus(REPORTED_WITHIN))], |row| {
        if let Some(mac) = Mac::parse(row.get(2)?) {
            found.push((row.get(0)?, ForgottenCamera { machine: MachineId(row.get(1)?), mac }));
        }
        Ok(())
    })?;
    Ok(found)
}
