//! `heartbeat-monitor recipient ...`

use super::audited::AuditedChange;
use crate::clock::Moment;
use crate::config::Period;
use crate::monitor::notify::choices::Selection;
use crate::monitor::notify::quiet_hours::QuietTimes;
use crate::monitor::notify::recipients::{
    Escalation, Preferences, StoredRecipient, check_escalate_after, check_min_outage, check_remind_every,
};
use crate::monitor::notify::topic::Topic;
use crate::monitor::reports::schedule::ReportInterval;
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use crate::monitor::zone::{self, Clock, ZONES, Zone};
use crate::table::table;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

mod listed;

use listed::{names, off, written};

#[derive(Debug, Subcommand)]
pub enum RecipientCommand {
    /// Add a person or team; by default they are notified about every machine
    Add {
        /// Name of the person or team
        name: String,
        #[command(flatten)]
        wants: Wants,
    },
    /// Change a recipient's preferences; options that are not given stay unchanged
    Set {
        /// Name, as listed
        name: String,
        #[command(flatten)]
        wants: Wants,
    },
    /// List all recipients
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Stop notifying a recipient; pending notifications are dropped
    Disable {
        /// Name, as listed
        name: String,
    },
    /// Notify a disabled recipient again
    Enable {
        /// Name, as listed
        name: String,
    },
    /// Delete a recipient with their channels
    Remove {
        /// Name, as listed
        name: String,
    },
}

#[derive(Debug, Default, Args)]
pub struct Wants {
    /// Only this machine (name or id); repeat for several. With --group or --tag, any match is enough
    #[arg(long, value_name = "NAME")]
    machine: Vec<String>,
    /// Only machines of this group
    #[arg(long)]
    group: Vec<String>,
    /// Only machines with this tag
    #[arg(long)]
    tag: Vec<String>,
    /// Every machine (clears --machine, --group and --tag)
    #[arg(long, conflicts_with_all = ["machine", "group", "tag"])]
    all_machines: bool,
    /// What to notify about, separated by commas; default: all but stopped
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = topic())]
    events: Option<Vec<Topic>>,
    /// Quiet hours without notifications, such as 22:00-07:00; an outage that ends during them is never reported
    #[arg(long, value_name = "FROM-TO")]
    quiet: Option<QuietTimes>,
    /// Offset from UTC for quiet hours and times in messages, such as +02:00, all year round
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    utc_offset: Option<Offset>,
    /// Time zone for quiet hours and times in messages, such as Europe/Berlin; default: that of this server
    #[arg(long, value_name = "NAME", value_parser = named_zone, conflicts_with = "utc_offset")]
    time_zone: Option<Zone>,
    /// Remove the quiet hours
    #[arg(long, conflicts_with_all = ["quiet", "utc_offset", "time_zone"])]
    never_quiet: bool,
    /// Only outages of at least this length, such as "10m", counted from the last heartbeat
    #[arg(long, value_name = "TIME")]
    min_outage: Option<Period>,
    /// Remind of open incidents this often, such as "1h", until somebody acknowledges them
    #[arg(long, value_name = "TIME")]
    remind: Option<Period>,
    /// Notify this recipient, too, of incidents that nobody acknowledges within --after
    #[arg(long, value_name = "RECIPIENT")]
    escalate: Option<String>,
    /// Time from the begin of an incident until it is escalated, such as "30m"
    #[arg(long, value_name = "TIME", requires = "escalate")]
    after: Option<Period>,
    /// Escalate nothing
    #[arg(long, conflicts_with_all = ["escalate", "after"])]
    never_escalate: bool,
    /// Send no reminders
    #[arg(long, conflicts_with = "remind")]
    never_remind: bool,
    /// A report about the machines, at 08:00 in the recipient's time zone: on Monday, or on the first day of the month
    #[arg(long, value_name = "INTERVAL")]
    report: Option<ReportInterval>,
    /// Send no reports
    #[arg(long, conflicts_with = "report")]
    never_report: bool,
}

fn topic() -> impl TypedValueParser<Value = Topic> {
    let values = Topic::ALL.map(|topic| PossibleValue::new(topic.name()).help(topic.meaning()));
    PossibleValuesParser::new(values).try_map(|name| Topic::from_name(&name).ok_or("not an event"))
}

fn named_zone(name: &str) -> Result<Zone, String> {
    Zone::read(Path::new(ZONES), name)
}

/// `--escalate` without `--after`.
const ESCALATE_AFTER: Duration = Duration::from_secs(30 * 60);

/// Minutes east of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offset(i16);

impl FromStr for Offset {
    type Err = String;

    fn from_str(text: &str) -> Result<Offset, String> {
        zone::offset(text).map(Offset)
    }
}

