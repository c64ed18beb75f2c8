//! Recipients and channels on the page: secrets stay, tests show no more than they may.

use crate::support::browser::Browser;
use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan};
use crate::support::server::{Reply, Server};
use std::time::{Duration, Instant};

fn owner(plan: Plan) -> (Monitor, Browser) {
    let monitor = plan.start();
    let owner = Browser::signed_up(&monitor, "ada", "owner", &[]);
    (monitor, owner)
}

#[track_caller]
fn add_recipient(owner: &mut Browser) {
    assert_eq!(owner.post("/people", &[("do", "add"), ("name", "farm")]).status, 303);
}

#[test]
fn without_a_channel_the_page_says_that_nobody_is_notified() {
    let (_monitor, mut owner) = owner(Plan::new());
    for path in ["/", "/people"] {
        assert!(owner.get(path).body.contains("No channel: nobody will be notified"), "{path}");
    }
}

#[test]
fn a_telegram_channel_is_added_tested_and_its_token_never_shown_again() {
    let telegram = Server::always(Reply::ok());
    let (monitor, mut owner) = owner(Plan::new().key("notify.telegram_api", &telegram.url("")));
    add_recipient(&mut owner);
    let channel =
        |secret| [("recipient", "farm"), ("kind", "telegram"), ("target", "42"), ("secret", secret)];
    let refused = owner.post("/channels", &channel(""));
    assert_eq!(refused.status, 400);
    assert!(
        refused.body.contains("enter the bot&#39;s token") || refused.body.contains("enter the bot's token")
    );
    assert_eq!(owner.post("/channels", &channel("123:secret-token")).status, 303);
    let tested = owner.post("/channels/1/test", &[]);
    let request = telegram.request();
    assert!(request.target.contains("/bot123:secret-token/sendMessage"), "{request:?}");
    for page in [tested.body, owner.get("/people").body] {
        assert!(page.contains("Telegram 1") && !page.contains("secret-token"), "{page}");
    }
    assert!(!monitor.plan().says(&["channel", "list"]).contains("secret-token"));
    assert_eq!(owner.post("/channels/1/disable", &[]).status, 303);
    assert!(owner.get("/").body.contains("No channel: nobody will be notified"));
    assert_eq!(owner.post("/channels/1/remove", &[]).status, 303);
    assert_eq!(owner.post("/channels/1/test", &[]).status, 404);
}

#[test]
fn the_test_of_a_private_address_shows_only_the_status() {
    let internal = Server::always(Reply::Answer(500, Vec::new(), b"the password is hunter2".to_vec()));
    let (_monitor, mut owner) = owner(Plan::new().toml("notify.allow_private_webhooks", "true"));
    add_recipient(&mut owner);
    let channel = [("recipient", "farm"), ("kind", "ntfy"), ("target", &*internal.url("/topic"))];
    assert_eq!(owner.post("/channels", &channel).status, 303);
    let tested = owner.post("/channels/1/test", &[]).body;
    assert!(tested.contains("status 500") && !tested.contains("hunter2"), "{tested}");
}

