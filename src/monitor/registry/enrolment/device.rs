//! The machine of a device that enrols: its name, and the token that it made.

use crate::clock::Moment;
use crate::monitor::machine::{self, Description, MachineId};
use crate::monitor::registry::token::TokenHash;
use crate::monitor::store::StoreError;
use rusqlite::{Transaction, params};

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
        let taken = || tx.prepare("SELECT 1 FROM machine WHERE name = ?1")?.exists([&candidate]);
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
