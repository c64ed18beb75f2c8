//! `heartbeat-monitor enroll ...`

use super::audited::AuditedChange;
use super::enroll_card::{self, CardArguments};
use super::token_file::Destination;
use crate::clock::Moment;
use crate::config::Period;
use crate::duration::{ago, rough};
use crate::monitor::command_error::CommandError;
use crate::monitor::config::Config;
use crate::monitor::packages::offer::Offer;
use crate::monitor::registry::enrolment::{Approval, EnrolmentKey, EnrolmentRequest, NewKey};
use crate::monitor::store::{Refused, Store};
use crate::table::{or_dash, table};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum EnrollCommand {
    /// Create a key with which devices can enrol; it is printed alone on the last line, only once
    Add {
        /// How long the key is valid, such as 1h or 7d
        #[arg(long = "for", value_name = "TIME", default_value = "1h")]
        valid: Period,
        /// How many devices can use it
        #[arg(long, value_name = "N", default_value_t = 1)]
        uses: u32,
        /// Group of the enrolled machines
        #[arg(long)]
        group: Option<String>,
        /// Each device waits until you approve it
        #[arg(long)]
        approve: bool,
        #[command(flatten)]
        token: Destination,
    },
    /// Write files to the boot partition of a new SD card, with which the device installs the daemon and enrols
    Card(CardArguments),
    /// List the keys that have not expired, and the devices that wait for approval
    List,
    /// Revoke a key; machines that enrolled with it stay
    #[command(visible_alias = "revoke")]
    Remove {
        /// Id, as listed
        id: i64,
    },
    /// Let a waiting device in, as a new machine unless --replaces is given
    Approve {
        /// Number, as listed
        id: i64,
        /// The machine (name or id) that the device is from now on; its old tokens are revoked
        #[arg(long, value_name = "MACHINE")]
        replaces: Option<String>,
        /// Name of the new machine; default: the device's hostname
        #[arg(long, conflicts_with = "replaces")]
        name: Option<String>,
    },
    /// Turn a waiting device away, also when it asks again
    Reject {
        /// Number, as listed
        id: i64,
    },
}

impl EnrollCommand {
    /// `None`: it changes nothing.
    pub fn audited(&self) -> Option<AuditedChange> {
        Some(match self {
            EnrollCommand::Add { .. } => AuditedChange::without_subject("enroll.add"),
            EnrollCommand::Card(_) => AuditedChange::without_subject("enroll.add"),
            EnrollCommand::List => return None,
            EnrollCommand::Remove { id } => AuditedChange::of("enroll.remove", &id.to_string()),
            EnrollCommand::Approve { id, .. } => AuditedChange::of("enroll.approve", &id.to_string()),
            EnrollCommand::Reject { id } => AuditedChange::of("enroll.reject", &id.to_string()),
        })
    }
}

/// Returns the output.
pub fn run(command: EnrollCommand, config: &Config, now: Moment) -> Result<String, CommandError> {
    let database = &config.store.database;
    if let EnrollCommand::Card(arguments) = &command {
        return Ok(enroll_card::run(arguments, database, &Offer::load(config)?, now)?);
    }
    Ok(change(command, &Store::open_beside(database, now)?, now)?)
}

fn change(command: EnrollCommand, store: &Store, now: Moment) -> Result<String, Refused> {
    match command {
        EnrollCommand::Add { valid, uses, group, approve, token } => token.deliver(|deliver_token| {
            let new = NewKey { valid: valid.0, uses, group, needs_approval: approve };
            let key = store.add_key(&new, now, deliver_token)?;
            let devices = if uses == 1 { "one device".into() } else { format!("{uses} devices") };
            let approval = if approve { "; each waits for heartbeat-monitor enroll approve" } else { "" };
            Ok((format!("key for {devices}, valid for {valid}{approval}"), key))
        }),
        // Handled above.
        EnrollCommand::Card(_) => Ok(String::new()),
        EnrollCommand::List => list(store, now),
        EnrollCommand::Approve { id, replaces, name } => {
            let approval = replaces.map_or(Approval::New(name), Approval::Replaces);
            let name = store.approve_request(id, &approval, now)?;
            Ok(format!("the device is machine \"{name}\" as soon as it asks again"))
        }
        EnrollCommand::Reject { id } => {
            store.reject_request(id, now)?;
            Ok(format!("device {id} was turned away; heartbeat-monitor enroll approve {id} still lets it in"))
        }
        EnrollCommand::Remove { id } => {
            store.remove_key(id)?;
            Ok(format!("enrolment key {id} removed"))
        }
    }
}

fn list(store: &Store, now: Moment) -> Result<String, Refused> {
    let keys: Vec<_> = store.keys(now)?.iter().map(|key| key_row(key, now)).collect();
    let waiting: Vec<_> = store.enrolment_requests(now)?.iter().map(|it| request_row(it, now)).collect();
    let mut parts = Vec::new();
    match keys.is_empty() {
        true => parts.push("no enrolment keys; create one with heartbeat-monitor enroll add".to_owned()),
        false => parts.push(table(["ID", "STILL VALID", "GROUP", "USED", "APPROVAL", "LAST MACHINE"], &keys)),
    }
    if !waiting.is_empty() {
        parts.push(table(
            ["WAITING", "HARDWARE ID", "HOSTNAME", "GROUP", "LAST REQUEST", "BECAUSE"],
            &waiting,
        ));
    }
    Ok(parts.join("\n\n"))
}

fn key_row(key: &EnrolmentKey, now: Moment) -> [String; 6] {
    let machine = match (key.uses.0, key.machine) {
        (0, _) => "-".to_owned(),
        (_, Some(machine)) => machine.0.to_string(),
        (_, None) => "removed or waiting".to_owned(),
    };
    [
        key.id.to_string(),
        rough(key.expires_at.since(now)),
        or_dash(key.group.as_deref()),
        format!("{} of {}", key.uses.0, key.uses.1),
        if key.needs_approval { "yes" } else { "no" }.to_owned(),
        machine,
    ]
}

fn request_row(request: &EnrolmentRequest, now: Moment) -> [String; 6] {
    [
        request.id.to_string(),
        request.hardware_id.clone(),
        or_dash(request.hostname.as_deref()),
        or_dash(request.group.as_deref()),
        ago(Some(request.requested_at), now),
        request.sentence(),
    ]
}
