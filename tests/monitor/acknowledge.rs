//! Incidents that are acknowledged from their messages: by a link to a page, and by the button of an ntfy message.

use crate::rig::{WebhookReceiver, text};
use crate::support::browser::Browser;
use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan, bearer};
use crate::support::server::{Reply, Server};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
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
    let reader = monitor.reader();
    let listed = monitor.get_as(&reader, "/api/v1/deliveries").json();
    let numbers: Vec<Option<u64>> =
        listed["items"].as_array().expect("a list").iter().map(|item| item["reminder"].as_u64()).collect();
    assert_eq!(numbers, [Some(2), Some(1), None], "{listed}");
    let incident = &monitor.get_as(&reader, "/api/v1/incidents").json()["items"][0];
    assert_eq!((incident["reminders"].as_u64(), &incident["escalated_to"]), (Some(2), &json!([])));
    assert_eq!(Browser::new(&monitor).post(&link, &[]).status, 303);
    age(60);
    webhook.nothing_for(Duration::from_secs(4));
    beat(&monitor, &token);
    webhook.says("machine.online", "barn");
}

/// Telegram's answer to `getUpdates`: a press of the button of message `row` in a chat.
fn press(update: i64, row: i64, chat: i64) -> String {
    json!({"ok": true, "result": [{"update_id": update, "callback_query": {
        "id": format!("q{update}"), "data": format!("acknowledge {row}"), "from": {"first_name": "Ada"},
        "message": {"message_id": 5, "chat": {"id": chat}}
    }}]})
    .to_string()
}

fn answer(status: u16, body: String) -> Reply {
    Reply::Answer(status, Vec::new(), body.into_bytes())
}

#[test]
fn a_telegram_button_counts_from_the_chat_of_its_message_alone() {
    let updates = Arc::new(Mutex::new(Vec::<String>::new()));
    let queued = updates.clone();
    let telegram = Server::start(move |request| {
        if !request.target.ends_with("/getUpdates") {
            return Reply::ok();
        }
        let next = queued.lock().expect("updates").pop();
        answer(200, next.unwrap_or_else(|| r#"{"ok":true,"result":[]}"#.into()))
    });
    let plan = Plan::new().key("notify.telegram_api", telegram.url("").trim_end_matches('/'));
    let token = plan.scratch().file("bot-token", "1:SECRET\n");
    plan.says(&["recipient", "add", "farm", "--events", "offline,online"]);
    plan.says(&["channel", "add", "--recipient", "farm", "telegram", "-1001", "--bot-token-file", &token]);
    let monitor = plan.start();
    let (device, reader) = (monitor.machine("barn"), monitor.reader());
    beat(&monitor, &device);
    let next = |method: &str| telegram.request_that(|request| request.target.ends_with(method)).json();
    let sent = next("/sendMessage");
    let button = sent["reply_markup"]["inline_keyboard"][0][0].clone();
    assert_eq!(button["text"], "I'm on it");
    let row: i64 = text(&button["callback_data"])
        .strip_prefix("acknowledge ")
        .expect("a row")
        .parse()
        .expect("a number");

    for (update, row, chat) in [(7, row, -1002), (8, row + 1, -1001)] {
        updates.lock().expect("updates").push(press(update, row, chat));
        assert_eq!(next("/answerCallbackQuery")["text"], "There is nothing to take on any more.");
    }
    assert_eq!(
        incident(&monitor, &reader)["acknowledged_by"],
        Value::Null,
        "of another chat, or another message"
    );

    updates.lock().expect("updates").push(press(9, row, -1001));
    let answer = next("/answerCallbackQuery");
    assert_eq!(
        (text(&answer["callback_query_id"]), text(&answer["text"])),
        ("q9", "Ada (Telegram) is on it.")
    );
    let edited = next("/editMessageReplyMarkup");
    assert_eq!(edited["reply_markup"]["inline_keyboard"][0][0]["text"], "Ada (Telegram) is on it");
    assert_eq!(incident(&monitor, &reader)["acknowledged_by"], "Ada (Telegram)");
    beat(&monitor, &device);
    assert!(next("/sendMessage").get("reply_markup").is_none(), "the end has no button");
}

#[test]
fn a_bot_with_a_webhook_has_no_buttons_and_says_so_once() {
    let telegram = Server::start(|request| {
        if request.target.ends_with("/getUpdates") {
            let why = "Conflict: can't use getUpdates method while webhook is active";
            return answer(409, json!({"ok": false, "error_code": 409, "description": why}).to_string());
        }
        Reply::ok()
    });
    let plan = Plan::new().key("notify.telegram_api", telegram.url("").trim_end_matches('/'));
    let token = plan.scratch().file("bot-token", "1:SECRET\n");
    plan.says(&["channel", "add", "telegram", "-1001", "--bot-token-file", &token]);
    let monitor = plan.start();
    let device = monitor.machine("barn");
    beat(&monitor, &device);
    monitor.wait_for_line("of the bot", |line| {
        line.ends_with(
            "Telegram bot 1: it has a webhook, so its messages have no button until the next reload",
        )
    });
    beat(&monitor, &device);
    let mut messages = Vec::new();
    eventually("another outage", || {
        let request = telegram.request();
        messages.extend(request.target.ends_with("/sendMessage").then(|| request.json()));
        messages.len() == 3
    });
    let has_button: Vec<bool> =
        messages.iter().map(|message| message.get("reply_markup").is_some()).collect();
    assert_eq!(has_button, [true, false, false], "{messages:?}");
    assert_eq!(monitor.log_lines("it has a webhook").len(), 1);
}
