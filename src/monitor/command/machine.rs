//! `heartbeat-monitor machine ...`

use super::audited::AuditedChange;
use super::token_file::Destination;
use crate::clock::Moment;
use crate::config::Period;
use crate::duration::ago;
use crate::monitor::machine::{Description, Machine};
use crate::monitor::registry::issue::TokenReceiver;
use crate::monitor::registry::machines::{LARGEST_PAGE, MachineChange};
use crate::monitor::registry::token::Token;
use crate::monitor::registry::watching::Resumed;
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use crate::table::{or_dash, table};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::time::Duration;
use view::{as_json, state, state_named};

mod show;
mod view;

#[derive(Debug, Subcommand)]
pub enum MachineCommand {
    /// Add a machine and print its token, alone on the last line; it is shown only once
    Add(Add),
    /// List machines
    List(List),
    /// Show everything about a machine: settings, state, open incidents, cameras, last deliveries, latest heartbeat
    Show {
        /// Its name or id
        machine: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Change a machine's settings; an empty value clears one
    Set(Set),
    /// Replace a machine's token and print the new one, alone on the last line; it is shown only once
    Rotate {
        /// Its name or id
        machine: String,
        /// How long the old token stays valid, such as "24h"
        #[arg(long, value_name = "TIME", default_value = "0s")]
        keep_old: Period,
        #[command(flatten)]
        token: Destination,
    },
    /// Revoke all tokens of a machine
    Revoke {
        /// Its name or id
        machine: String,
    },
    /// Refuse a machine's heartbeats and stop monitoring it
    Disable {
        /// Its name or id
        machine: String,
    },
    /// Monitor a disabled machine again
    Enable {
        /// Its name or id
        machine: String,
    },
    /// Suppress notifications about a machine during maintenance; it is still monitored
    Pause {
        /// Its name or id
        machine: String,
        /// Duration, such as "2h"
        #[arg(long = "for", value_name = "TIME")]
        length: Period,
        /// Reason, shown in the list of events
        #[arg(long)]
        reason: Option<String>,
    },
    /// End the maintenance of a machine now
    Resume {
        /// Its name or id
        machine: String,
    },
    /// Delete a machine with its history, without confirmation
    Remove {
        /// Its name or id
        machine: String,
    },
}

#[derive(Debug, Args)]
pub struct Add {
    /// Name in lists and messages
    name: String,
    /// Default: the hostname that the device reports
    #[arg(long)]
    hostname: Option<String>,
    /// Description, such as the place of the machine
    #[arg(long)]
    description: Option<String>,
    /// Silence after which it is offline, such as "5m"; default: offline_threshold of the configuration
    #[arg(long, value_name = "TIME")]
    threshold: Option<Period>,
    /// Group, for filtering lists and recipients
    #[arg(long)]
    group: Option<String>,
    /// Tag, for the same purpose; repeat for several
    #[arg(long)]
    tag: Vec<String>,
    /// Its device key in the Meeting API
    #[arg(long, value_name = "KEY")]
    device_key: Option<String>,
    /// This monitor is only the device's backup: nothing is reported while it is silent, or before it was ever seen
    #[arg(long)]
    backup: bool,
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
    /// Only machines in this state: new, online, offline, stopped, standby, paused or disabled
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
    /// Overrides the hostname that the device reports
    #[arg(long)]
    hostname: Option<String>,
    /// Description, such as the place of the machine
    #[arg(long)]
    description: Option<String>,
    /// Silence after which it is offline, such as "5m"
    #[arg(long, value_name = "TIME")]
    threshold: Option<String>,
    /// Group, for filtering lists and recipients
    #[arg(long)]
    group: Option<String>,
    /// Add a tag; repeat for several
    #[arg(long)]
    tag: Vec<String>,
    /// Remove a tag; repeat for several
    #[arg(long)]
    untag: Vec<String>,
    /// The machine in front of it, such as a switch: while that is offline, this one is not announced
    #[arg(long, value_name = "MACHINE")]
    behind: Option<String>,
    /// Its device key in the Meeting API
    #[arg(long, value_name = "KEY")]
    device_key: Option<String>,
}

impl MachineCommand {
    /// `None`: it changes nothing.
    pub fn audited(&self) -> Option<AuditedChange> {
        Some(match self {
            MachineCommand::Add(add) => AuditedChange::of("machine.add", &add.name),
            MachineCommand::List(_) | MachineCommand::Show { .. } => return None,
            MachineCommand::Set(set) => AuditedChange::of("machine.set", &set.machine),
            MachineCommand::Rotate { machine, .. } => AuditedChange::of("machine.rotate", machine),
            MachineCommand::Revoke { machine } => AuditedChange::of("machine.revoke", machine),
            MachineCommand::Disable { machine } => AuditedChange::of("machine.disable", machine),
            MachineCommand::Enable { machine } => AuditedChange::of("machine.enable", machine),
            MachineCommand::Pause { machine, .. } => AuditedChange::of("machine.pause", machine),
            MachineCommand::Resume { machine } => AuditedChange::of("machine.resume", machine),
            MachineCommand::Remove { machine } => AuditedChange::of("machine.remove", machine),
        })
    }
}

/// Returns the output.
pub fn run(command: MachineCommand, database: &DatabaseLocation, now: Moment) -> Result<String, Refused> {
    let store = Store::open_beside(database, now)?;
    match command {
        MachineCommand::Add(new) => add(&store, new, now),
        MachineCommand::List(only) if only.json => list_as_json(&store, &only, now),
        MachineCommand::List(only) => list(&store, &only, now),
        MachineCommand::Show { machine, json } => show::run(&store, &machine, json, now),
        MachineCommand::Set(set) => change(&store, set),
        MachineCommand::Rotate { machine, keep_old, token } => {
            token.deliver(|deliver_token| rotate(&store, &machine, keep_old, now, deliver_token))
        }
        MachineCommand::Revoke { machine } => {
            let named = id_and_name(&store, &machine, now)?;
            let (_, tokens) = store.revoke(&machine, now)?;
            Ok(format!("{named}: {tokens} tokens revoked"))
        }
        MachineCommand::Disable { machine } => {
            let named = id_and_name(&store, &machine, now)?;
            store.disable_machine(&machine, now)?;
            Ok(format!("{named} is disabled: heartbeats are refused, notifications are off"))
        }
        MachineCommand::Enable { machine } => {
            let named = id_and_name(&store, &machine, now)?;
            store.enable_machine(&machine, now)?;
            Ok(format!("{named} is enabled: monitoring resumes with its next heartbeat"))
        }
        MachineCommand::Pause { machine, length, reason } => {
            let named = id_and_name(&store, &machine, now)?;
            let until = store.pause_machine(&machine, length.0, reason.as_deref(), now)?;
            Ok(format!("{named}: notifications are off until {}", until.rfc_3339().unwrap_or_default()))
        }
        MachineCommand::Resume { machine } => {
            let named = id_and_name(&store, &machine, now)?;
            let done = match store.resume_machine(&machine, now)? {
                Resumed::Ended => "maintenance ended",
                Resumed::Skipped => "the maintenance that begins soon is skipped",
                Resumed::NotPaused => "was not paused",
            };
            Ok(format!("{named}: {done}"))
        }
        MachineCommand::Remove { machine } => {
            let named = id_and_name(&store, &machine, now)?;
            store.remove_machine(&machine, now)?;
            Ok(format!("{named} removed"))
        }
    }
}

/// Id and name of the machine that was named by either, so that a typo shows in the output.
fn id_and_name(store: &Store, which: &str, now: Moment) -> Result<String, Refused> {
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
    new.token.deliver(|deliver_token| {
        let (id, token) = store.add_machine_and(&description, now, deliver_token)?;
        if new.backup {
            store.expect_as_backup(id)?;
        }
        Ok((format!("machine {} ({}) added", id.0, description.name), token))
    })
}

fn rotate(
    store: &Store,
    which: &str,
    keep_old: Period,
    now: Moment,
    deliver_token: TokenReceiver<'_>,
) -> Result<(String, Token), Refused> {
    let named = id_and_name(store, which, now)?;
    let (_, token) = store.rotate(which, keep_old.0, now, deliver_token)?;
    let old = match keep_old.0 {
        Duration::ZERO => "the old one is no longer accepted".to_owned(),
        _ => format!("the old one is accepted for another {keep_old}"),
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
        behind: emptied(set.behind),
        tag: set.tag,
        untag: set.untag,
    };
    if change == MachineChange::default() {
        return Err(Refused::because("nothing to change; see heartbeat-monitor machine set --help"));
    }
    let machine = store.change_machine(&set.machine, &change)?;
    Ok(format!("machine {} ({}) changed", machine.id.0, machine.name))
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
        return Ok("no machines; add one with heartbeat-monitor machine add NAME".into());
    }
    let mut listed = table(["ID", "NAME", "STATE", "LAST SEEN", "THRESHOLD", "GROUP", "TAGS"], &rows);
    // Whoever asks for some machines wants a short answer; the whole list says that it stays unseen when one is late.
    if only.is_everything() && !store.has_enabled_channel()? {
        listed += "\nNo channel: nobody will be notified. See heartbeat-monitor channel add --help";
    }
    Ok(listed)
}

fn list_as_json(store: &Store, only: &List, now: Moment) -> Result<String, Refused> {
    let mut listed = Vec::new();
    each(store, only, now, |machine| listed.push(as_json(machine)))?;
    Ok(Value::Array(listed).to_string())
}

/// Calls `act` for each selected machine, reading page by page: a long read would delay the server's checkpoints.
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