impl Wants {
    fn is_nothing(&self) -> bool {
        let clock = self.quiet.is_some() || self.utc_offset.is_some() || self.time_zone.is_some();
        let escalation = self.escalate.is_some() || self.after.is_some() || self.never_escalate;
        let rest = self.events.is_some() || self.min_outage.is_some() || self.remind.is_some();
        let rest = rest || self.report.is_some() || self.never_report;
        !(self.selection().is_some() || clock || rest || self.never_quiet || self.never_remind || escalation)
    }

    /// Writes the choice of reports, if there is one.
    fn apply_report(&self, store: &Store, name: &str, now: Moment) -> Result<(), Refused> {
        if self.report.is_none() && !self.never_report {
            return Ok(());
        }
        store.set_report(name, self.report, now)
    }

    /// The chosen machines; `None` if the command does not name any.
    fn selection(&self) -> Option<Selection> {
        let (machines, groups, tags) = (self.machine.clone(), self.group.clone(), self.tag.clone());
        match (self.all_machines, machines.is_empty() && groups.is_empty() && tags.is_empty()) {
            (true, _) => Some(Selection::All),
            (false, false) => Some(Selection::Only { machines, groups, tags }),
            (false, true) => None,
        }
    }

    fn check(&self) -> Result<(), String> {
        let min_outage = self.min_outage.map_or(Ok(()), |Period(length)| check_min_outage(length));
        min_outage.map_err(|problem| format!("--min-outage: {problem}"))?;
        let remind = self.remind.map_or(Ok(()), |Period(every)| check_remind_every(every));
        remind.map_err(|problem| format!("--remind: {problem}"))?;
        let after = self.after.map_or(Ok(()), |Period(after)| check_escalate_after(after));
        after.map_err(|problem| format!("--after: {problem}"))
    }

    /// Changes the preferences; returns true if the quiet hours use `server`, because no clock was chosen.
    fn apply(&self, to: &mut Preferences, server: &Clock) -> bool {
        if let Some(events) = &self.events {
            to.events = Topic::ALL.into_iter().filter(|choice| events.contains(choice)).collect();
        }
        let offset = self.utc_offset.map(|Offset(minutes)| Clock::Fixed(minutes));
        let chosen = self.time_zone.clone().map(Clock::Zone).or(offset);
        let clock = chosen.or_else(|| to.clock.take());
        to.clock.clone_from(&clock);
        let needs_server = self.quiet.is_some() && clock.is_none();
        if let Some(times) = self.quiet {
            to.quiet = Some(times.on(clock.unwrap_or_else(|| server.clone())));
        } else if let (Some(quiet), Some(clock)) = (&mut to.quiet, clock) {
            quiet.clock = clock;
        }
        if self.never_quiet {
            to.quiet = None;
        }
        if let Some(Period(min_outage)) = self.min_outage {
            to.min_outage = min_outage;
        }
        if let Some(Period(every)) = self.remind {
            to.remind_every = Some(every);
        }
        if self.never_remind {
            to.remind_every = None;
        }
        to.escalation = self.escalation(to.escalation.take());
        needs_server
    }
}

impl Wants {
    /// Options that are not given stay as in `before`.
    fn escalation(&self, before: Option<Escalation>) -> Option<Escalation> {
        if self.never_escalate {
            return None;
        }
        let after = self.after.map(|Period(after)| after);
        let (to_before, after_before) = before.map(|known| (known.to, known.after)).unzip();
        let to = self.escalate.clone().or(to_before)?;
        Some(Escalation { to, after: after.or(after_before).unwrap_or(ESCALATE_AFTER) })
    }
}

/// Adds to the output which clock quiet hours follow, if the command did not name one.
fn with_clock(said: String, server: &Clock, used: bool) -> String {
    let why = match (used, server) {
        (false, _) => return said,
        (true, Clock::Zone(zone)) => format!("in the time zone of this server, {}", zone.name()),
        (true, Clock::Fixed(_)) => "in UTC, because the time zone of this server is unknown".into(),
    };
    format!("{said}; the quiet hours are {why} (change it with --time-zone)")
}

impl RecipientCommand {
    /// `None`: it changes nothing.
    pub fn audited(&self) -> Option<AuditedChange> {
        Some(match self {
            RecipientCommand::Add { name, .. } => AuditedChange::of("recipient.add", name),
            RecipientCommand::Set { name, .. } => AuditedChange::of("recipient.set", name),
            RecipientCommand::List { .. } => return None,
            RecipientCommand::Disable { name } => AuditedChange::of("recipient.disable", name),
            RecipientCommand::Enable { name } => AuditedChange::of("recipient.enable", name),
            RecipientCommand::Remove { name } => AuditedChange::of("recipient.remove", name),
        })
    }
}

