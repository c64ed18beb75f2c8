//! `heartbeat-monitor condition ...`

use super::audited::AuditedChange;
use crate::clock::Moment;
use crate::config::Period;
use crate::monitor::conditions::catalogue::{CATALOGUE, Condition};
use crate::monitor::conditions::settings::{
    Scope, ScopedChange, SettingChange, checked_hold, checked_threshold, sourced,
};
use crate::monitor::conditions::words;
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use std::str::FromStr;

pub mod view;

#[derive(Debug, Subcommand)]
pub enum ConditionCommand {
    /// List all conditions with their settings, and where each setting comes from
    List {
        /// The settings of this machine (name or id); default: those of the whole fleet, and all changes
        #[arg(long, value_name = "NAME")]
        machine: Option<String>,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Change the threshold or hold time of a condition
    Set {
        /// Name, as listed
        #[arg(value_parser = condition())]
        condition: Condition,
        /// Threshold in the listed unit; "default" removes all settings of the condition for these machines
        #[arg(allow_negative_numbers = true)]
        threshold: Option<Threshold>,
        /// How long it must hold before an incident begins, such as "10m"
        #[arg(long = "for", value_name = "TIME")]
        hold: Option<Period>,
        #[command(flatten)]
        machines: Machines,
    },
    /// Switch a condition off: it is not judged, and nobody is notified about it
    Off {
        /// Name, as listed
        #[arg(value_parser = condition())]
        condition: Condition,
        #[command(flatten)]
        machines: Machines,
    },
    /// Switch a condition on
    On {
        /// Name, as listed
        #[arg(value_parser = condition())]
        condition: Condition,
        #[command(flatten)]
        machines: Machines,
    },
}

/// The machines that a command is about; by default all.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Machines {
    /// Only machines of this group
    #[arg(long)]
    group: Option<String>,
    /// Only machines with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only this machine (name or id)
    #[arg(long, value_name = "NAME")]
    machine: Option<String>,
}

/// A threshold as it is typed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    Number(f32),
    Default,
}

impl FromStr for Threshold {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Threshold, &'static str> {
        match text.parse::<f32>() {
            _ if text == "default" => Ok(Threshold::Default),
            Ok(number) if number.is_finite() => Ok(Threshold::Number(number)),
            _ => Err("must be a number or \"default\""),
        }
    }
}

fn condition() -> impl TypedValueParser<Value = Condition> {
    let values = CATALOGUE.map(|entry| PossibleValue::new(entry.name).help(words::summary(&entry)));
    PossibleValuesParser::new(values).try_map(|name| Condition::from_name(&name).ok_or("not a condition"))
}

impl ConditionCommand {
    /// `None`: it changes nothing.
    pub fn audited(&self) -> Option<AuditedChange> {
        Some(match self {
            ConditionCommand::List { .. } => return None,
            ConditionCommand::Set { condition, .. } => AuditedChange::of("condition.set", condition.name()),
            ConditionCommand::Off { condition, .. } => AuditedChange::of("condition.off", condition.name()),
            ConditionCommand::On { condition, .. } => AuditedChange::of("condition.on", condition.name()),
        })
    }
}

/// Returns the output.
///
/// # Errors
/// The command was refused or the database failed; nothing was changed.
pub fn run(command: ConditionCommand, database: &DatabaseLocation, now: Moment) -> Result<String, Refused> {
    let store = Store::open_beside(database, now)?;
    match command {
        ConditionCommand::List { machine: Some(which), json } => {
            let machine = store.machine_called(&which, now)?;
            let settings = sourced(&store.condition_changes()?, Some(&machine));
            Ok(if json { view::as_json(&settings, None) } else { view::list(&settings) })
        }
        ConditionCommand::List { machine: None, json } => {
            let changes = store.condition_changes()?;
            let settings = sourced(&changes, None);
            let changes = with_scopes(&store, &changes, now)?;
            Ok(if json {
                view::as_json(&settings, Some(&changes))
            } else {
                view::list_with(&settings, &changes)
            })
        }
        ConditionCommand::Set { condition, threshold: Some(Threshold::Default), hold, machines } => {
            if hold.is_some() {
                return Err(Refused::because("default removes the hold time, too; leave out --for"));
            }
            let target = Target::of(&store, machines, now)?;
            let removed = store.clear_condition(condition, &target.scope, now)?;
            let said = if removed { "settings removed" } else { "there were no settings to remove" };
            Ok(format!("{} {}: {said}", condition.name(), target.text))
        }
        ConditionCommand::Set { condition, threshold, hold, machines } => {
            let threshold = match threshold {
                Some(Threshold::Number(number)) => Some(checked_threshold(condition.entry(), number)?),
                _ => None,
            };
            let hold = hold.map(|hold| checked_hold(hold.0)).transpose()?;
            let change = SettingChange { is_on: None, threshold, hold };
            if change == SettingChange::default() {
                return Err(Refused::because(
                    "nothing to change; see heartbeat-monitor condition set --help",
                ));
            }
            apply(&store, condition, machines, change, now)
        }
        ConditionCommand::Off { condition, machines } => switch(&store, condition, machines, false, now),
        ConditionCommand::On { condition, machines } => switch(&store, condition, machines, true, now),
    }
}

fn switch(
    store: &Store,
    condition: Condition,
    machines: Machines,
    is_on: bool,
    now: Moment,
) -> Result<String, Refused> {
    let change = SettingChange { is_on: Some(is_on), ..SettingChange::default() };
    apply(store, condition, machines, change, now)
}

fn apply(
    store: &Store,
    condition: Condition,
    machines: Machines,
    change: SettingChange,
    now: Moment,
) -> Result<String, Refused> {
    let target = Target::of(store, machines, now)?;
    store.change_condition(&ScopedChange { condition, scope: target.scope, change }, now)?;
    Ok(format!("{} {}: {}", condition.name(), target.text, words::change(condition.entry(), &change)))
}

/// The scope of a change, and how the output calls it.
struct Target {
    scope: Scope,
    text: String,
}

impl Target {
    fn of(store: &Store, machines: Machines, now: Moment) -> Result<Target, Refused> {
        Ok(match machines {
            Machines { group: Some(name), .. } => {
                Target { text: format!("for the group \"{name}\""), scope: Scope::Group(name) }
            }
            Machines { tag: Some(name), .. } => {
                Target { text: format!("for the tag \"{name}\""), scope: Scope::Tag(name) }
            }
            Machines { machine: Some(which), .. } => {
                let machine = store.machine_called(&which, now)?;
                let text = format!("for machine {} ({})", machine.id.0, machine.name);
                Target { text, scope: Scope::Machine(machine.id) }
            }
            _ => Target { text: "for all machines".into(), scope: Scope::All },
        })
    }
}

/// Every change with its scope as it is listed: a machine's name instead of its id.
fn with_scopes(
    store: &Store,
    changes: &[ScopedChange],
    now: Moment,
) -> Result<Vec<view::ListedChange>, Refused> {
    let listed = |change: &ScopedChange| {
        let scope = match change.scope {
            Scope::Machine(id) => {
                let machine = store.machine(id, now)?;
                format!("machine:{}", machine.map_or_else(|| id.0.to_string(), |machine| machine.name))
            }
            ref scope => words::scope(scope),
        };
        Ok(view::ListedChange { scope, condition: change.condition, change: change.change })
    };
    changes.iter().map(listed).collect()
}

#[cfg(test)]
mod tests;
