//! Devices that wait for a person's approval, each with the token that it made.

use super::device::{described, insert_token, known_device};
use crate::clock::Moment;
use crate::monitor::events::note;
use crate::monitor::machine::{self, MachineId};
use crate::monitor::registry::issue::revoke_all;
use crate::monitor::registry::machines::{find, insert};
use crate::monitor::registry::token::TokenHash;
use crate::monitor::store::sql::{Row, Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};
use std::time::Duration;

/// Devices that wait at once.
const MOST_REQUESTS: i64 = 1000;
/// A request ends this long after the device repeated it last.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// Why a device waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitReason {
    /// Its key asks for approval.
    Approval,
    /// A machine has its hardware id, and its key must not hand that over.
    KnownBoard,
    /// It has the token of a machine whose hardware id is another one: a card that was moved, or copied.
    OtherBoard,
}

/// A device that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentRequest {
    pub id: i64,
    pub hardware_id: String,
    pub hostname: Option<String>,
    pub group: Option<String>,
    /// The machine that it says or seems to be, and its name.
    pub machine: Option<(MachineId, String)>,
    pub reason: WaitReason,
    /// The last time.
    pub requested_at: Moment,
    /// A person turned it away, and can still let it in.
    pub is_rejected: bool,
}

/// A device that asks again.
pub(super) enum KnownRequest {
    Waiting(WaitReason),
    Rejected,
}

/// What an approved device becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// A machine of this name; `None`: of its hostname.
    New(Option<String>),
    /// The machine of this name or number, whose tokens are revoked.
    Replaces(String),
}

/// A request to be stored.
pub(super) struct NewRequest<'a> {
    pub token: &'a TokenHash,
    pub hardware_id: &'a str,
    pub hostname: Option<&'a str>,
    pub group: Option<&'a str>,
    pub machine: Option<MachineId>,
    pub reason: WaitReason,
}

impl WaitReason {
    const ALL: [WaitReason; 3] = [WaitReason::Approval, WaitReason::KnownBoard, WaitReason::OtherBoard];

    /// As it is stored and listed.
    pub fn name(self) -> &'static str {
        match self {
            WaitReason::Approval => "approval",
            WaitReason::KnownBoard => "known_board",
            WaitReason::OtherBoard => "other_board",
        }
    }

    /// For people; `machine` is the one that it says or seems to be.
    pub fn sentence(self, machine: Option<&str>) -> String {
        let machine = machine.unwrap_or("a machine");
        match self {
            WaitReason::Approval => "its key asks for approval".into(),
            WaitReason::KnownBoard => format!("{machine} has its hardware id"),
            WaitReason::OtherBoard => format!("it has the card of {machine}, but is another board"),
        }
    }

    fn from_name(name: &str) -> WaitReason {
        let known = WaitReason::ALL.into_iter().find(|reason| reason.name() == name);
        known.unwrap_or(WaitReason::Approval)
    }
}

impl EnrolmentRequest {
    /// Why it waits, for people.
    pub fn sentence(&self) -> String {
        let reason = self.reason.sentence(self.machine.as_ref().map(|(_, name)| name.as_str()));
        match self.is_rejected {
            true => format!("turned away: {reason}"),
            false => reason,
        }
    }
}

impl Store {
    /// The devices that wait or were turned away, the first first.
    pub fn enrolment_requests(&self, now: Moment) -> Result<Vec<EnrolmentRequest>, StoreError> {
        let sql = format!("{SELECT} WHERE requested_at > ?1 ORDER BY r.id");
        self.read(|connection| connection.query_all(&sql, params![now.minus(FORGOTTEN_AFTER).0], request))
    }

    /// Lets a device in; its next request succeeds. Returns the machine.
    ///
    /// # Errors
    /// Nothing waits under this number; the name is taken; the hardware id belongs to another machine.
    pub fn approve_request(&self, id: i64, approval: &Approval, now: Moment) -> Result<String, Refused> {
        self.transact(|tx| {
            let (request, token) = waiting(tx, id)?;
            let (machine, name) = match approval {
                Approval::Replaces(which) => replace(tx, &request, which)?,
                Approval::New(name) => add(tx, &request, name.as_deref(), now)?,
            };
            insert_token(tx, machine, &TokenHash(token), now)?;
            tx.execute("DELETE FROM enroll_request WHERE id = ?1", params![id])?;
            note(tx, Some(machine), "enrolled", None, now)?;
            Ok(name)
        })
    }

    /// Turns a device away, until somebody approves it or makes a key for this one device. It is forgotten a week after it
    /// asked last.
    pub fn reject_request(&self, id: i64, now: Moment) -> Result<(), Refused> {
        const SQL: &str = "UPDATE enroll_request SET rejected_at = ?2 WHERE id = ?1 AND rejected_at IS NULL";
        self.transact(|tx| match tx.execute(SQL, params![id, now.0])? {
            0 => Err(nothing_waits(id)),
            _ => Ok(()),
        })
    }
}

