//! Incidents that are acknowledged from their messages: by a link to a page, and by the button of an ntfy message.

use crate::rig::{WebhookReceiver, text};
use crate::support::browser::Browser;
use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan, bearer};
use crate::support::server::{Reply, Server};
use serde_json::{Value, json};
use std::time::Duration;

const SITE: &str = "https://heart.example/x/";

/// A plan of a monitor with an address of its own.
fn plan() -> Plan {
    Plan::new().key("web.public_url", SITE)
}

fn beat(monitor: &Monitor, token: &str) {
    let body = json!({"hostname": "barn"}).to_string();
    assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(token)], body.as_bytes()).status, 200);
}

/// The path at the monitor behind the proxy.
fn path(url: &str) -> String {
    format!("/{}", url.strip_prefix(SITE).unwrap_or_else(|| panic!("{url} is elsewhere")))
}

fn incident(monitor: &Monitor, reader: &str) -> Value {
    let page = monitor.get_as(reader, "/api/v1/incidents").json();
    page["items"]
        .as_array()
        .and_then(|items| items.iter().find(|item| item["kind"] == "offline"))
        .cloned()
        .expect("one")
}

#[test]
fn a_link_leads_to_a_page_whose_button_acknowledges_and_opening_it_does_not() {
    let plan = plan();
    let webhook = WebhookReceiver::of(&plan);
    let monitor = plan.start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    beat(&monitor, &token);
    let offline = webhook.says("machine.offline", "barn").json();
    let link = path(text(&offline["acknowledge_url"]));
    let mut stranger = Browser::new(&monitor);
    for _ in 0..3 {
        let page = stranger.get(&link);
        assert_eq!(page.status, 200, "{page:?}");
        assert!(
            page.body.contains("barn: offline") && page.body.contains("Nobody is on it yet"),
            "{}",
            page.body
        );
        assert_eq!(page.header("X-Robots-Tag"), Some("noindex"));
    }
    assert_eq!(incident(&monitor, &reader)["acknowledged_by"], Value::Null);

    let elsewhere = Browser::new(&monitor).sends("Sec-Fetch-Site", "cross-site").post(&link, &[]);
    assert_eq!(elsewhere.status, 403, "a form of another site");
    let wrong = link.replace("/p", "/b");
    for wrong in [wrong.as_str(), "/acknowledge/pAAAA", &link[..link.len() - 1]] {
        assert_eq!((stranger.get(wrong).status, stranger.post(wrong, &[]).status), (400, 400), "{wrong}");
    }
    assert_eq!(incident(&monitor, &reader)["acknowledged_by"], Value::Null);

    let answer = stranger.post(&link, &[]);
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("Location").map(|to| link.ends_with(to)), Some(true), "{answer:?}");
    assert_eq!(incident(&monitor, &reader)["acknowledged_by"], "me (link in a webhook)");
    let page = stranger.get(&link).body;
    assert!(
        page.contains("me (link in a webhook) has been on it since") && !page.contains("<button"),
        "{page}"
    );
    let listed = monitor.plan().says(&["incident", "list"]);
    assert!(listed.contains("me (link in a webhook)"), "{listed}");

    beat(&monitor, &token);
    let online = webhook.says("machine.online", "barn").json();
    assert_eq!(online["acknowledge_url"], Value::Null, "the end is sent, and there is nothing to take on");
    assert!(stranger.get(&link).body.contains("It is over"));
    assert_eq!(stranger.post(&link, &[]).status, 303, "too late, and no harm");
}

#[test]
fn an_ntfy_button_acknowledges_by_post_until_the_incident_ends() {
    let receiver = Server::always(Reply::ok());
    let plan = plan();
    plan.says(&["recipient", "add", "farm", "--events", "offline,online"]);
    plan.says(&["channel", "add", "ntfy", &receiver.url("/topic"), "--recipient", "farm"]);
    let monitor = plan.start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    beat(&monitor, &token);
    let message = receiver.request();
    let actions = message.header("Actions").unwrap_or_else(|| panic!("no button: {message:?}")).to_owned();
    let parts: Vec<&str> = actions.split(", ").collect();
    assert_eq!(
        [parts[0], parts[1], parts[3], parts[4]],
        ["http", "Acknowledge", "method=POST", "clear=true"]
    );
    let url = path(parts[2]);
    assert_eq!(monitor.get(&url).status, 405, "nothing that opens the address acknowledges");
    assert_eq!(incident(&monitor, &reader)["acknowledged_by"], Value::Null);
    // As ntfy's page in a browser sends it.
    let other_site = [("Origin", "https://ntfy.sh".to_owned()), ("Sec-Fetch-Site", "cross-site".to_owned())];
    let answer = monitor.post(&url, &other_site, b"");
    assert_eq!((answer.status, answer.header("Access-Control-Allow-Origin")), (200, Some("*")), "{answer:?}");
    assert_eq!(incident(&monitor, &reader)["acknowledged_by"], "whoever has the ntfy topic of farm");
    beat(&monitor, &token);
    let end = receiver.request();
    assert!(end.header("Actions").is_none(), "{end:?}");
    eventually("the button is of no use any more", || monitor.post(&url, &[], b"").status == 410);
}

#[test]
fn an_acknowledgement_ends_the_reminders_of_all_recipients_and_a_kill_doubles_none() {
    let plan = plan();
    let webhook = WebhookReceiver::of(&plan);
    let monitor = plan.start();
    let token = monitor.machine("barn");
    beat(&monitor, &token);
    let offline = webhook.says("machine.offline", "barn").json();
    // The shortest interval is longer than a test: the last message counts as old.
    let database = monitor.plan().database();
    let age = |minutes: i64| {
        let connection = rusqlite::Connection::open(&database).expect("the database");
        connection.busy_timeout(Duration::from_secs(10)).expect("patience");
        let sql = "UPDATE outbox SET created_at = created_at - ?1, delivered_at = delivered_at - ?1";
        connection.execute(sql, [minutes * 60_000]).expect("aged");
    };
    monitor.plan().says(&["recipient", "set", "me", "--remind", "5m"]);
    // A delivery that a kill left unmarked is repeated under its id.
    let delivered = |count: i64| {
        eventually("they are marked", || {
            let connection = rusqlite::Connection::open(&database).expect("the database");
            let sql = "SELECT count(*) FROM outbox WHERE state = 2";
            connection.query_row(sql, [], |row| row.get::<_, i64>(0)) == Ok(count)
        });
    };
    delivered(1);
    age(6);
    assert_eq!(webhook.says("machine.reminder", "barn").json()["machine"]["status"], "offline");
    delivered(2);
    let monitor = monitor.restart();
    webhook.nothing_for(Duration::from_secs(4));
    age(6);
    let reminder = webhook.says("machine.reminder", "barn").json();
    let link = path(text(&reminder["acknowledge_url"]));
    assert_ne!(link, path(text(&offline["acknowledge_url"])));
    delivered(3);
    assert_eq!(Browser::new(&monitor).post(&link, &[]).status, 303);
    age(60);
    webhook.nothing_for(Duration::from_secs(4));
    beat(&monitor, &token);
    webhook.says("machine.online", "barn");
}
