//! `heartbeat-monitor incident ...`

use crate::clock::Moment;
use crate::duration::ago;
use crate::monitor::accounts::audit::Actor;
use crate::monitor::incidents::list::{IncidentFilter, IncidentRecord};
use crate::monitor::incidents::table::IncidentId;
use crate::monitor::store::page::Page;
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use crate::table::{or_dash, table};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// List incidents: outages and conditions, the newest last
    List {
        /// Only open ones
        #[arg(long)]
        open: bool,
        /// Only this machine (name or id)
        #[arg(long, value_name = "NAME")]
        machine: Option<String>,
        /// Maximum number of incidents
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Acknowledge an incident: the pages show who is working on it
    Acknowledge {
        /// Number, as listed
        id: i64,
        /// Withdraw the acknowledgement instead
        #[arg(long)]
        undo: bool,
    },
    /// Write a comment on an incident, also on one that has ended
    Comment {
        /// Number, as listed
        id: i64,
        text: String,
    },
}

/// Returns the output.
pub fn run(command: IncidentCommand, database: &DatabaseLocation, now: Moment) -> Result<String, Refused> {
    let store = Store::open_beside(database, now)?;
    let actor = Actor::command_line();
    match command {
        IncidentCommand::List { open, machine, limit } => {
            let machine = machine.map(|which| store.machine_called(&which, now)).transpose()?;
            let is_open = open.then_some(true);
            let filter = IncidentFilter {
                page: Page::default(),
                limit,
                machine: machine.map(|machine| machine.id),
                kind: None,
                is_open,
            };
            let mut incidents = store.incidents(&filter)?;
            incidents.reverse();
            Ok(list(&incidents, now))
        }
        IncidentCommand::Acknowledge { id, undo: false } => {
            let by = store.acknowledge(IncidentId(id), &actor, now)?;
            Ok(format!("incident {id}: {by} is on it"))
        }
        IncidentCommand::Acknowledge { id, undo: true } => {
            store.release_incident(IncidentId(id), &actor, now)?;
            Ok(format!("incident {id}: nobody is on it"))
        }
        IncidentCommand::Comment { id, text } => {
            store.comment(IncidentId(id), &actor, &text, now)?;
            Ok(format!("incident {id}: commented"))
        }
    }
}

fn list(incidents: &[IncidentRecord], now: Moment) -> String {
    if incidents.is_empty() {
        return "no incidents".into();
    }
    let rows: Vec<_> = incidents
        .iter()
        .map(|incident| {
            let subject = incident.label.as_ref().unwrap_or(&incident.subject);
            [
                incident.id.to_string(),
                incident.machine.1.clone(),
                incident.kind.clone(),
                or_dash(Some(subject.as_str()).filter(|subject| !subject.is_empty())),
                ago(Some(incident.since), now),
                incident.ended.map_or_else(|| "open".into(), |ended| ago(Some(ended), now)),
                or_dash(incident.acknowledged.as_ref().map(|(_, by)| by.as_str())),
            ]
        })
        .collect();
    table(["ID", "MACHINE", "KIND", "PART", "SINCE", "ENDED", "ON IT"], &rows)
}