/// Returns the output.
pub fn run(command: RecipientCommand, database: &DatabaseLocation, now: Moment) -> Result<String, Refused> {
    let store = Store::open_beside(database, now)?;
    match command {
        RecipientCommand::Add { name, wants } => {
            wants.check()?;
            let mut preferences = Preferences::default();
            let server = Clock::of_server();
            let used = wants.apply(&mut preferences, &server);
            store.add_recipient(&name, &wants.selection().unwrap_or(Selection::All), &preferences, now)?;
            wants.apply_report(&store, &name, now)?;
            let said = format!(
                "{name} added; add a channel with heartbeat-monitor channel add --recipient \"{name}\""
            );
            Ok(with_clock(said, &server, used))
        }
        RecipientCommand::Set { name, wants } => {
            if wants.is_nothing() {
                let sentence = "nothing to change; see heartbeat-monitor recipient set --help";
                return Err(Refused::because(sentence));
            }
            wants.check()?;
            let (server, mut used) = (Clock::of_server(), false);
            let change = |preferences: &mut Preferences| used = wants.apply(preferences, &server);
            store.change_recipient(&name, wants.selection().as_ref(), now, change)?;
            wants.apply_report(&store, &name, now)?;
            Ok(with_clock(format!("{name} changed"), &server, used))
        }
        RecipientCommand::List { json: true } => {
            let reports = store.report_intervals()?;
            let listed =
                |known: &StoredRecipient| listed::recipient(known, reports.get(&known.name).copied());
            Ok(Value::Array(store.recipients()?.iter().map(listed).collect()).to_string())
        }
        RecipientCommand::List { json: false } => list(&store),
        RecipientCommand::Disable { name } => {
            store.enable_recipient(&name, false)?;
            Ok(format!("{name} disabled"))
        }
        RecipientCommand::Enable { name } => {
            store.enable_recipient(&name, true)?;
            Ok(format!("{name} enabled"))
        }
        RecipientCommand::Remove { name } => {
            store.remove_recipient(&name)?;
            Ok(format!("{name} removed"))
        }
    }
}

fn list(store: &Store) -> Result<String, Refused> {
    let recipients = store.recipients()?;
    if recipients.is_empty() {
        return Ok(
            "no recipients; heartbeat-monitor channel add creates one that is notified about everything"
                .into(),
        );
    }
    let reports = store.report_intervals()?;
    let row = |known: &StoredRecipient| {
        let wants = &known.preferences;
        [
            known.name.clone(),
            if known.enabled { "enabled" } else { "disabled" }.to_owned(),
            known.channels.to_string(),
            known.chosen.to_string(),
            events(wants),
            wants.quiet.as_ref().map_or_else(|| "-".into(), written),
            if wants.min_outage.is_zero() { "-".into() } else { Period(wants.min_outage).to_string() },
            wants.remind_every.map_or_else(|| "-".into(), |every| Period(every).to_string()),
            wants.escalation.as_ref().map_or_else(
                || "-".into(),
                |escalation| format!("{} after {}", escalation.to, Period(escalation.after)),
            ),
            reports.get(&known.name).map_or("-", |every| every.name()).to_owned(),
        ]
    };
    let rows: Vec<_> = recipients.iter().map(row).collect();
    let columns = [
        "NAME",
        "STATE",
        "CHANNELS",
        "MACHINES",
        "EVENTS",
        "QUIET",
        "MIN OUTAGE",
        "REMIND",
        "ESCALATE",
        "REPORT",
    ];
    let listed = with_warnings(table(columns, &rows), &recipients);
    let warnings = recipients.iter().filter_map(|known| dead_end(known, &recipients));
    Ok(std::iter::once(listed).chain(warnings).collect::<Vec<_>>().join("\n"))
}

/// A warning if a recipient escalates to one that is not notified.
fn dead_end(known: &StoredRecipient, all: &[StoredRecipient]) -> Option<String> {
    let to = &known.preferences.escalation.as_ref()?.to;
    let other = all.iter().find(|other| other.name == *to)?;
    let why = match (other.enabled, other.channels) {
        (false, _) => "is disabled",
        (true, 0) => "has no channel",
        (true, _) => return None,
    };
    Some(format!("warning: {} escalates to {to}, who {why}: nothing is sent", known.name))
}

/// Appends a warning for each recipient whose choice names something that does not exist.
pub(super) fn with_warnings<'k>(
    table: String,
    recipients: impl IntoIterator<Item = &'k StoredRecipient>,
) -> String {
    let warnings = recipients.into_iter().filter_map(|known| {
        let warning = known.chosen.warning()?;
        Some(format!(
            "warning: {}: {warning} (change it with heartbeat-monitor recipient set \"{}\")",
            known.name, known.name
        ))
    });
    std::iter::once(table).chain(warnings).collect::<Vec<_>>().join("\n")
}

/// What is on and what is off: `all but stopped`, or `offline,online (off: stopped,...)`.
fn events(wants: &Preferences) -> String {
    let (on, off) = (names(&wants.events), names(&off(wants)));
    if off.is_empty() {
        "all".into()
    } else if on.len() > off.len() {
        format!("all but {}", off.join(","))
    } else {
        format!("{} (off: {})", on.join(","), off.join(","))
    }
}

#[cfg(test)]
mod tests;
