//! Finds the owner of a token in memory: an immutable snapshot of the database's tokens, replaced at each change.
//!
//! A device uses 41 to 45 bytes: a hash, the machine's number, its share of the table. During a replacement both
//! snapshots are in memory.

use crate::clock::Moment;
use crate::monitor::machine::MachineId;
use crate::monitor::registry::token::TokenHash;
use crate::monitor::store::{Store, StoreError};
use std::collections::HashMap;
use subtle::{ConditionallySelectable, ConstantTimeEq};

/// How many tokens share a place of the table, on average: few to compare, and the table stays a tenth of the whole.
const TOKENS_PER_PLACE: usize = 2;

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Never issued, revoked, or its machine was removed.
    #[error("unknown token")]
    Unknown,
    /// Replaced by `rotate`, and its overlap is over.
    #[error("the token has expired: it was replaced by another one")]
    Expired(MachineId),
    /// Its machine was disabled.
    #[error("the machine is disabled")]
    Disabled,
}

/// A snapshot of all tokens.
#[derive(Debug, Default)]
pub struct Registry {
    devices: TokenTable,
    /// Expiry of replaced tokens (`rotate --keep-old`).
    ends: HashMap<[u8; 32], Moment>,
    /// In order.
    disabled: Vec<MachineId>,
    /// In order of the machines.
    device_keys: Vec<(MachineId, Box<str>)>,
    readers: TokenTable,
    reader_names: Vec<Box<str>>,
    machines: usize,
}

impl Registry {
    /// # Errors
    /// The database cannot be read; the current snapshot stays valid.
    pub fn load(store: &Store) -> Result<Registry, StoreError> {
        let listed = store.credentials()?;
        let mut registry = Registry {
            disabled: listed.disabled,
            device_keys: listed.device_keys,
            machines: listed.machines,
            ..Registry::default()
        };
        registry.ends =
            listed.devices.iter().filter_map(|d| d.expires_at.map(|end| (d.hash.0, end))).collect();
        registry.devices =
            TokenTable::new(listed.devices.into_iter().map(|d| (d.hash, d.machine.0)).collect());
        let mut readers = Vec::with_capacity(listed.readers.len());
        for (number, (hash, name)) in (0..).zip(listed.readers) {
            readers.push((hash, number));
            registry.reader_names.push(name);
        }
        registry.readers = TokenTable::new(readers);
        Ok(registry)
    }

    /// The owner of a token. Neither its outcome nor a stored hash shows in the time that it takes, beyond the place in
    /// the table, which follows from SHA-256 of what was sent.
    pub fn authenticate(&self, token: &str, now: Moment) -> Result<MachineId, Denied> {
        let hash = TokenHash::of(token);
        let machine = self.devices.find(&hash).map(MachineId).ok_or(Denied::Unknown)?;
        if !self.ends.is_empty() && self.ends.get(&hash.0).is_some_and(|end| now >= *end) {
            return Err(Denied::Expired(machine));
        }
        match self.disabled.binary_search(&machine) {
            Ok(_) => Err(Denied::Disabled),
            Err(_) => Ok(machine),
        }
    }

    /// The name of the read token, if it is one.
    pub fn reader(&self, token: &str) -> Option<&str> {
        let number = self.readers.find(&TokenHash::of(token))?;
        self.reader_names.get(usize::try_from(number).ok()?).map(|name| &**name)
    }

    /// The machine's key at the Meeting API, if it has one.
    pub fn device_key(&self, machine: MachineId) -> Option<&str> {
        let place = self.device_keys.binary_search_by_key(&machine, |(id, _)| *id).ok()?;
        Some(&self.device_keys[place].1)
    }

    /// How many machines there are, with and without tokens.
    pub fn machines(&self) -> usize {
        self.machines
    }
}

/// Hashes and a number for each, in the order of the hashes; their leading bits lead to where they stand.
#[derive(Debug, Default)]
struct TokenTable {
    entries: Box<[(TokenHash, i64)]>,
    /// Where the entries of a place begin; the place after it says where they end.
    begins: Box<[u32]>,
    /// How far a hash's leading 64 bits are shifted to give its place.
    shift: u32,
}

impl TokenTable {
    fn new(mut entries: Vec<(TokenHash, i64)>) -> TokenTable {
        // 4 billion machines would have 170 GB of hashes.
        entries.truncate(u32::MAX as usize);
        entries.sort_unstable_by_key(|(hash, _)| hash.0);
        let places = (entries.len() / TOKENS_PER_PLACE).next_power_of_two();
        let shift = 64 - places.trailing_zeros();
        let mut begins = vec![0_u32; places + 1];
        for (hash, _) in &entries {
            begins[place(hash, shift) + 1] += 1;
        }
        for at in 1..begins.len() {
            begins[at] += begins[at - 1];
        }
        TokenTable { entries: entries.into_boxed_slice(), begins: begins.into_boxed_slice(), shift }
    }

    /// Compares with every entry of the place, and each as a whole, whatever is found.
    fn find(&self, hash: &TokenHash) -> Option<i64> {
        if self.entries.is_empty() {
            return None;
        }
        let place = place(hash, self.shift);
        let (begin, end) = (self.begins[place] as usize, self.begins[place + 1] as usize);
        let mut found = subtle::Choice::from(0);
        let mut number = 0_i64;
        for (stored, its) in &self.entries[begin..end] {
            let same = stored.ct_eq(hash);
            number.conditional_assign(its, same);
            found |= same;
        }
        bool::from(found).then_some(number)
    }
}

fn place(hash: &TokenHash, shift: u32) -> usize {
    // A table of one place shifts all 64 bits out, which `>>` does not do.
    let place = hash.leading().checked_shr(shift).unwrap_or(0);
    usize::try_from(place).unwrap_or(0)
}

#[cfg(test)]
mod tests;