const SELECT: &str =
    "SELECT r.id, r.hardware_id, r.hostname, r.group_name, r.machine_id, m.name, r.reason, r.requested_at,
           r.rejected_at IS NOT NULL, r.token_hash
     FROM enroll_request r LEFT JOIN machine m ON m.id = r.machine_id";

fn request(row: &Row<'_>) -> Result<EnrolmentRequest, StoreError> {
    let machine = row.get::<Option<i64>>(4)?.map(MachineId);
    Ok(EnrolmentRequest {
        id: row.get(0)?,
        hardware_id: row.get(1)?,
        hostname: row.get(2)?,
        group: row.get(3)?,
        machine: machine.zip(row.get(5)?),
        reason: WaitReason::from_name(&row.get::<String>(6)?),
        requested_at: Moment(row.get(7)?),
        is_rejected: row.get(8)?,
    })
}

fn waiting(tx: &Transaction<'_>, id: i64) -> Result<(EnrolmentRequest, [u8; 32]), Refused> {
    let sql = format!("{SELECT} WHERE r.id = ?1");
    let found = tx.query_optional(&sql, params![id], |row| Ok((request(row)?, row.get(9)?)))?;
    found.ok_or_else(|| nothing_waits(id))
}

fn nothing_waits(id: i64) -> Refused {
    Refused::because(format!("no device waits under number {id}; heartbeat-monitor enroll list shows them"))
}

fn replace(
    tx: &Transaction<'_>,
    request: &EnrolmentRequest,
    which: &str,
) -> Result<(MachineId, String), Refused> {
    let machine = find(tx, which)?;
    let known = known_device(tx, &request.hardware_id)?;
    if let Some(other) = known.filter(|known| known.machine != machine) {
        return Err(Refused::because(format!(
            "machine {} has this hardware id; remove it first, or let the device replace that one",
            other.machine.0
        )));
    }
    revoke_all(tx, machine)?;
    tx.execute("UPDATE machine SET hardware_id = ?2 WHERE id = ?1", params![machine.0, request.hardware_id])?;
    let name =
        tx.query_row("SELECT name FROM machine WHERE id = ?1", params![machine.0], |row| row.get(0))?;
    Ok((machine, name))
}

fn add(
    tx: &Transaction<'_>,
    request: &EnrolmentRequest,
    name: Option<&str>,
    now: Moment,
) -> Result<(MachineId, String), Refused> {
    if let Some(other) = known_device(tx, &request.hardware_id)? {
        return Err(Refused::because(format!(
            "machine {} has this hardware id: the device can only replace it",
            other.machine.0
        )));
    }
    let mut new = described(tx, &request.hardware_id, request.hostname.as_deref(), request.group.clone())?;
    if let Some(name) = name {
        machine::name(name)?;
        name.clone_into(&mut new.name);
    }
    Ok((insert(tx, &new, Some(&request.hardware_id), now)?, new.name))
}

/// Whether a device with this token waits already, or was turned away; it has asked again.
pub(super) fn asks_again(
    tx: &Transaction<'_>,
    token: &TokenHash,
    now: Moment,
) -> Result<Option<KnownRequest>, StoreError> {
    tx.query_optional(
        "UPDATE enroll_request SET requested_at = ?2 WHERE token_hash = ?1
         RETURNING reason, rejected_at IS NOT NULL",
        params![token.0, now.0],
        |row| {
            let reason = WaitReason::from_name(&row.get::<String>(0)?);
            Ok(if row.get(1)? { KnownRequest::Rejected } else { KnownRequest::Waiting(reason) })
        },
    )
}

/// Somebody made a key for a device that was turned away.
pub(super) fn forget(tx: &Transaction<'_>, token: &TokenHash) -> Result<(), StoreError> {
    tx.execute("DELETE FROM enroll_request WHERE token_hash = ?1", params![token.0])?;
    Ok(())
}

/// # Errors
/// Too many devices wait.
pub(super) fn wait(tx: &Transaction<'_>, new: &NewRequest<'_>, now: Moment) -> Result<WaitReason, Refused> {
    tx.execute("DELETE FROM enroll_request WHERE requested_at <= ?1", params![now.minus(FORGOTTEN_AFTER).0])?;
    let requests: i64 = tx.query_row("SELECT count(*) FROM enroll_request", &[], |row| row.get(0))?;
    if requests >= MOST_REQUESTS {
        return Err(Refused::because(format!("{requests} devices wait for approval already")));
    }
    tx.execute(
        "INSERT INTO enroll_request (token_hash, hardware_id, hostname, group_name, machine_id, reason, requested_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            new.token.0,
            new.hardware_id,
            new.hostname,
            new.group,
            new.machine.map(|machine| machine.0),
            new.reason.name(),
            now.0
        ],
    )?;
    note(tx, new.machine, "enrolment_waiting", None, now)?;
    Ok(new.reason)
}
