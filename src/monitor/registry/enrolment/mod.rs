//! Enrolment: a key with which a device adds itself.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | whether a device may enrol, and as which machine |
//! | `device` | the machine of a device: its name, its token |
//! | `keys` | the keys |
//! | `requests` | devices that wait for a person's approval |
//!
//! A device is identified by its hardware id; a MAC address is the same id however it is written. It makes its token itself
//! and repeats its request with the same one until it is answered, so a request whose answer was lost is the same machine.
//! (A device may also let the monitor make the token; then its key issues another one until the first heartbeat.)
//!
//! A hardware id is not a secret. A key for one device hands a machine over, because somebody made the key for this device,
//! but not while the machine is online; a key for many never does. What is not handed over waits for a person's approval. So
//! does a device that has the token of a machine, but is another board: its card was moved, or copied.

mod device;
mod keys;
mod requests;

use super::issue::{issue, revoke_all};
use super::machines::insert;
use super::token::{Token, TokenHash};
use crate::clock::Moment;
use crate::monitor::events::note;
use crate::monitor::machine::{self, MachineId, MachineStatus};
use crate::monitor::store::sql::{Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};
use device::{KnownDevice, described, insert_token, known_device};
pub use keys::{EnrolmentKey, NewKey};
use keys::{FoundKey, unusable};
pub use requests::{Approval, EnrolmentRequest, WaitReason};
use requests::{KnownRequest, NewRequest, asks_again, forget, wait};

const REJECTED: &str = "a person turned this device away; an unused key for one device, or heartbeat-monitor enroll approve, \
                        lets it in";
/// Characters of a token that a device makes: 256 random bits, as the monitor's own have.
const TOKEN_LENGTHS: std::ops::RangeInclusive<usize> = 43..=128;

/// A device's request to be enrolled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Enrolment<'a> {
    /// An enrolment key, or the token of the machine whose card the device has.
    pub credential: &'a str,
    pub hardware_id: &'a str,
    pub hostname: Option<&'a str>,
    /// The token that the device made; `None`: the monitor makes one.
    pub token: Option<&'a str>,
}

/// The enrolled machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    pub machine: MachineId,
    pub name: String,
    /// If the monitor made it.
    pub token: Option<Token>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrolmentResult {
    Enrolled(Enrolled),
    /// A person decides; the device asks again.
    Waiting(WaitReason),
}

impl Store {
    /// Adds a machine for an unknown device, gives a known one its token, or lets it wait.
    ///
    /// # Errors
    /// The key cannot be used (it is not said whether it ever could), or the device says nothing usable of itself.
    pub fn enroll(&self, device: &Enrolment<'_>, now: Moment) -> Result<EnrolmentResult, Refused> {
        machine::hardware_id(device.hardware_id)?;
        device.token.map_or(Ok(()), check_token)?;
        let hardware_id = machine::canonical_hardware_id(device.hardware_id);
        let device = &Enrolment { hardware_id: &hardware_id, ..*device };
        let result = self.transact(|tx| match device.token {
            Some(token) => enrol_with(tx, device, &TokenHash::of(token), now),
            None => enrol_without(tx, device, now).map(Some),
        })?;
        result.ok_or_else(|| Refused::because(REJECTED))
    }
}

/// # Errors
/// The sentence for the author of the device's program.
fn check_token(token: &str) -> Result<(), Refused> {
    let is_plain = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    match is_plain && TOKEN_LENGTHS.contains(&token.len()) {
        true => Ok(()),
        false => Err(Refused::because("token: 43 to 128 characters of base64url")),
    }
}

/// For a device that has made its token. `None`: it was turned away, which is no error here, because it is stored that it
/// has asked again.
fn enrol_with(
    tx: &Transaction<'_>,
    device: &Enrolment<'_>,
    token: &TokenHash,
    now: Moment,
) -> Result<Option<EnrolmentResult>, Refused> {
    if let Some((machine, name)) = machine_of(tx, token, now)? {
        // Its answer was lost, or it was approved meanwhile.
        return Ok(Some(EnrolmentResult::Enrolled(Enrolled { machine, name, token: None })));
    }
    let key = FoundKey::of(tx, device.credential, now)?;
    match asks_again(tx, token, now)? {
        Some(KnownRequest::Waiting(reason)) => return Ok(Some(EnrolmentResult::Waiting(reason))),
        Some(KnownRequest::Rejected) if key.as_ref().is_some_and(FoundKey::is_for_a_new_device) => {
            forget(tx, token)?;
        }
        Some(KnownRequest::Rejected) => return Ok(None),
        None => {}
    }
    let Some(key) = key else { return moved_card(tx, device, token, now).map(Some) };
    key.check_unused()?;
    let known = known_device(tx, device.hardware_id)?;
    if let Some(reason) = approval_needed(&key, known.as_ref()) {
        key.note_use(tx, None, now)?;
        let machine = known.map(|known| known.machine);
        return hold(tx, device, token, (machine, key.group.as_deref()), reason, now).map(Some);
    }
    enrol(tx, device, known, &key, Some(token), now).map(Some)
}