#[test]
fn a_webhook_gets_a_secret_that_is_shown_once() {
    let (_monitor, mut owner) = owner(Plan::new());
    add_recipient(&mut owner);
    let channel =
        [("recipient", "farm"), ("kind", "webhook"), ("target", "https://example.org/hook?key=abc")];
    let added = owner.post("/channels", &channel).body;
    let secret = added.split_once("<pre id=\"secret\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let secret = secret.expect("the secret").0;
    assert!(secret.len() >= 40);
    let page = owner.get("/people").body;
    assert!(!page.contains(secret) && !page.contains("key=abc"), "{page}");
}

#[test]
fn the_form_of_each_kind_has_its_fields_and_its_secret_is_never_shown_again() {
    let (_monitor, mut owner) = owner(Plan::new().toml("notify.allow_private_webhooks", "true"));
    add_recipient(&mut owner);
    let people = owner.get("/people").body;
    let chats =
        ["telegram", "email", "ntfy", "slack", "discord", "teams", "gotify", "pushover", "matrix", "apprise"];
    for kind in chats.into_iter().chain(["webhook", "pagerduty", "home-assistant"]) {
        assert!(people.contains(&format!("<option value=\"{kind}\">")), "{kind}");
        let form = owner.get(&format!("/channels?kind={kind}&recipient=farm"));
        assert_eq!(form.status, 200, "{kind}");
        assert_eq!(form.body.contains("name=\"secret\""), kind != "email", "{kind}");
        assert_eq!(form.body.contains("name=\"topic\""), kind == "telegram", "{kind}");
        assert_eq!(form.body.contains("name=\"server\" size=\"40\" required"), kind == "matrix", "{kind}");
    }
    for nothing in ["/channels?kind=pigeon&recipient=farm", "/channels?kind=slack&recipient=mill"] {
        assert_eq!(owner.get(nothing).status, 404, "{nothing}");
    }
    let receiver = Server::always(Reply::Answer(500, Vec::new(), b"the password is hunter2".to_vec()));
    let url = receiver.url("/services/T0/B0SECRETSECRET");
    let channel =
        |secret| [("recipient", "farm"), ("kind", "slack"), ("target", "#al\"erts"), ("secret", secret)];
    let refused = owner.post("/channels", &channel("ftp://x/B0SECRETSECRET"));
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("value=\"#al&#34;erts\""), "what was entered is kept: {}", refused.body);
    assert!(!refused.body.contains("B0SECRETSECRET"), "{}", refused.body);
    assert_eq!(owner.post("/channels", &channel(&url)).status, 303);
    let tested = owner.post("/channels/1/test", &[]).body;
    assert_eq!(receiver.request().target, "/services/T0/B0SECRETSECRET");
    assert!(tested.contains("status 500") && !tested.contains("hunter2"), "{tested}");
    for page in [tested, owner.get("/people").body, owner.get("/channels/1/address").body] {
        assert!(!page.contains("B0SECRETSECRET"), "{page}");
    }
    let topic =
        [("recipient", "farm"), ("kind", "telegram"), ("target", "7"), ("secret", "1:a"), ("topic", "42")];
    assert_eq!(owner.post("/channels", &topic).status, 303);
    assert!(owner.get("/channels/2/address").body.contains("name=\"topic\" size=\"40\" value=\"42\""));
}

#[test]
fn a_wrong_target_is_refused_and_no_file_is_read() {
    let (_monitor, mut owner) = owner(Plan::new());
    add_recipient(&mut owner);
    for (kind, target) in [
        ("webhook", "file:///etc/passwd"),
        ("ntfy", "https://ntfy.sh/"),
        ("telegram", "not a chat"),
        ("email", "ops@example.org"),
        ("carrier-pigeon", "roof"),
    ] {
        let answer = owner.post(
            "/channels",
            &[("recipient", "farm"), ("kind", kind), ("target", target), ("secret", "x:y")],
        );
        assert_eq!(answer.status, 400, "{kind}");
        assert!(answer.body.contains("role=\"alert\""), "{kind}");
    }
}

#[test]
fn topics_are_chosen_and_names_are_no_markup() {
    let (monitor, mut owner) = owner(Plan::new());
    let evil = "<script>alert(1)</script>";
    assert_eq!(owner.post("/people", &[("do", "add"), ("name", evil)]).status, 303);
    assert!(!owner.get("/people").body.contains(evil));
    let topics =
        [("do", "preferences"), ("name", evil), ("which", "all"), ("topic", "offline"), ("topic", "camera")];
    assert_eq!(owner.post("/people", &topics).status, 303);
    assert!(monitor.plan().says(&["recipient", "list"]).contains("offline,camera"));
    assert_eq!(owner.post("/people", &[("do", "remove"), ("name", evil)]).status, 303);
    assert_eq!(owner.post("/people", &[("do", "dance"), ("name", "x")]).status, 400);
}

