//! `heartbeat-monitor machine ...`

use super::token_file::Destination;
use crate::clock::Moment;
use crate::config::Period;
use crate::duration::ago;
use crate::monitor::machine::{Description, Machine, MachineStatus};
use crate::monitor::registry::issue::HandOver;
use crate::monitor::registry::machines::{LARGEST_PAGE, MachineChange};
use crate::monitor::registry::token::Token;
use crate::monitor::store::{Refused, Store};
use crate::table::{or_dash, table};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

mod show;

#[derive(Debug, Subcommand)]
pub enum MachineCommand {
    /// Add a machine; its token is printed alone on the last line, only this once
    Add(Add),
    /// List machines
    List(List),
    /// Show everything about a machine: description, state, open outage, latest heartbeat
    Show {
        /// Its name or id
        machine: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Change what is said of a machine; an empty value takes it away
    Set(Set),
    /// Give a machine a new token; it is printed alone on the last line, only this once
    Rotate {
        /// Its name or id
        machine: String,
        /// How long the old token is still accepted, such as "24h"; without it, it ends now
        #[arg(long, value_name = "TIME", default_value = "0s")]
        keep_old: Period,
        #[command(flatten)]
        token: Destination,
    },
    /// End all tokens of a machine at once
    Revoke {
        /// Its name or id
        machine: String,
    },
    /// Refuse a machine's heartbeats and stop watching it
    Disable {
        /// Its name or id
        machine: String,
    },
    /// Watch a disabled machine again
    Enable {
        /// Its name or id
        machine: String,
    },
    /// Tell nobody of a machine for a while; it is watched all the same
    Pause {
        /// Its name or id
        machine: String,
        /// Such as "2h"
        #[arg(long = "for", value_name = "TIME")]
        length: Period,
        /// What is done to it
        #[arg(long)]
        reason: Option<String>,
    },
    /// End a machine's pause now
    Resume {
        /// Its name or id
        machine: String,
    },
    /// Remove a machine with its history and all else that is known of it, without asking
    Remove {
        /// Its name or id
        machine: String,
    },
}

#[derive(Debug, Args)]
pub struct Add {
    /// What it is called here and in messages
    name: String,
    /// Default: the hostname that the device reports
    #[arg(long)]
    hostname: Option<String>,
    /// What it is, or where
    #[arg(long)]
    description: Option<String>,
    /// Silence that means offline, such as "5m"; without it the configured one
    #[arg(long, value_name = "TIME")]
    threshold: Option<Period>,
    /// Recipients and lists can choose by it
    #[arg(long)]
    group: Option<String>,
    /// The same, but a machine can have many: may be given several times
    #[arg(long)]
    tag: Vec<String>,
    /// Its name at the Meeting API
    #[arg(long, value_name = "KEY")]
    device_key: Option<String>,
    #[command(flatten)]
    token: Destination,
}

#[derive(Debug, Default, Args)]
pub struct List {
    /// Only machines of this group
    #[arg(long)]
    group: Option<String>,
    /// Only machines with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only machines in this state: new, online, offline, stopped, paused or disabled
    #[arg(long, value_name = "STATE", value_parser = state_named)]
    status: Option<&'static str>,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Set {
    /// Its name or id
    machine: String,
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// Replaces the hostname that the device reports; an empty value returns to that
    #[arg(long)]
    hostname: Option<String>,
    /// What it is, or where
    #[arg(long)]
    description: Option<String>,
    /// Silence that means offline, such as "5m"
    #[arg(long, value_name = "TIME")]
    threshold: Option<String>,
    /// Recipients and lists can choose by it
    #[arg(long)]
    group: Option<String>,
    /// One more tag; may be given several times
    #[arg(long)]
    tag: Vec<String>,
    /// Takes a tag away; may be given several times
    #[arg(long)]
    untag: Vec<String>,
    /// Its name at the Meeting API
    #[arg(long, value_name = "KEY")]
    device_key: Option<String>,
}

/// What is to be printed.
///
/// # Errors
/// One sentence; nothing was changed.
pub fn run(command: MachineCommand, database: &Path, now: Moment) -> Result<String, Refused> {
    let store = Store::open_beside(database, now)?;
    match command {
        MachineCommand::Add(new) => add(&store, new, now),
        MachineCommand::List(only) if only.json => list_as_json(&store, &only, now),
        MachineCommand::List(only) => list(&store, &only, now),
        MachineCommand::Show { machine, json } => show::run(&store, &machine, json, now),
        MachineCommand::Set(set) => change(&store, set),
        MachineCommand::Rotate { machine, keep_old, token } => {
            token.deliver(|hand_over| rotate(&store, &machine, keep_old, now, hand_over))
        }
        MachineCommand::Revoke { machine } => {
            let named = named(&store, &machine, now)?;
            let (_, tokens) = store.revoke(&machine, now)?;
            Ok(format!("{named} has no token any more ({tokens} revoked)"))
        }
        MachineCommand::Disable { machine } => {
            let named = named(&store, &machine, now)?;
            store.disable_machine(&machine, now)?;
            Ok(format!("{named} is disabled: its heartbeats are refused, nobody is told of it"))
        }
        MachineCommand::Enable { machine } => {
            let named = named(&store, &machine, now)?;
            store.enable_machine(&machine, now)?;
            Ok(format!("{named} is watched again from its next heartbeat on"))
        }
        MachineCommand::Pause { machine, length, reason } => {
            let named = named(&store, &machine, now)?;
            let until = store.pause_machine(&machine, length.0, reason.as_deref(), now)?;
            Ok(format!("{named}: nobody is told of it until {}", until.rfc_3339().unwrap_or_default()))
        }
        MachineCommand::Resume { machine } => {
            let named = named(&store, &machine, now)?;
            let ended = store.resume_machine(&machine, now)?;
            Ok(format!("{named}: {}", if ended { "the pause has ended" } else { "it was not paused" }))
        }
        MachineCommand::Remove { machine } => {
            let named = named(&store, &machine, now)?;
            store.remove_machine(&machine, now)?;
            Ok(format!("{named} is removed"))
        }
    }
}

/// Number and name, whichever of them was typed: the answer shows a slip of the hand.
fn named(store: &Store, which: &str, now: Moment) -> Result<String, Refused> {
    let machine = store.machine_called(which, now)?;
    Ok(format!("machine {} ({})", machine.id.0, machine.name))
}

fn add(store: &Store, new: Add, now: Moment) -> Result<String, Refused> {
    let description = Description {
        name: new.name,
        hostname: new.hostname,
        description: new.description,
        group: new.group,
        tags: new.tag,
        threshold: new.threshold.map(|threshold| threshold.0),
        device_key: new.device_key,
    };
    new.token.deliver(|hand_over| {
        let (id, token) = store.add_machine_and(&description, now, hand_over)?;
        Ok((format!("machine {} ({}) is added", id.0, description.name), token))
    })
}

fn rotate(
    store: &Store,
    which: &str,
    keep_old: Period,
    now: Moment,
    hand_over: HandOver<'_>,
) -> Result<(String, Token), Refused> {
    let named = named(store, which, now)?;
    let (_, token) = store.rotate(which, keep_old.0, now, hand_over)?;
    let old = match keep_old.0 {
        Duration::ZERO => "the old one is refused from now on".to_owned(),
        _ => format!("the old one is accepted for {keep_old} more"),
    };
    Ok((format!("{named} has a new token; {old}"), token))
}

fn change(store: &Store, set: Set) -> Result<String, Refused> {
    let emptied = |text: Option<String>| text.map(|text| (!text.is_empty()).then_some(text));
    let threshold = match emptied(set.threshold) {
        Some(Some(text)) => {
            let period: Period =
                text.parse().map_err(|problem| format!("--threshold \"{text}\": {problem}"))?;
            Some(Some(period.0))
        }
        Some(None) => Some(None),
        None => None,
    };
    let change = MachineChange {
        name: set.name,
        hostname: emptied(set.hostname),
        description: emptied(set.description),
        group: emptied(set.group),
        threshold,
        device_key: emptied(set.device_key),
        tag: set.tag,
        untag: set.untag,
    };
    if change == MachineChange::default() {
        return Err(Refused::because(
            "there is nothing to change; heartbeat-monitor machine set --help shows what can be",
        ));
    }
    let machine = store.change_machine(&set.machine, &change)?;
    Ok(format!("machine {} ({}) is changed", machine.id.0, machine.name))
}

impl List {
    fn includes(&self, machine: &Machine) -> bool {
        self.group.as_ref().is_none_or(|group| machine.group.as_ref() == Some(group))
            && self.tag.as_ref().is_none_or(|tag| machine.tags.contains(tag))
            && self.status.is_none_or(|status| state(machine) == status)
    }