/// For a device that gets its token in the answer: it cannot wait.
fn enrol_without(
    tx: &Transaction<'_>,
    device: &Enrolment<'_>,
    now: Moment,
) -> Result<EnrolmentResult, Refused> {
    let key = FoundKey::of(tx, device.credential, now)?.ok_or_else(unusable)?;
    let known = known_device(tx, device.hardware_id)?;
    if !repeats(known.as_ref(), &key) {
        key.check_unused()?;
        match (approval_needed(&key, known.as_ref()), &known) {
            (None, _) => {}
            (Some(WaitReason::KnownBoard), Some(known)) => return Err(not_handed_over(known)),
            _ => {
                return Err(Refused::because(
                    "a person approves the devices of this key: send a token of your own, and ask again with it",
                ));
            }
        }
    }
    enrol(tx, device, known, &key, None, now)
}

/// Makes the machine, or finds it, and stores the token that the device brought, or makes one.
fn enrol(
    tx: &Transaction<'_>,
    device: &Enrolment<'_>,
    known: Option<KnownDevice>,
    key: &FoundKey,
    brought: Option<&TokenHash>,
    now: Moment,
) -> Result<EnrolmentResult, Refused> {
    let (machine, name) = admit(tx, device, known, key, now)?;
    let token = match brought {
        Some(token) => {
            insert_token(tx, machine, token, now)?;
            None
        }
        None => Some(issue(tx, machine, now)?),
    };
    key.note_use(tx, Some(machine), now)?;
    note(tx, Some(machine), "enrolled", None, now)?;
    Ok(EnrolmentResult::Enrolled(Enrolled { machine, name, token }))
}

/// Whether a person has to decide (pure).
fn approval_needed(key: &FoundKey, known: Option<&KnownDevice>) -> Option<WaitReason> {
    match known {
        Some(known) if key.is_for_many() || known.is_in_use() => Some(WaitReason::KnownBoard),
        _ if key.needs_approval => Some(WaitReason::Approval),
        _ => None,
    }
}

/// A card with the token of a machine in a board with another hardware id.
fn moved_card(
    tx: &Transaction<'_>,
    device: &Enrolment<'_>,
    token: &TokenHash,
    now: Moment,
) -> Result<EnrolmentResult, Refused> {
    let card = machine_of(tx, &TokenHash::of(device.credential), now)?;
    let (machine, _) = card.ok_or_else(unusable)?;
    hold(tx, device, token, (Some(machine), None), WaitReason::OtherBoard, now)
}

fn hold(
    tx: &Transaction<'_>,
    device: &Enrolment<'_>,
    token: &TokenHash,
    (machine, group): (Option<MachineId>, Option<&str>),
    reason: WaitReason,
    now: Moment,
) -> Result<EnrolmentResult, Refused> {
    let &Enrolment { hardware_id, hostname, .. } = device;
    let hostname = hostname.filter(|text| machine::hostname(text).is_ok());
    let request = NewRequest { token, hardware_id, hostname, group, machine, reason };
    wait(tx, &request, now).map(EnrolmentResult::Waiting)
}

/// The machine that the device becomes.
fn admit(
    tx: &Transaction<'_>,
    device: &Enrolment<'_>,
    known: Option<KnownDevice>,
    key: &FoundKey,
    now: Moment,
) -> Result<(MachineId, String), Refused> {
    match known {
        Some(known) if !known.watched => {
            Err(Refused::because(format!("machine \"{}\" is disabled", known.name)))
        }
        Some(known) => {
            revoke_all(tx, known.machine)?;
            Ok((known.machine, known.name))
        }
        None => {
            let new = described(tx, device.hardware_id, device.hostname, key.group.clone())?;
            Ok((insert(tx, &new, Some(device.hardware_id), now)?, new.name))
        }
    }
}

/// The machine of a token that is valid.
fn machine_of(
    tx: &Transaction<'_>,
    token: &TokenHash,
    now: Moment,
) -> Result<Option<(MachineId, String)>, StoreError> {
    tx.query_optional(
        "SELECT m.id, m.name FROM device_token t JOIN machine m ON m.id = t.machine_id
         WHERE t.hash = ?1 AND (t.expires_at IS NULL OR t.expires_at > ?2)",
        params![token.0, now.0],
        |row| Ok((MachineId(row.get(0)?), row.get(1)?)),
    )
}

fn not_handed_over(known: &KnownDevice) -> Refused {
    Refused::because(match known.is_in_use() {
        true => format!(
            "machine \"{}\" has this hardware id and is online; heartbeat-monitor machine revoke {} lets it enrol again",
            known.name, known.machine.0
        ),
        false => format!(
            "machine \"{}\" has this hardware id, and a key for many devices never hands a machine over; use a key for \
             one device",
            known.name
        ),
    })
}

/// Whether the device repeats its request with its own key because it got no answer.
fn repeats(known: Option<&KnownDevice>, key: &FoundKey) -> bool {
    known.is_some_and(|known| Some(known.machine) == key.machine && known.status == MachineStatus::New)
}

#[cfg(test)]
mod tests;
