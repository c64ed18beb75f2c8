//! `heartbeat-monitor maintenance ...`: maintenance that recurs each week.

use super::audited::AuditedChange;
use crate::clock::Moment;
use crate::monitor::maintenance::listed::{ListedPlan, PlanView};
use crate::monitor::maintenance::plans::{MaintenancePlan, PlanTarget};
use crate::monitor::maintenance::weekly::Weekly;
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use crate::monitor::zone::Clock;
use crate::table::table;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum MaintenanceCommand {
    /// Suppress notifications about machines each week at the same time; they are still monitored
    Add(Add),
    /// List the plans, and when each begins next
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a plan; a window that goes on ends
    Remove {
        /// Its number, as listed
        id: i64,
    },
}

#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    target: TargetOptions,
    /// Days and times, such as "sun 02:00-04:00", "mon-fri 12:00-12:30" or "daily 23:00-01:00"
    #[arg(long, num_args = 2, value_names = ["DAYS", "TIMES"], required = true)]
    weekly: Vec<String>,
    /// Whose clock it is: "Europe/Berlin" or an offset such as "+02:00"; default: this server's
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Reason, shown with the maintenance
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct TargetOptions {
    /// This machine (name or id)
    #[arg(long)]
    machine: Option<String>,
    /// All machines of this group, also those that join it later
    #[arg(long)]
    group: Option<String>,
    /// All machines with this tag, also those that get it later
    #[arg(long)]
    tag: Option<String>,
}

impl MaintenanceCommand {
    /// `None`: it changes nothing.
    pub fn audited(&self) -> Option<AuditedChange> {
        match self {
            MaintenanceCommand::Add(add) => {
                let target = add.target.plan_target();
                let (kind, name) = target.words();
                Some(AuditedChange::of("maintenance.add", &format!("{kind} {name}")))
            }
            MaintenanceCommand::Remove { id } => {
                Some(AuditedChange::of("maintenance.remove", &id.to_string()))
            }
            MaintenanceCommand::List { .. } => None,
        }
    }
}

/// Returns the output.
///
/// # Errors
/// The command was refused or the database failed; nothing was changed.
pub fn run(command: MaintenanceCommand, database: &DatabaseLocation, now: Moment) -> Result<String, Refused> {
    let store = Store::open_beside(database, now)?;
    match command {
        MaintenanceCommand::Add(add) => self::add(&store, &add, now),
        MaintenanceCommand::List { json } => {
            let plans = store.listed_plans(now)?;
            if json { as_json(&plans) } else { Ok(list(&plans, now)) }
        }
        MaintenanceCommand::Remove { id } => match store.remove_maintenance_plan(id, now)? {
            true => Ok(format!("maintenance {id} removed")),
            false => Err(Refused::because(format!(
                "there is no maintenance {id}; heartbeat-monitor maintenance list shows all"
            ))),
        },
    }
}

impl TargetOptions {
    fn plan_target(&self) -> PlanTarget {
        match (&self.machine, &self.group, &self.tag) {
            (Some(name), ..) => PlanTarget::Machine(name.clone()),
            (None, Some(name), _) => PlanTarget::Group(name.clone()),
            (None, None, tag) => PlanTarget::Tag(tag.clone().unwrap_or_default()),
        }
    }
}

fn add(store: &Store, add: &Add, now: Moment) -> Result<String, Refused> {
    let [days, times] = &add.weekly[..] else {
        return Err(Refused::because("--weekly needs days and times"));
    };
    let weekly = Weekly::parse(days, times).map_err(|problem| format!("--weekly: {problem}"))?;
    let clock = match &add.time_zone {
        Some(zone) => zone.parse::<Clock>().map_err(|problem| format!("--time-zone: {problem}"))?,
        None => Clock::of_server(),
    };
    let target = add.target.plan_target();
    let id = store.add_maintenance_plan(&target, weekly, &clock, add.reason.as_deref(), now)?;
    let (kind, name) = target.words();
    let added = format!("maintenance {id}: {kind} {name}, {weekly} {clock}");
    let Some(listed) = store.listed_plans(now)?.into_iter().find(|listed| listed.plan.id == id) else {
        return Ok(added);
    };
    let warning =
        listed.warning().map(|warning| format!("\nwarning: {warning}; it is for those that come later"));
    Ok(format!("{added}; {}{}", listed.when(now), warning.unwrap_or_default()))
}

fn list(plans: &[ListedPlan], now: Moment) -> String {
    let row = |listed: &ListedPlan| {
        let MaintenancePlan { id, target, weekly, clock, reason } = &listed.plan;
        let (kind, name) = target.words();
        [
            id.to_string(),
            format!("{kind} {name}"),
            listed.machines.to_string(),
            weekly.to_string(),
            clock.to_string(),
            listed.when(now),
            reason.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = plans.iter().map(row).collect();
    table(["ID", "FOR", "MACHINES", "WEEKLY", "TIME ZONE", "WHEN", "REASON"], &rows)
}

fn as_json(plans: &[ListedPlan]) -> Result<String, Refused> {
    let views: Vec<PlanView> = plans.iter().map(ListedPlan::view).collect();
    serde_json::to_string(&views).map_err(|error| Refused::because(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::command::parse::parse;

    const NOW: Moment = Moment(1_768_698_000_000);

    fn says(store: &tempfile::TempDir, arguments: &[&str]) -> Result<String, String> {
        let database = store.path().join("monitor.db");
        run(parse(arguments)?, &database.into(), NOW).map_err(|refused| refused.to_string())
    }

    #[test]
    fn a_plan_is_added_listed_and_removed() {
        let store = tempfile::tempdir().expect("a directory");
        let add = ["add", "--group", "barn", "--weekly", "sun", "02:00-04:00", "--time-zone", "+01:00"];
        assert_eq!(
            says(&store, &add).expect("added"),
            "maintenance 1: group barn, sun 02:00-04:00 +01:00; until 2026-01-18 04:00:00 +01:00\n\
             warning: no machine is in the group \"barn\" now; it is for those that come later"
        );
        let listed = says(&store, &["list"]).expect("listed");
        assert!(listed.contains("group barn") && listed.contains("sun 02:00-04:00"), "{listed}");
        let json = says(&store, &["list", "--json"]).expect("listed");
        assert!(json.contains(r#""group":"barn""#) && json.contains("2026-01-18T01:00:00Z"), "{json}");
        assert_eq!(says(&store, &["remove", "1"]).as_deref(), Ok("maintenance 1 removed"));
        assert!(says(&store, &["remove", "1"]).expect_err("gone").contains("no maintenance 1"));
    }

    #[test]
    fn bad_input_is_refused_in_a_sentence() {
        let store = tempfile::tempdir().expect("a directory");
        let tag = ["add", "--tag", "x", "--weekly"];
        for (arguments, problem) in [
            ([&tag[..], &["never", "02:00-04:00"]].concat(), "--weekly: \"never\" must be days"),
            ([&tag[..], &["sun", "2-4"]].concat(), "--weekly: \"2-4\" must be two times"),
            (
                [&tag[..], &["sun", "02:00-04:00", "--time-zone", "Mars/Base"]].concat(),
                "--time-zone: unknown time zone",
            ),
            (
                vec!["add", "--machine", "none", "--weekly", "sun", "02:00-04:00"],
                "there is no machine \"none\"",
            ),
        ] {
            let refused = says(&store, &arguments).expect_err(problem);
            assert!(refused.contains(problem), "{refused}");
        }
        says(&store, &["add", "--weekly", "sun", "02:00-04:00"]).expect_err("no target");
    }
}
