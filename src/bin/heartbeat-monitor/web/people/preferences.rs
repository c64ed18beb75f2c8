//! The form of what a recipient is notified about, and when.

use crate::web::form::Form;
use heartbeat_daemon::config::Period;
use heartbeat_daemon::monitor::notify::choices::Selection;
use heartbeat_daemon::monitor::notify::quiet_hours::QuietTimes;
use heartbeat_daemon::monitor::notify::recipients::{
    Escalation, Preferences, StoredRecipient, check_escalate_after, check_min_outage, check_remind_every,
};
use heartbeat_daemon::monitor::notify::topic::Topic;
use heartbeat_daemon::monitor::reports::schedule::ReportInterval;
use heartbeat_daemon::monitor::store::Refused;
use heartbeat_daemon::monitor::zone::Clock;
use std::time::Duration;

/// The fields as they are shown.
pub struct PreferencesForm {
    /// It was refused: what was entered is shown again.
    pub is_open: bool,
    /// All topics, and whether each is chosen.
    pub topics: Vec<(&'static str, bool)>,
    pub has_all_machines: bool,
    /// Names, separated by commas.
    pub machines: String,
    pub groups: String,
    pub tags: String,
    /// `22:00`; empty without quiet hours.
    pub quiet_from: String,
    pub quiet_to: String,
    pub time_zone: String,
    pub min_outage: String,
    /// Empty without reminders.
    pub remind: String,
    /// The other recipient; empty without escalation.
    pub escalate: String,
    pub after: String,
    /// `weekly`, `monthly`; empty without reports.
    pub report: String,
}

impl PreferencesForm {
    pub fn of(recipient: &StoredRecipient, report: Option<ReportInterval>) -> PreferencesForm {
        let (wants, chosen) = (&recipient.preferences, &recipient.chosen);
        let times = wants.quiet.as_ref().map(|quiet| quiet.times().to_string()).unwrap_or_default();
        let (from, to) = times.split_once('-').unwrap_or_default();
        let machines: Vec<&str> = chosen.machines.iter().map(|(_, name)| name.as_str()).collect();
        let min_outage = Some(wants.min_outage).filter(|length| !length.is_zero());
        PreferencesForm {
            is_open: false,
            topics: Topic::ALL.map(|topic| (topic.name(), wants.events.contains(&topic))).to_vec(),
            has_all_machines: chosen.all,
            machines: machines.join(", "),
            groups: chosen.groups.join(", "),
            tags: chosen.tags.join(", "),
            quiet_from: from.to_owned(),
            quiet_to: to.to_owned(),
            time_zone: wants.clock.as_ref().map(Clock::to_string).unwrap_or_default(),
            min_outage: min_outage.map(|length| Period(length).to_string()).unwrap_or_default(),
            report: report.map_or("", ReportInterval::name).to_owned(),
            remind: wants.remind_every.map(|every| Period(every).to_string()).unwrap_or_default(),
            escalate: wants.escalation.as_ref().map(|known| known.to.clone()).unwrap_or_default(),
            after: wants.escalation.as_ref().map(|known| Period(known.after).to_string()).unwrap_or_default(),
        }
    }

    /// What a person entered, right or wrong.
    pub fn entered(form: &Form) -> PreferencesForm {
        let text = |name: &str| form.text(name).to_owned();
        let is_chosen = |topic: Topic| form.all("topic").any(|name| name == topic.name());
        PreferencesForm {
            is_open: true,
            topics: Topic::ALL.map(|topic| (topic.name(), is_chosen(topic))).to_vec(),
            has_all_machines: form.text("which") == "all",
            machines: text("machines"),
            groups: text("groups"),
            tags: text("tags"),
            quiet_from: text("quiet_from"),
            quiet_to: text("quiet_to"),
            time_zone: text("time_zone"),
            min_outage: text("min_outage"),
            remind: text("remind"),
            escalate: text("escalate"),
            after: text("after"),
            report: text("report"),
        }
    }
}

/// The machines and preferences that a form chooses.
///
/// # Errors
/// The sentence for the person who filled it in.
pub fn read(form: &Form) -> Result<(Selection, Preferences), Refused> {
    let clock = form.filled("time_zone").map(|zone| {
        zone.parse::<Clock>().map_err(|problem| Refused::because(format!("time zone: {problem}")))
    });
    let clock = clock.transpose()?;
    let times = quiet_times(form)?;
    let quiet = times.map(|times| times.on(clock.clone().unwrap_or_else(Clock::of_server)));
    let events = form.all("topic").filter_map(Topic::from_name).collect();
    let min_outage = period(form, "min_outage", "shortest outage", check_min_outage)?.unwrap_or_default();
    let escalation = escalation(form)?;
    let remind_every = period(form, "remind", "reminders", check_remind_every)?;
    Ok((selection(form)?, Preferences { events, clock, quiet, min_outage, remind_every, escalation }))
}

/// How often a form wants reports.
///
/// # Errors
/// The sentence for the person who filled it in.
pub fn report(form: &Form) -> Result<Option<ReportInterval>, Refused> {
    let Some(text) = form.filled("report") else { return Ok(None) };
    let every = ReportInterval::from_name(text);
    every.map(Some).ok_or_else(|| Refused::because("reports are weekly or monthly"))
}

fn selection(form: &Form) -> Result<Selection, Refused> {
    if form.text("which") == "all" {
        return Ok(Selection::All);
    }
    let (machines, groups, tags) = (form.names("machines"), form.names("groups"), form.names("tags"));
    if machines.is_empty() && groups.is_empty() && tags.is_empty() {
        return Err(Refused::because("name at least one machine, group or tag, or choose all machines"));
    }
    Ok(Selection::Only { machines, groups, tags })
}

fn quiet_times(form: &Form) -> Result<Option<QuietTimes>, Refused> {
    match (form.filled("quiet_from"), form.filled("quiet_to")) {
        (None, None) => Ok(None),
        (Some(from), Some(to)) => {
            let times = format!("{from}-{to}").parse();
            times.map(Some).map_err(|problem| Refused::because(format!("quiet hours: {problem}")))
        }
        _ => Err(Refused::because("quiet hours have a begin and an end")),
    }
}

fn escalation(form: &Form) -> Result<Option<Escalation>, Refused> {
    let after = period(form, "after", "escalate after", check_escalate_after)?;
    match (form.filled("escalate"), after) {
        (Some(to), Some(after)) => Ok(Some(Escalation { to: to.to_owned(), after })),
        (Some(_), None) => Err(Refused::because("an escalation needs a time, such as 30m")),
        (None, _) => Ok(None),
    }
}

/// The duration in a field; `None`: it is empty.
fn period(
    form: &Form,
    field: &str,
    label: &str,
    check: impl Fn(Duration) -> Result<(), String>,
) -> Result<Option<Duration>, Refused> {
    let Some(text) = form.filled(field) else { return Ok(None) };
    let length = text.parse::<Period>().and_then(|Period(length)| check(length).map(|()| length));
    length.map(Some).map_err(|problem| Refused::because(format!("{label}: {problem}")))
}
