//! The first visit, the link of a new user, signing in, and the second factor.

use crate::bed::Desk;
use crate::support::browser::{PASSWORD, link_token};
use crate::support::monitor::{Monitor, Plan};
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::accounts::totp::TotpSecret;
use std::time::Duration;

fn sign_in(browser: &mut Desk, password: &str) {
    browser.fill("name", "ada");
    browser.fill("password", password);
    browser.follow("button.main");
}

/// Follows the link of `user add`.
fn welcome(monitor: &Monitor, browser: &mut Desk) {
    let link = link_token(&monitor.plan().token(&["user", "add", "ada", "--role", "owner"]));
    browser.open(&monitor.url(&format!("/welcome?link={link}")));
    browser.fill("password", PASSWORD);
    browser.fill("again", PASSWORD);
    browser.follow("button.main");
}

#[test]
fn a_first_visit_leads_to_the_sign_in_and_a_wrong_password_says_so() {
    let Some(mut browser) = Desk::new() else { return };
    let monitor = Plan::new().start();
    browser.open(&monitor.url("/"));
    assert_eq!(browser.heading(), "Sign in");
    welcome(&monitor, &mut browser);
    assert_eq!(browser.heading(), "No machine yet");
    browser.has_not_complained();

    browser.follow(".who button");
    assert_eq!(browser.heading(), "Sign in");
    sign_in(&mut browser, "wrong horse battery");
    browser.wait_for("problem", "The name or the password is wrong.");
    // The browser notes the status 401 of that page, and nothing else.
    assert!(browser.complaints.iter().all(|it| it.contains("401")), "{:?}", browser.complaints);
    browser.complaints.clear();
    sign_in(&mut browser, PASSWORD);
    assert_eq!(browser.heading(), "No machine yet");
    browser.has_not_complained();
}

#[test]
fn a_second_factor_is_set_up_and_asked_for() {
    let Some(mut browser) = Desk::new() else { return };
    let monitor = Plan::new().start();
    welcome(&monitor, &mut browser);
    browser.open(&monitor.url("/account"));
    browser.follow("form:has([value=totp]) button");
    let secret = browser.value("document.querySelector('[name=secret]').value");
    let secret = TotpSecret::from_base32(secret.as_str().expect("a secret")).expect("a secret");
    browser.fill("code", &secret.code_at(Moment::now()));
    browser.fill("current", PASSWORD);
    browser.follow("form:has([name=code]) button");
    assert_eq!(browser.heading(), "The second factor is on");
    browser.open(&monitor.url("/"));
    browser.follow(".who button");
    sign_in(&mut browser, PASSWORD);
    assert_eq!(browser.heading(), "Second factor");
    browser.fill("code", "000000");
    browser.follow("button.main");
    browser.wait_for("problem", "code");
    browser.fill("code", &secret.code_at(Moment::now().plus(Duration::from_secs(30))));
    browser.follow("button.main");
    assert_eq!(browser.heading(), "No machine yet");
}
