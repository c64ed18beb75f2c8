//! The machine of a device that enrols: the one that has its hardware id, its name, and the token that the device made.

use crate::clock::Moment;
use crate::monitor::machine::{self, Description, MachineId, MachineStatus};
use crate::monitor::registry::token::TokenHash;
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::{Transaction, params};

/// A machine that has the hardware id of a device.
pub struct KnownDevice {
    pub machine: MachineId,
    pub name: String,
    pub status: MachineStatus,
    has_token: bool,
    pub watched: bool,
}

pub fn known_device(tx: &Transaction<'_>, hardware_id: &str) -> Result<Option<KnownDevice>, StoreError> {
    let found = tx.query_optional(
        "SELECT id, name, status, EXISTS (SELECT 1 FROM device_token WHERE machine_id = id), watched
         FROM machine JOIN machine_state ON machine_id = id WHERE hardware_id = ?1",
        params![hardware_id],
        |row| {
            Ok(KnownDevice {
                machine: MachineId(row.get(0)?),
                name: row.get(1)?,
                status: MachineStatus::of(row.get(2)?),
                has_token: row.get(3)?,
                watched: row.get(4)?,
            })
        },
    )?;
    Ok(found)
}

impl KnownDevice {
    /// It is online with a token: two devices would be one machine.
    pub fn is_in_use(&self) -> bool {
        self.status == MachineStatus::Online && self.has_token
    }
}

/// A device is called by its hostname, and by its hardware id too where that is taken or cannot be a name.
pub fn described(
    tx: &Transaction<'_>,
    hardware_id: &str,
    hostname: Option<&str>,
    group: Option<String>,
) -> Result<Description, StoreError> {
    let hostname = hostname.filter(|text| machine::hostname(text).is_ok());
    let with_id = match hostname {
        Some(hostname) => format!("{hostname}-{hardware_id}"),
        None => format!("device-{hardware_id}"),
    };
    let fallbacks = [with_id, format!("device-{hardware_id}")];
    let candidates = hostname.map(str::to_owned).into_iter().chain(fallbacks);
    let mut name = String::new();
    for candidate in candidates {
        let taken = || tx.exists("SELECT 1 FROM machine WHERE name = ?1", params![&candidate]);
        if machine::name(&candidate).is_ok() && !taken()? {
            name = candidate;
            break;
        }
    }
    if name.is_empty() {
        // Both fallback names are in use; a number of ten digits makes this one unique.
        name = format!("device-{hardware_id}-{:010}", fastrand::u32(..));
    }
    Ok(Description { name, hostname: hostname.map(str::to_owned), group, ..Description::default() })
}

pub fn insert_token(
    tx: &Transaction<'_>,
    machine: MachineId,
    token: &TokenHash,
    now: Moment,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO device_token (machine_id, hash, created_at) VALUES (?1, ?2, ?3)",
        params![machine.0, token.0, now.0],
    )?;
    Ok(())
}