#[test]
fn machines_quiet_hours_and_the_shortest_outage_are_chosen() {
    let (monitor, mut owner) = owner(Plan::new());
    add_recipient(&mut owner);
    assert_eq!(owner.post("/people", &[("do", "add"), ("name", "owner")]).status, 303);
    monitor.machine("gate");
    let wishes = |machines| {
        [
            ("do", "preferences"),
            ("name", "farm"),
            ("topic", "offline"),
            ("which", "only"),
            ("machines", machines),
            ("quiet_from", "22:00"),
            ("quiet_to", "07:00"),
            ("time_zone", "Europe/Berlin"),
            ("min_outage", "10m"),
            ("remind", "1h"),
            ("report", "weekly"),
            ("escalate", "owner"),
            ("after", "30m"),
        ]
    };
    let refused = owner.post("/people", &wishes("gte"));
    assert_eq!(refused.status, 400);
    for entered in [
        "value=\"gte\"",
        "value=\"22:00\"",
        "value=\"Europe/Berlin\"",
        "value=\"10m\"",
        "value=\"1h\"",
        "<details open>",
    ] {
        assert!(refused.body.contains(entered), "{entered} is lost: {}", refused.body);
    }
    assert_eq!(owner.post("/people", &wishes("gate")).status, 303);
    let listed = monitor.plan().says(&["recipient", "list"]);
    for wish in ["gate", "22:00-07:00 Europe/Berlin", "10m", "1h", "owner after 30m"] {
        assert!(listed.contains(wish), "{wish}: {listed}");
    }
    let shown = owner.get("/people").body;
    assert!(
        shown.contains(
            "Machines: gate; quiet 22:00-07:00 Europe/Berlin, outages of 10m and more, reminders every 1h, escalated to owner after 30m, weekly report"),
        "{shown}"
    );
}

#[test]
fn preferences_that_cannot_be_are_refused_with_a_reason_and_change_nothing() {
    let (monitor, mut owner) = owner(Plan::new());
    add_recipient(&mut owner);
    let before = monitor.plan().says(&["recipient", "list"]);
    let form = [("do", "preferences"), ("name", "farm"), ("which", "all")];
    for (field, value, reason) in [
        ("quiet_from", "22:00", "a begin and an end"),
        ("time_zone", "Mars/Olympus", "unknown time zone"),
        ("time_zone", "+25:00", "+02:00"),
        ("min_outage", "soon", "a duration such as"),
        ("min_outage", "1000h", "at most 168h"),
        ("remind", "1m", "5m to 168h"),
        ("escalate", "owner", "needs a time"),
        ("after", "5s", "1m to 168h"),
    ] {
        let refused = owner.post("/people", &[&form[..], &[(field, value)]].concat());
        assert_eq!(refused.status, 400, "{field} = {value}");
        assert!(refused.body.contains(reason), "{field} = {value}: {}", refused.body);
    }
    let nothing = [("do", "preferences"), ("name", "farm"), ("which", "only")];
    assert_eq!(owner.post("/people", &nothing).status, 400);
    assert_eq!(monitor.plan().says(&["recipient", "list"]), before);
}

#[test]
fn another_address_needs_the_secret_again() {
    let telegram = Server::always(Reply::ok());
    let (_monitor, mut owner) = owner(Plan::new().key("notify.telegram_api", &telegram.url("")));
    add_recipient(&mut owner);
    let channel = [("recipient", "farm"), ("kind", "telegram"), ("target", "42"), ("secret", "1:old")];
    assert_eq!(owner.post("/channels", &channel).status, 303);
    let refused = owner.post("/channels/1/address", &[("target", "43")]);
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("value=\"43\""), "what was entered is kept: {}", refused.body);
    assert_eq!(owner.post("/channels/1/address", &[("target", "43"), ("secret", "1:new")]).status, 303);
    owner.post("/channels/1/test", &[]);
    let request = telegram.request();
    assert!(request.target.contains("/bot1:new/") && request.json()["chat_id"] == "43", "{request:?}");
    assert_eq!(owner.post("/channels/9/address", &[("target", "43"), ("secret", "1:new")]).status, 404);
    let webhook = [("recipient", "farm"), ("kind", "webhook"), ("target", "https://example.org/a")];
    assert_eq!(owner.post("/channels", &webhook).status, 200);
    let moved = owner.post("/channels/2/address", &[("target", "https://example.org/b")]);
    assert!(moved.body.contains("<pre id=\"secret\">"), "a new secret: {}", moved.body);
}

