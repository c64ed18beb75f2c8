//! Reports by the real programs: as a mail, printed, on the page, and once whatever is killed.

// mail.rs uses it.
use crate::support::SOON;
use crate::support::eventually;
use crate::support::monitor::Plan;
use crate::support::server::{Reply, Server};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail::{Mail, MailServer, Manner};
use rusqlite::Connection;
use serde_json::json;
use std::time::Duration;

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/mail.rs"]
mod mail;

/// As if the last report were of the week before: the next one is due.
fn make_due(plan: &Plan) {
    let connection = Connection::open(plan.database()).expect("the database");
    connection.busy_timeout(Duration::from_secs(20)).expect("a timeout");
    let sql = "UPDATE recipient_report SET sent_for = sent_for - 7 * 86400000";
    assert_eq!(connection.execute(sql, []).expect("written"), 1);
}

/// The text of a part of a mail.
fn part(mail: &Mail, kind: &str) -> String {
    let begin =
        format!("Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    let (_, rest) = mail.text.split_once(&begin).unwrap_or_else(|| panic!("no {kind}: {}", mail.text));
    let body: String = rest.lines().take_while(|line| !line.starts_with("--")).collect();
    String::from_utf8(STANDARD.decode(body).expect("base64")).expect("UTF-8")
}

#[test]
fn a_weekly_report_is_one_mail_with_text_and_html() {
    let server = MailServer::start(Manner::default());
    let plan = Plan::new().key("smtp.host", "127.0.0.1").toml("smtp.port", &server.port.to_string());
    let plan = plan.key("smtp.security", "none").key("smtp.from", "monitor@example.org");
    let plan = plan.key("web.public_url", "https://heart.example/");
    plan.says(&["machine", "add", "barn-<cam>"]);
    plan.says(&["recipient", "add", "farm", "--time-zone", "Europe/Berlin", "--report", "weekly"]);
    plan.says(&["channel", "add", "email", "farm@example.org", "--recipient", "farm"]);
    assert!(plan.says(&["recipient", "list"]).contains("weekly"));
    make_due(&plan);
    let monitor = plan.start();
    let mail = server.mail();
    assert_eq!(mail.to, "<farm@example.org>");
    let kind = mail.header("Content-Type").expect("a kind");
    assert_eq!(kind, "multipart/alternative; boundary=\"=_heartbeat\"");
    assert!(mail.text.ends_with("--=_heartbeat--\r\n"), "{}", mail.text);
    let (text, html) = (part(&mail, "plain"), part(&mail, "html"));
    assert!(text.contains("The machine was fine") && text.ends_with("https://heart.example/"), "{text}");
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("The machine was fine"), "{html}");
    monitor.wait_for_line("of the report", |line| {
        line.contains("report for farm (") && line.ends_with(": written for 1 channel")
    });
    let reader = monitor.reader();
    eventually("it is listed as delivered", || {
        let listed = monitor.get_as(&reader, "/api/v1/deliveries?state=delivered").json();
        let Some(item) = listed["items"].get(0) else { return false };
        assert_eq!((&item["event"], &item["recipient"]), (&json!("report"), &json!("farm")));
        let nothing = json!(null);
        for key in ["machine_id", "machine", "outage_id", "reminder", "unacknowledged_by"] {
            assert_eq!(item[key], nothing, "{key}: {item}");
        }
        true
    });
    // Another start sends nothing.
    let plan = monitor.kill();
    let monitor = plan.start();
    std::thread::sleep(Duration::from_secs(2));
    assert!(!server.has_mail(), "once");
    assert!(monitor.log_lines("report for farm").is_empty());
    let printed = monitor.plan().says(&["report", "farm", "--days", "30"]);
    assert!(printed.contains("The machine was fine"), "{printed}");
    monitor.plan().says(&["recipient", "set", "farm", "--never-report"]);
    assert!(!monitor.plan().says(&["recipient", "list"]).contains("weekly"));
}

#[test]
fn a_monitor_that_is_killed_while_it_sends_a_report_sends_the_same_one_again() {
    let receiver = Server::always(Reply::Hang);
    let plan = Plan::new();
    plan.says(&["recipient", "add", "farm", "--report", "monthly"]);
    plan.says(&["channel", "add", "ntfy", &receiver.url("/topic"), "--recipient", "farm"]);
    let connection = Connection::open(plan.database()).expect("the database");
    connection.execute("UPDATE recipient_report SET sent_for = 0", []).expect("written");
    drop(connection);
    let monitor = plan.start();
    let first = receiver.request();
    let plan = monitor.kill();
    receiver.become_one_that(|_| Reply::ok());
    let monitor = plan.start();
    let again = receiver.request();
    assert_eq!((again.target.as_str(), &again.body), ("/topic", &first.body));
    assert!(String::from_utf8_lossy(&again.body).contains("No machine is chosen"));
    assert!(receiver.requests_during(Duration::from_secs(2)).is_empty(), "once");
    drop(monitor);
}
