//! Loads the registry's part of the database in one read.

use super::token::TokenHash;
use crate::clock::Moment;
use crate::monitor::machine::MachineId;
use crate::monitor::store::{Store, StoreError};

/// Every token that may be shown, and whose it is.
#[derive(Debug, Default)]
pub struct Credentials {
    pub devices: Vec<DeviceToken>,
    /// In order.
    pub disabled: Vec<MachineId>,
    /// In order of the machines.
    pub device_keys: Vec<(MachineId, Box<str>)>,
    /// Read tokens with their names.
    pub readers: Vec<(TokenHash, Box<str>)>,
    pub machines: usize,
}

#[derive(Debug)]
pub struct DeviceToken {
    pub hash: TokenHash,
    pub machine: MachineId,
    pub expires_at: Option<Moment>,
}

impl Store {
    pub fn credentials(&self) -> Result<Credentials, StoreError> {
        self.read(|connection| {
            let count = |sql| connection.query_row(sql, &[], |row| row.get::<i64>(0));
            let size = |n: i64| usize::try_from(n).unwrap_or(0);
            let mut listed = Credentials {
                machines: size(count("SELECT count(*) FROM machine")?),
                // As large as it will be: a vector that grows is twice there while it does.
                devices: Vec::with_capacity(size(count("SELECT count(*) FROM device_token")?)),
                ..Credentials::default()
            };
            connection.query_each("SELECT hash, machine_id, expires_at FROM device_token", &[], |row| {
                listed.devices.push(DeviceToken {
                    hash: TokenHash(row.get(0)?),
                    machine: MachineId(row.get(1)?),
                    expires_at: row.get(2)?,
                });
                Ok(())
            })?;
            let disabled = "SELECT machine_id FROM machine_state WHERE NOT watched ORDER BY machine_id";
            listed.disabled = connection.query_all(disabled, &[], |row| Ok(MachineId(row.get(0)?)))?;
            let keys = "SELECT id, device_key FROM machine WHERE device_key IS NOT NULL ORDER BY id";
            listed.device_keys =
                connection.query_all(keys, &[], |row| Ok((MachineId(row.get(0)?), row.get(1)?)))?;
            let readers = "SELECT hash, name FROM read_token";
            listed.readers =
                connection.query_all(readers, &[], |row| Ok((TokenHash(row.get(0)?), row.get(1)?)))?;
            Ok(listed)
        })
    }
}