#[test]
fn a_message_to_the_bot_finds_the_chat() {
    let telegram = Server::always(updates(""));
    let (monitor, mut owner) = owner(Plan::new().key("notify.telegram_api", &telegram.url("")));
    add_recipient(&mut owner);
    let form = [("recipient", "farm"), ("kind", "telegram"), ("target", ""), ("secret", "")];
    assert_eq!(owner.post("/chats", &form).status, 400, "without the bot's token");
    let form = |silent| [("recipient", "farm"), ("secret", "123:secret-token"), ("silent", silent)];
    assert_eq!(owner.post("/chats", &form("x")).status, 400, "an option that cannot be");
    let started = owner.post("/chats", &form("endings"));
    let page = format!("/{}", started.header("Location").expect("the page of the search"));
    let waiting = owner.get(&page);
    assert_eq!(waiting.header("Refresh"), Some("2"), "without JavaScript, too");
    let code = waiting.body.split_once("<pre id=\"code\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let code = code.expect("the code").0.to_owned();
    telegram.become_one_that(move |_| updates(&code));
    eventually("the chat is found", || owner.get(&page).body.contains("came from"));
    let found = owner.get(&page).body;
    assert!(
        found.contains("Barn &#60;b&#62; (-100123), topic 42.") && !found.contains("secret-token"),
        "{found}"
    );
    assert_eq!(owner.post(&page, &[]).status, 303);
    assert!(owner.get(&page).body.contains("This search is over"));
    let listed = monitor.plan().says(&["channel", "list"]);
    assert!(listed.contains("-100123") && listed.contains("topic 42, silent endings"), "{listed}");
    assert!(!monitor.plan().says(&["channel", "list"]).contains("secret-token"));
}

#[test]
fn a_server_that_answers_each_poll_at_once_is_polled_once_a_second() {
    let telegram = Server::always(updates(""));
    let (_monitor, mut owner) = owner(Plan::new().key("notify.telegram_api", &telegram.url("")));
    add_recipient(&mut owner);
    owner.post("/chats", &[("recipient", "farm"), ("secret", "123:secret-token")]);
    telegram.requests(1);
    let begun = Instant::now();
    telegram.requests(3);
    assert!(begun.elapsed() > Duration::from_millis(2_500), "{:?}", begun.elapsed());
}

/// Telegram's answer to `getUpdates`: a message with this text in topic 42 of the group "Barn <b>".
fn updates(text: &str) -> Reply {
    let chat = r#"{"id":-100123,"title":"Barn <b>","type":"supergroup"}"#;
    let topic = r#""message_thread_id":42,"is_topic_message":true"#;
    let body = format!(
        r#"{{"ok":true,"result":[{{"update_id":7,"message":{{"text":"{text}",{topic},"chat":{chat}}}}}]}}"#
    );
    Reply::Answer(200, Vec::new(), body.into_bytes())
}

#[test]
fn a_bot_that_telegram_refuses_is_a_sentence_without_its_token() {
    let conflict = br#"{"ok":false,"error_code":409,"description":"Conflict: webhook is active"}"#;
    let telegram = Server::always(Reply::Answer(409, Vec::new(), conflict.to_vec()));
    let (_monitor, mut owner) = owner(Plan::new().key("notify.telegram_api", &telegram.url("")));
    add_recipient(&mut owner);
    let started = owner.post("/chats", &[("recipient", "farm"), ("secret", "123:secret-token")]);
    let page = format!("/{}", started.header("Location").expect("the page of the search"));
    eventually("the search fails", || owner.get(&page).body.contains("role=\"alert\""));
    let failed = owner.get(&page).body;
    assert!(
        failed.contains("another program receives the messages") && !failed.contains("secret-token"),
        "{failed}"
    );
}
