//! The tables `camera` and `camera_day`: a row for each camera, and one for each of its days.

use crate::clock::Moment;
use crate::mac::Mac;
use crate::monitor::cameras::minutes::{CameraDay, DAY, StoredCamera, UnsavedCameras, day, minute};
use crate::monitor::events::note;
use crate::monitor::machine::MachineId;
use crate::monitor::store::sql::{Parameter, Transaction, Value, params};
use crate::monitor::store::{Store, StoreError};
use std::collections::HashMap;

/// Event of a machine that reports more cameras than are kept; once per start of the monitor.
const TOO_MANY: &str = "too_many_cameras";

/// Days of the percentages that people are shown.
const SHOWN_DAYS: u16 = 30;

/// A camera with its latest days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraHistory {
    pub mac: String,
    pub name: Option<String>,
    /// When it was last reported, to the minute.
    pub reported: Moment,
    /// Oldest first; days without known minutes are missing.
    pub days: Vec<StoredDay>,
}

/// Minutes of one day (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredDay {
    /// Since 1970.
    pub day: u16,
    pub up: u32,
    pub down: u32,
}

impl CameraHistory {
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.mac)
    }

    /// Minutes up and down of all days together.
    pub fn minutes(&self) -> (u32, u32) {
        self.days.iter().fold((0, 0), |(up, down), day| (up + day.up, down + day.down))
    }

    /// Share of the known minutes for which it was up, rounded down to 0.1 %: only a camera that was never down has 100 %.
    pub fn percent(&self) -> Option<f64> {
        let (up, down) = self.minutes();
        let known = up + down;
        (known > 0)
            .then(|| f64::from(u32::try_from(u64::from(up) * 1000 / u64::from(known)).unwrap_or(0)) / 10.0)
    }
}

/// What is new of a machine's cameras.
#[derive(Debug, Clone, Copy)]
pub struct CamerasToSave<'u> {
    pub machine: MachineId,
    pub unsaved: &'u UnsavedCameras,
    /// When it was reported.
    pub at: Moment,
}

/// Writes what is new of cameras; machines that were removed meanwhile are passed over.
pub fn save(tx: &Transaction<'_>, machines: &[CamerasToSave<'_>]) -> Result<(), StoreError> {
    let mut new: Vec<(MachineId, String, &CameraDay)> = Vec::new();
    for CamerasToSave { machine, unsaved, .. } in machines {
        new.extend(unsaved.days.iter().map(|new| (*machine, new.mac.to_string(), new)));
    }
    tx.prepare(
        "INSERT INTO camera (machine_id, mac, name, reported) SELECT id, ?2, ?3, ?4 FROM machine WHERE id = ?1
         ON CONFLICT (machine_id, mac)
            DO UPDATE SET name = coalesce(excluded.name, camera.name), reported = excluded.reported",
    )?
    .execute_all(
        new.iter().map(|(machine, mac, new)| [machine.0.value(), mac.value(), new.name.value(), new.reported.value()]),
    )?;
    let known = new.iter().filter(|(_, _, new)| new.up > 0 || new.down > 0);
    // A wrong clock can repeat hours; a day has no more minutes for that.
    tx.prepare(
        "INSERT INTO camera_day AS known (camera_id, day, up, down)
         SELECT id, ?3, ?4, ?5 FROM camera WHERE machine_id = ?1 AND mac = ?2
         ON CONFLICT (camera_id, day) DO UPDATE SET
            up = CASE WHEN known.up + excluded.up + known.down < ?6 THEN known.up + excluded.up ELSE ?6 - known.down END,
            down = CASE WHEN known.up + excluded.up + known.down >= ?6 THEN known.down
                        WHEN known.up + excluded.up + known.down + excluded.down < ?6 THEN known.down + excluded.down
                        ELSE ?6 - known.up - excluded.up END",
    )?
    .execute_all(known.map(|(machine, mac, new)| {
        let up = u32::from(new.up).min(DAY);
        let minutes = [u32::from(new.day), up, u32::from(new.down).min(DAY - up), DAY];
        let [day, up, down, most] = minutes.map(|minutes| Value::Integer(minutes.into()));
        [machine.0.value(), mac.value(), day, up, down, most]
    }))?;
    for CamerasToSave { machine, at, .. } in machines.iter().filter(|saved| saved.unsaved.were_refused) {
        if tx.exists("SELECT 1 FROM machine WHERE id = ?1", params![machine.0])? {
            note(tx, Some(*machine), TOO_MANY, None, *at)?;
        }
    }
    Ok(())
}

impl Store {
    /// All cameras of all machines.
    pub fn stored_cameras(&self) -> Result<HashMap<MachineId, Vec<StoredCamera>>, StoreError> {
        self.read(|connection| {
            let mut stored: HashMap<_, Vec<StoredCamera>> = HashMap::new();
            connection.query_each("SELECT machine_id, mac, name, reported FROM camera", &[], |row| {
                let Some(mac) = Mac::parse(row.get(1)?) else { return Ok(()) };
                let camera = StoredCamera { mac, name: row.get(2)?, reported: row.get(3)? };
                stored.entry(MachineId(row.get(0)?)).or_default().push(camera);
                Ok(())
            })?;
            Ok(stored)
        })
    }

    /// The cameras of a machine with their last `days` days, today included, by MAC address. Minutes that are in memory only
    /// are missing: the last 15 at most.
    pub fn camera_history(
        &self,
        machine: MachineId,
        days: u16,
        now: Moment,
    ) -> Result<Vec<CameraHistory>, StoreError> {
        let after = i64::from(day(minute(now))) - i64::from(days);
        self.read(|connection| {
            let sql = "SELECT c.mac, c.name, c.reported, d.day, d.up, d.down
                       FROM camera c LEFT JOIN camera_day d ON d.camera_id = c.id AND d.day > ?2
                       WHERE c.machine_id = ?1 ORDER BY c.mac, d.day";
            let mut cameras: Vec<CameraHistory> = Vec::new();
            connection.query_each(sql, params![machine.0, after], |row| {
                let mac: String = row.get(0)?;
                if cameras.last().is_none_or(|last| last.mac != mac) {
                    let reported = Moment::from_seconds(row.get::<i64>(2)?.saturating_mul(60));
                    cameras.push(CameraHistory { mac, name: row.get(1)?, reported, days: Vec::new() });
                }
                if let (Some(day), Some(camera)) = (row.get(3)?, cameras.last_mut()) {
                    camera.days.push(StoredDay { day, up: row.get(4)?, down: row.get(5)? });
                }
                Ok(())
            })?;
            Ok(cameras)
        })
    }

    /// The same of the days whose percentage people are shown.
    pub fn recent_camera_history(
        &self,
        machine: MachineId,
        now: Moment,
    ) -> Result<Vec<CameraHistory>, StoreError> {
        self.camera_history(machine, SHOWN_DAYS, now)
    }
}

#[cfg(test)]
mod tests;
