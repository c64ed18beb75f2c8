//! The table `recipient_report`: who gets a report, and for which due time it was written to the outbox last.

use super::schedule::{ReportInterval, SHORTEST_DISTANCE};
use crate::clock::Moment;
use crate::monitor::notify::channel::ChannelKind;
use crate::monitor::notify::choices::{self, MachineChoice};
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::notify::notice::{EventKind, Notice};
use crate::monitor::notify::outbox::EXPIRES_AFTER;
use crate::monitor::notify::recipients::{Preferences, recipient_called, unknown};
use crate::monitor::store::sql::{Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};
use crate::monitor::zone::Clock;
use std::collections::HashMap;
use std::time::Duration;

/// A due time this far in the future was written by a wrong clock.
const FUTURE: Duration = Duration::from_secs(86_400);

/// A recipient as far as a report depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRecipient {
    pub id: i64,
    pub name: String,
    pub machines: MachineChoice,
    pub preferences: Preferences,
}

impl ReportRecipient {
    /// The recipient's clock; this server's if none was chosen.
    pub fn clock(&self) -> Clock {
        self.preferences.clock.clone().unwrap_or_else(Clock::of_server)
    }
}

/// A report that is to be sent regularly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPlan {
    pub recipient: ReportRecipient,
    pub every: ReportInterval,
    /// The due time of the report that was sent last.
    pub sent_for: Moment,
}

/// What is to be done about a plan now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportStep {
    /// Send the report that was due at this time.
    Send(Moment),
    /// The clock was wrong: continue from this time, and send nothing.
    Restart(Moment),
}

impl ReportPlan {
    /// `None`: nothing is due.
    pub fn step(&self, now: Moment) -> Option<ReportStep> {
        let due = self.every.last_due(&self.recipient.clock(), now);
        if self.sent_for > now.plus(FUTURE) {
            return Some(ReportStep::Restart(due));
        }
        (due.since(self.sent_for) >= SHORTEST_DISTANCE).then_some(ReportStep::Send(due))
    }
}

impl Store {
    /// Sends reports to a recipient from the next due time on; `None`: none.
    pub fn set_report(&self, name: &str, every: Option<ReportInterval>, now: Moment) -> Result<(), Refused> {
        let recipients = self.report_recipients()?;
        let known = recipients.iter().find(|known| known.name == name).ok_or_else(|| unknown(name))?;
        let sent_for = every.map(|every| every.last_due(&known.clock(), now));
        self.transact(|tx| {
            let id = recipient_called(tx, name)?.ok_or_else(|| unknown(name))?;
            let Some((every, sent_for)) = every.zip(sent_for) else {
                tx.execute("DELETE FROM recipient_report WHERE recipient_id = ?1", params![id])?;
                return Ok(());
            };
            // Who chooses the same again misses no report.
            tx.execute(
                "INSERT INTO recipient_report (recipient_id, every, sent_for) VALUES (?1, ?2, ?3)
                 ON CONFLICT (recipient_id) DO UPDATE SET every = excluded.every, sent_for = excluded.sent_for
                 WHERE recipient_report.every <> excluded.every",
                params![id, every.name(), sent_for.0],
            )?;
            Ok(())
        })
    }

    /// Which recipients get reports, by name.
    pub fn report_intervals(&self) -> Result<HashMap<String, ReportInterval>, StoreError> {
        let plans = self.report_plans()?.into_iter();
        Ok(plans.map(|plan| (plan.recipient.name, plan.every)).collect())
    }

    pub fn report_plans(&self) -> Result<Vec<ReportPlan>, StoreError> {
        let mut stored: HashMap<i64, (String, Moment)> = HashMap::new();
        self.read(|connection| {
            connection.query_each("SELECT recipient_id, every, sent_for FROM recipient_report", &[], |row| {
                stored.insert(row.get(0)?, (row.get(1)?, row.get(2)?));
                Ok(())
            })
        })?;
        if stored.is_empty() {
            return Ok(Vec::new());
        }
        let recipients = self.report_recipients()?.into_iter();
        let plan = |recipient: ReportRecipient| {
            let (every, sent_for) = stored.get(&recipient.id)?;
            let every = ReportInterval::from_name(every)?;
            Some(ReportPlan { recipient, every, sent_for: *sent_for })
        };
        Ok(recipients.filter_map(plan).collect())
    }

    /// All recipients.
    pub fn report_recipients(&self) -> Result<Vec<ReportRecipient>, StoreError> {
        let mut preferences: HashMap<String, Preferences> =
            self.recipients()?.into_iter().map(|known| (known.name, known.preferences)).collect();
        self.read(|connection| {
            let mut recipients = Vec::new();
            connection.query_each(
                "SELECT id, name, all_machines FROM recipient ORDER BY id",
                &[],
                |row| {
                    let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
                    let machines = choices::choice(connection, id, row.get(2)?)?;
                    // Removed or renamed between the two statements.
                    let Some(preferences) = preferences.remove(&name) else { return Ok(()) };
                    recipients.push(ReportRecipient { id, name, machines, preferences });
                    Ok(())
                },
            )?;
            Ok(recipients)
        })
    }

    /// Notes that the report of `due` is done, and writes it to the outbox in the same transaction, for each enabled channel
    /// that people read. `None`: there is nothing to send. Returns the number of messages; 0 also if another process was
    /// faster.
    pub fn queue_report(
        &self,
        plan: &ReportPlan,
        due: Moment,
        notice: Option<&Notice>,
        now: Moment,
    ) -> Result<usize, StoreError> {
        let content = notice.map(serde_json::to_string).transpose();
        let content =
            content.map_err(|error| StoreError::Other(format!("cannot encode a report: {error}")))?;
        self.write(|tx| {
            let is_ours = tx.execute(
                "UPDATE recipient_report SET sent_for = ?2 WHERE recipient_id = ?1 AND sent_for = ?3",
                params![plan.recipient.id, due.0, plan.sent_for.0],
            )? == 1;
            match content {
                Some(content) if is_ours => insert(tx, plan, &content, now),
                _ => Ok(0),
            }
        })
    }
}

fn insert(tx: &Transaction<'_>, plan: &ReportPlan, content: &str, now: Moment) -> Result<usize, StoreError> {
    let quiet = plan.recipient.preferences.quiet.as_ref();
    let due = quiet.map_or(now, |quiet| quiet.end_if_quiet(now));
    let channels: Vec<(i64, String)> = tx.query_all(
        "SELECT c.id, c.kind FROM channel c JOIN recipient r ON r.id = c.recipient_id
         WHERE r.id = ?1 AND r.enabled AND c.enabled ORDER BY c.id",
        params![plan.recipient.id],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let is_read = |kind: &str| ChannelKind::from_name(kind).is_some_and(ChannelKind::is_for_people);
    let mut insert = tx.prepare(
        "INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at, state)
         VALUES (?1, NULL, NULL, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut count = 0;
    for (channel, _) in channels.iter().filter(|(_, kind)| is_read(kind)) {
        let (event, state) = (EventKind::Report.name(), DeliveryState::Waiting as i64);
        insert.execute(params![channel, event, content, now.0, due.0, due.plus(EXPIRES_AFTER).0, state])?;
        count += 1;
    }
    Ok(count)
}
