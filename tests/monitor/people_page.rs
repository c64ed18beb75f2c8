//! Recipients and channels on the page: secrets stay, tests show no more than they may.

use crate::support::browser::Browser;
use crate::support::monitor::{Monitor, Plan};
use crate::support::server::{Reply, Server};

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
    let topics = [("do", "topics"), ("name", evil), ("topic", "offline"), ("topic", "camera")];
    assert_eq!(owner.post("/people", &topics).status, 303);
    assert!(monitor.plan().says(&["recipient", "list"]).contains("offline,camera"));
    assert_eq!(owner.post("/people", &[("do", "remove"), ("name", evil)]).status, 303);
    assert_eq!(owner.post("/people", &[("do", "dance"), ("name", "x")]).status, 400);
}