    fn is_everything(&self) -> bool {
        self.group.is_none() && self.tag.is_none() && self.status.is_none()
    }
}

fn list(store: &Store, only: &List, now: Moment) -> Result<String, Refused> {
    let mut rows = Vec::new();
    each(store, only, now, |machine| {
        rows.push([
            machine.id.0.to_string(),
            machine.name.clone(),
            state(machine).to_owned(),
            ago(machine.last_seen, now),
            machine.threshold.map_or_else(|| "-".into(), |threshold| Period(threshold).to_string()),
            or_dash(machine.group.as_deref()),
            or_dash(Some(machine.tags.join(",").as_str()).filter(|tags| !tags.is_empty())),
        ]);
    })?;
    if rows.is_empty() && !only.is_everything() {
        return Ok("no machine matches".into());
    }
    if rows.is_empty() {
        return Ok("no machines; heartbeat-monitor machine add NAME adds one".into());
    }
    Ok(table(["ID", "NAME", "STATE", "LAST SEEN", "THRESHOLD", "GROUP", "TAGS"], &rows))
}

const DISABLED: &str = "disabled";
const PAUSED: &str = "paused";

/// What a person wants to know first: a disabled or paused machine's status says less.
fn state(machine: &Machine) -> &'static str {
    match machine {
        Machine { watched: false, .. } => DISABLED,
        Machine { paused_until: Some(_), .. } => PAUSED,
        Machine { status, .. } => status.as_str(),
    }
}

