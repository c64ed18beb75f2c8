//! A user's own account: password, second factor, time zone, sessions.

use crate::support::browser::{Browser, PASSWORD, field};
use crate::support::monitor::{Answer, Monitor, Plan};
use crate::support::skip;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::accounts::totp::TotpSecret;
use std::path::Path;
use std::time::Duration;

const SESSION: &str = "heartbeat_session";

fn is_signed_in(browser: &mut Browser) -> bool {
    browser.get("/account").status == 200
}

fn location(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.header("Location").unwrap_or_default())
}

/// Turns the second factor on; returns the secret and the recovery codes.
#[track_caller]
fn with_second_factor(browser: &mut Browser) -> (TotpSecret, Vec<String>) {
    let setup = browser.post("/account", &[("action", "totp")]);
    assert!(setup.body.contains("<svg "), "a QR code: {setup:?}");
    let text = field(&setup.body, "secret");
    let secret = TotpSecret::from_base32(&text).expect("a secret");
    let code = secret.code_at(Moment::now());
    let turn_on = |browser: &mut Browser, code: &str, password: &str| {
        let fields = [("action", "totp-on"), ("secret", &text), ("code", code), ("current", password)];
        browser.post("/account", &fields)
    };
    assert_eq!(turn_on(browser, "000000x", PASSWORD).status, 400);
    assert_eq!(turn_on(browser, &code, "wrong horse battery").status, 403);
    let answer = turn_on(browser, &code, PASSWORD);
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.body.split_once("<pre id=\"codes\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let codes: Vec<String> = list.expect("codes").0.lines().map(str::to_owned).collect();
    assert_eq!(codes.len(), 10, "{codes:?}");
    (secret, codes)
}

/// The second step of a sign-in.
#[track_caller]
fn second_step(monitor: &Monitor) -> (Browser, String) {
    let mut browser = Browser::new(monitor);
    let form = browser.sign_in("ada", PASSWORD);
    assert_eq!((form.status, browser.cookie(SESSION)), (200, None), "not signed in yet: {form:?}");
    (browser, field(&form.body, "step"))
}

#[test]
fn a_second_factor_is_needed_and_each_code_works_once() {
    let monitor = Plan::new().start();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let mut elsewhere = Browser::new(&monitor);
    assert_eq!(elsewhere.sign_in("ada", PASSWORD).status, 303);
    let (secret, codes) = with_second_factor(&mut ada);
    assert!(is_signed_in(&mut ada) && !is_signed_in(&mut elsewhere), "signed out everywhere else");
    assert!(!ada.get("/account").body.contains(&codes[0]), "shown once");

    let (mut browser, step) = second_step(&monitor);
    let wrong = browser.post("/login", &[("step", &step), ("code", "000000")]);
    assert_eq!((wrong.status, browser.cookie(SESSION)), (401, None));
    // That of the next step is accepted, too, and certainly unused.
    let code = secret.code_at(Moment::now().plus(Duration::from_secs(30)));
    assert_eq!(location(&browser.post("/login", &[("step", &step), ("code", &code)])), (303, "./"));
    assert!(is_signed_in(&mut browser));

    let (mut replay, step) = second_step(&monitor);
    assert_eq!(replay.post("/login", &[("step", &step), ("code", &code)]).status, 401, "a used code");
    assert_eq!(location(&replay.post("/login", &[("step", &step), ("code", &codes[3])])), (303, "./"));
    let (mut replay, step) = second_step(&monitor);
    assert_eq!(
        replay.post("/login", &[("step", &step), ("code", &codes[3])]).status,
        401,
        "a used recovery code"
    );
    assert!(ada.get("/account").body.contains("9 of 10 recovery codes"));
}

#[test]
fn the_second_step_ends_with_it_and_with_a_new_password() {
    let monitor = Plan::new().start();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let (_, codes) = with_second_factor(&mut ada);
    let (mut first, step) = second_step(&monitor);
    assert_eq!(first.post("/login", &[("step", &step), ("code", &codes[0])]).status, 303);
    assert_eq!(first.post("/login", &[("step", &step), ("code", &codes[1])]).status, 401, "it was done");
    let (mut second, step) = second_step(&monitor);
    let new = "another horse battery";
    let fields = [("action", "password"), ("current", PASSWORD), ("password", new), ("again", new)];
    assert_eq!(location(&ada.post("/account", &fields)), (303, "./account?done=password"));
    let answer = second.post("/login", &[("step", &step), ("code", &codes[1])]);
    assert_eq!((answer.status, second.cookie(SESSION)), (401, None), "{answer:?}");
    assert_eq!(second.post("/login", &[("step", "hbs_guessed"), ("code", &codes[1])]).status, 401);
}

#[test]
fn guessing_codes_is_limited() {
    let monitor = Plan::new().start();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let (_, codes) = with_second_factor(&mut ada);
    let (mut thief, step) = second_step(&monitor);
    let guess = |thief: &mut Browser, number: u32| {
        thief.post("/login", &[("step", &step), ("code", &format!("{number:06}"))]).status
    };
    let statuses: Vec<u16> = (0..8).map(|number| guess(&mut thief, number)).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    ada.post("/logout", &[]);
    let form = ada.sign_in("ada", PASSWORD);
    let step = field(&form.body, "step");
    assert_eq!(
        ada.post("/login", &[("step", &step), ("code", &codes[0])]).status,
        303,
        "her browser has its own limit"
    );
}

#[test]
fn the_second_factor_is_turned_off_with_the_password_or_on_the_command_line() {
    let monitor = Plan::new().start();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    with_second_factor(&mut ada);
    let off =
        |ada: &mut Browser, password| ada.post("/account", &[("action", "totp-off"), ("current", password)]);
    assert_eq!(off(&mut ada, "wrong horse battery").status, 403);
    assert_eq!(Browser::new(&monitor).sign_in("ada", PASSWORD).status, 200, "still needed");
    assert_eq!(location(&off(&mut ada, PASSWORD)), (303, "./account?done=totp-off"));
    assert_eq!(Browser::new(&monitor).sign_in("ada", PASSWORD).status, 303);
    with_second_factor(&mut ada);
    monitor.plan().says(&["user", "set", "ada", "--no-second-factor"]);
    assert!(!is_signed_in(&mut ada));
    assert_eq!(ada.sign_in("ada", PASSWORD).status, 303);
}

#[test]
fn a_link_for_a_new_password_does_not_replace_the_second_factor() {
    let monitor = Plan::new().start();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    with_second_factor(&mut ada);
    let link = crate::support::browser::link_token(&monitor.plan().token(&["user", "password", "ada"]));
    let mut browser = Browser::new(&monitor);
    let fields = [("link", link.as_str()), ("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(location(&browser.post("/welcome", &fields)), (303, "./login"));
    assert!(!is_signed_in(&mut browser) && !is_signed_in(&mut ada));
}

#[test]
fn a_change_of_password_asks_for_the_present_one_and_changes_the_session() {
    let monitor = Plan::new().start();
    let mut ada = Browser::signed_up(&monitor, "ada", "viewer", &[]);
    let before = ada.cookie(SESSION).expect("signed in").to_owned();
    let new = "another horse battery";
    let change = |ada: &mut Browser, current: &str, new: &str, again: &str| {
        let fields = [("action", "password"), ("current", current), ("password", new), ("again", again)];
        ada.post("/account", &fields).status
    };
    assert_eq!(change(&mut ada, "wrong horse battery", new, new), 403);
    assert_eq!(change(&mut ada, PASSWORD, new, "different horse"), 400);
    assert_eq!(change(&mut ada, PASSWORD, "short", "short"), 400);
    assert_eq!(change(&mut ada, PASSWORD, new, new), 303);
    assert!(is_signed_in(&mut ada));
    assert_ne!(ada.cookie(SESSION), Some(before.as_str()));
    let mut old = ada.clone();
    old.set_cookie(SESSION, &before);
    assert!(!is_signed_in(&mut old));
}

#[test]
fn wrong_present_passwords_are_limited() {
    let monitor = Plan::new().start();
    let mut thief = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let off = |thief: &mut Browser| {
        thief.post("/account", &[("action", "totp-off"), ("current", "wrong horse battery")]).status
    };
    let statuses: Vec<u16> = (0..12).map(|_| off(&mut thief)).collect();
    assert_eq!(statuses[..10], [403; 10]);
    assert_eq!(statuses[10..], [429; 2]);
}

#[test]
fn sessions_are_listed_and_ended_by_their_user_only() {
    let monitor = Plan::new().start();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let mut phone = Browser::new(&monitor).sends("User-Agent", "Phone <b>7</b>");
    assert_eq!(phone.sign_in("ada", PASSWORD).status, 303);
    let mut eve = Browser::signed_up(&monitor, "eve", "owner", &[]);
    let page = ada.get("/account").body;
    assert!(page.contains("Phone &#60;b&#62;7&#60;/b&#62;"), "{page}");
    let id = field(&page, "session");
    assert_eq!(eve.post("/account", &[("action", "end"), ("session", &id)]).status, 404);
    assert!(is_signed_in(&mut phone));
    assert_eq!(
        location(&ada.post("/account", &[("action", "end"), ("session", &id)])),
        (303, "./account?done=end")
    );
    assert!(!is_signed_in(&mut phone) && is_signed_in(&mut ada));
    assert_eq!(phone.sign_in("ada", PASSWORD).status, 303);
    assert_eq!(ada.post("/account", &[("action", "end-others")]).status, 303);
    assert!(!is_signed_in(&mut phone) && is_signed_in(&mut ada) && is_signed_in(&mut eve));
}

#[test]
fn the_time_zone_is_proposed_once_and_changed_later() {
    if !Path::new("/usr/share/zoneinfo/Europe/Berlin").exists() {
        return skip("no time zones (apt-get install tzdata)");
    }
    let monitor = Plan::new().start();
    let link = monitor.plan().token(&["user", "add", "ada", "--role", "viewer"]);
    let link = crate::support::browser::link_token(&link);
    let mut ada = Browser::new(&monitor);
    let fields =
        [("link", link.as_str()), ("password", PASSWORD), ("again", PASSWORD), ("zone", "Europe/Berlin")];
    assert_eq!(ada.post("/welcome", &fields).status, 303);
    let zone = |ada: &mut Browser| field(&ada.get("/account").body, "zone");
    assert_eq!(zone(&mut ada), "Europe/Berlin");
    let sign_in = [("name", "ada"), ("password", PASSWORD), ("zone", "America/Lima")];
    assert_eq!(ada.post("/login", &sign_in).status, 303);
    assert_eq!(zone(&mut ada), "Europe/Berlin", "chosen already");
    assert_eq!(ada.post("/account", &[("action", "zone"), ("zone", "../../etc/passwd")]).status, 400);
    assert_eq!(ada.post("/account", &[("action", "zone"), ("zone", "America/Lima")]).status, 303);
    assert_eq!(zone(&mut ada), "America/Lima");
}
