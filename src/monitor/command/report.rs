//! `heartbeat-monitor report`: prints the report of a recipient about the latest days.

use crate::clock::Moment;
use crate::monitor::notify::recipients::unknown;
use crate::monitor::reports::{report, schedule};
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use clap::Args;

#[derive(Debug, Args)]
pub struct ReportCommand {
    /// Whose report: only machines and topics that this recipient has chosen
    recipient: String,
    /// The last days, today included
    #[arg(long, default_value = "7", value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// As HTML, as a mail has it
    #[arg(long)]
    html: bool,
}

/// Returns the report; sends nothing. `site` is where its links lead.
pub fn run(
    command: &ReportCommand,
    database: &DatabaseLocation,
    site: Option<&str>,
    now: Moment,
) -> Result<String, Refused> {
    let store = Store::open_existing(database, now)?;
    let recipients = store.report_recipients()?;
    let recipient = recipients.iter().find(|known| known.name == command.recipient);
    let recipient = recipient.ok_or_else(|| unknown(&command.recipient))?;
    let period = schedule::latest(&recipient.clock(), command.days.into(), now);
    let text = report(&store, recipient, &period, site, now)?;
    Ok(if command.html { text.html } else { text.text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::notify::choices::Selection;
    use crate::monitor::notify::recipients::Preferences;

    #[test]
    fn a_report_is_printed_as_text_or_html_and_an_unknown_recipient_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("monitor.db").into();
        let now = Moment(1_769_005_800_000);
        let store = Store::open_beside(&path, now).expect("a database");
        store.add_recipient("farm", &Selection::All, &Preferences::default(), now).expect("added");
        drop(store);
        let print = |recipient: &str, html| {
            let command = ReportCommand { recipient: recipient.into(), days: 7, html };
            run(&command, &path, None, now)
        };
        assert_eq!(
            print("farm", false).expect("a report"),
            "2026-01-15 to 2026-01-21\nNo machine is chosen\n"
        );
        assert!(print("farm", true).expect("a report").starts_with("<!DOCTYPE html>"));
        assert!(print("barn", false).expect_err("unknown").to_string().contains("no recipient \"barn\""));
    }
}
