//! Reports: how the machines of a recipient were in the last week or month.
//!
//! | file | what it owns |
//! |---|---|
//! | `schedule` | when a report is due, and what it covers (pure) |
//! | `table` | who gets reports, and which was sent last |
//! | `facts` | what happened, from the database |
//! | `render` | a report as text and HTML (pure) |
//!
//! A report is written to the outbox in the transaction that notes its due time as done: a crash at any moment neither
//! loses nor repeats it.

mod facts;
mod render;
pub mod schedule;
pub mod table;
#[cfg(test)]
mod tests;

use super::instances::duty::Duty;
use super::notify::notice::{Notice, ReportText};
use super::notify::{NotifySettings, Poke};
use super::store::{Store, StoreError};
use crate::clock::Moment;
use crate::latest::Latest;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use render::FleetReport;
use schedule::ReportPeriod;
use std::time::Duration;
use table::{ReportPlan, ReportRecipient, ReportStep};

/// Time between two looks for reports that are due.
const EVERY: Duration = Duration::from_secs(60);

/// The thread `reports`: writes due reports to the outbox until `stop` is disconnected.
pub fn run(store: &Store, settings: &Latest<NotifySettings>, poke: &Poke, stop: &Receiver<()>) {
    let mut has_failed = false;
    loop {
        match take_turn(store, settings.get().site.as_deref(), Moment::now()) {
            Ok(0) => has_failed = false,
            Ok(_) => {
                has_failed = false;
                poke.poke();
            }
            Err(error) if has_failed => log::debug!("cannot write reports: {error}"),
            Err(error) => {
                has_failed = true;
                log::warn!("cannot write reports, will try again each minute: {error}");
            }
        }
        if stop.recv_timeout(EVERY) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

/// [`send_due`], unless another monitor of the database does.
fn take_turn(store: &Store, site: Option<&str>, now: Moment) -> Result<usize, StoreError> {
    if store.takes_on(Duty::Reports, now)? { send_due(store, site, now) } else { Ok(0) }
}

/// Writes the reports that are due to the outbox. Returns the number of messages.
pub fn send_due(store: &Store, site: Option<&str>, now: Moment) -> Result<usize, StoreError> {
    let mut messages = 0;
    for plan in store.report_plans()? {
        match plan.step(now) {
            None => {}
            Some(ReportStep::Restart(due)) => drop(store.queue_report(&plan, due, None, now)?),
            Some(ReportStep::Send(due)) => messages += send(store, site, &plan, due, now)?,
        }
    }
    Ok(messages)
}

fn send(
    store: &Store,
    site: Option<&str>,
    plan: &ReportPlan,
    due: Moment,
    now: Moment,
) -> Result<usize, StoreError> {
    let period = plan.every.period(&plan.recipient.clock(), due);
    let text = report(store, &plan.recipient, &period, site, now)?;
    let count = store.queue_report(plan, due, Some(&Notice::report(text, now)), now)?;
    let (name, period) = (&plan.recipient.name, &period.name);
    match count {
        0 => log::warn!("the report for {name} ({period}) is not sent: no enabled channel that people read"),
        count => log::info!(
            "report for {name} ({period}): written for {count} channel{}",
            if count == 1 { "" } else { "s" }
        ),
    }
    Ok(count)
}

/// The report for a recipient about a period.
pub fn report(
    store: &Store,
    recipient: &ReportRecipient,
    period: &ReportPeriod,
    site: Option<&str>,
    now: Moment,
) -> Result<ReportText, StoreError> {
    let facts = facts::facts(store, recipient, period, now)?;
    Ok(FleetReport::new(period, &facts).text(site))
}
