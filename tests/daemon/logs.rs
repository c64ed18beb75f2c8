//! Lines for a terminal's user, for a file, and for the journal.

use crate::support::SOON;
use crate::support::daemon::{Daemon, Setup};
use crate::support::server::{Reply, Server};
use rustix::process::Signal;

fn after_a_failure(start: impl FnOnce(Setup) -> Daemon) -> Vec<String> {
    let server = Server::always(Reply::status(401));
    let mut daemon = start(Setup::new().to(&server.url("/")).key("log.level", "debug"));
    daemon.wait_for_line("about the refusal", |line| line.contains("status 401"));
    daemon.signal(Signal::TERM);
    assert!(daemon.wait_for_end(SOON).0.success());
    daemon.log()
}

#[test]
fn under_the_journal_each_line_carries_its_priority_and_no_time() {
    let lines = after_a_failure(Setup::start_under_journal);
    assert!(lines.len() >= 2, "{lines:?}");
    for line in &lines {
        let text = ["<3>", "<4>", "<6>", "<7>"].iter().find_map(|prefix| line.strip_prefix(prefix));
        let text = text.unwrap_or_else(|| panic!("no priority: {line}"));
        assert!(!begins_with_a_time(text) && !text.contains("ERROR") && !text.contains('\x1b'), "{line}");
    }
    assert!(lines.iter().any(|line| line.starts_with("<3>") && line.contains("status 401")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("<6>")), "{lines:?}");
}

#[test]
fn elsewhere_each_line_carries_its_time_and_level() {
    let lines = after_a_failure(Setup::start);
    assert!(lines.len() >= 2, "{lines:?}");
    for line in &lines {
        assert!(begins_with_a_time(line), "{line}");
        let level = line.split_whitespace().nth(1).unwrap_or_default().trim_matches(['[', ']']);
        assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&level), "{line}");
        assert!(!line.contains('\x1b'), "no colours in a file: {line}");
    }
}

#[test]
fn another_programs_journal_is_not_used() {
    // Inherited, but standard error was redirected since.
    let lines = after_a_failure(|setup| setup.env("JOURNAL_STREAM", "9:12345").start());
    assert!(lines.iter().all(|line| begins_with_a_time(line)), "{lines:?}");
}

/// RFC 3339 in UTC: `2026-01-21T14:30:00Z`, with or without a fraction.
fn begins_with_a_time(line: &str) -> bool {
    let shape: String = line.chars().take(19).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let zone =
        line.split_whitespace().next().is_some_and(|time| time.ends_with('Z') || time.ends_with("+00:00"));
    shape == "0000-00-00T00:00:00" && zone
}