/// A state as [`state`] says it.
fn state_named(name: &str) -> Result<&'static str, String> {
    let statuses =
        [MachineStatus::New, MachineStatus::Online, MachineStatus::Offline, MachineStatus::Stopped]
            .map(MachineStatus::as_str);
    let found = statuses.into_iter().chain([PAUSED, DISABLED]).find(|state| *state == name);
    found.ok_or_else(|| "must be new, online, offline, stopped, paused or disabled".into())
}

fn list_as_json(store: &Store, only: &List, now: Moment) -> Result<String, Refused> {
    let mut listed = Vec::new();
    each(store, only, now, |machine| listed.push(as_json(machine)))?;
    Ok(Value::Array(listed).to_string())
}

fn as_json(machine: &Machine) -> Value {
    let moment = |moment: Moment| moment.rfc_3339();
    json!({
        "id": machine.id.0,
        "name": machine.name,
        "hostname": machine.hostname,
        "description": machine.description,
        "group": machine.group,
        "tags": machine.tags,
        "hardware_id": machine.hardware_id,
        "device_key": machine.device_key,
        "threshold_s": machine.threshold.map(|threshold| threshold.as_secs_f64()),
        "status": machine.status.as_str(),
        "watched": machine.watched,
        "last_seen": machine.last_seen.and_then(moment),
        "since": moment(machine.since),
        "created_at": moment(machine.created_at),
        "paused_until": machine.paused_until.and_then(moment),
    })
}

/// The machines that are asked for, a page at a time: a long read would delay the server's checkpoints.
fn each(store: &Store, only: &List, now: Moment, mut act: impl FnMut(&Machine)) -> Result<(), Refused> {
    let mut after = None;
    loop {
        let page = store.machines_page(after, LARGEST_PAGE, now)?;
        page.iter().filter(|machine| only.includes(machine)).for_each(&mut act);
        match page.last() {
            Some(last) => after = Some(last.id),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
