//! Signing in to the pages: links, passwords, sessions, and forms of other sites.

use crate::support::browser::{Browser, PASSWORD, field, link_token};
use crate::support::monitor::{Answer, Monitor, Plan, bearer};
use crate::support::wall_clock::WallClock;
use std::time::{Duration, Instant};

const SESSION: &str = "heartbeat_session";
const DEVICE: &str = "heartbeat_device";

fn monitor() -> Monitor {
    Plan::new().start()
}

fn location(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.header("Location").unwrap_or_default())
}

fn is_signed_in(browser: &mut Browser) -> bool {
    browser.get("/").status == 200
}

#[test]
fn the_first_start_says_how_to_add_an_owner_and_the_next_ones_do_not() {
    let line = "no user yet: sudo heartbeat-monitor user add NAME --role owner";
    let monitor = monitor();
    monitor.wait_for_line("about users", |found| found.ends_with(line));
    monitor.plan().says(&["user", "add", "ada", "--role", "owner"]);
    let monitor = monitor.restart();
    assert!(monitor.log_lines("no user yet").is_empty());
    let disabled = Plan::new().toml("web.enabled", "false").start();
    assert!(disabled.log_lines("no user yet").is_empty());
}

#[test]
fn a_link_sets_the_password_once_and_opening_it_changes_nothing() {
    let monitor = monitor();
    let link = link_token(&monitor.plan().token(&["user", "add", "ada", "--role", "owner"]));
    let mut browser = Browser::new(&monitor);
    for _ in 0..2 {
        let page = browser.get(&format!("/welcome?link={link}"));
        assert_eq!(page.status, 200);
        assert!(page.body.contains("Welcome, ada") && page.header("Set-Cookie").is_none());
    }
    let choose = |browser: &mut Browser, password: &str, again: &str| {
        browser.post("/welcome", &[("link", &link), ("password", password), ("again", again)])
    };
    assert_eq!(choose(&mut browser, PASSWORD, "other").status, 400);
    assert_eq!(choose(&mut browser, "short", "short").status, 400);
    assert!(!is_signed_in(&mut browser));
    assert_eq!(location(&choose(&mut browser, PASSWORD, PASSWORD)), (303, "./"));
    assert!(is_signed_in(&mut browser));
    let used = choose(&mut Browser::new(&monitor), PASSWORD, PASSWORD);
    assert_eq!(used.status, 400);
    assert!(used.body.contains("This link was used"));
    assert_eq!(Browser::new(&monitor).get(&format!("/welcome?link={link}")).status, 400);
}

#[test]
fn a_page_asks_for_the_sign_in_and_leads_back_to_itself() {
    let monitor = monitor();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    assert_eq!(location(&ada.post("/logout", &[])), (303, "./login"));
    assert_eq!(location(&ada.get("/machines/add")), (303, "../login?next=machines/add"));
    let form = ada.get("/login?next=machines/add");
    assert_eq!((form.status, field(&form.body, "next")), (200, "machines/add".into()));
    let answer = ada.post("/login", &[("name", "ada"), ("password", PASSWORD), ("next", "machines/add")]);
    assert_eq!(location(&answer), (303, "./machines/add"));
    let answer = ada.post("/login", &[("name", "ada"), ("password", PASSWORD), ("next", "//evil.example")]);
    assert_eq!(location(&answer), (303, "./"));
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let monitor = monitor();
    Browser::signed_up(&monitor, "ada", "owner", &[]);
    let mut browser = Browser::new(&monitor);
    let mut attempt = |name: &str, password: &str| {
        let answer = browser.sign_in(name, password);
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.header("Set-Cookie").is_none());
        answer.body.replace(name, "NAME")
    };
    let wrong = attempt("ada", "wrong horse battery");
    assert!(wrong.contains("The name or the password is wrong."));
    assert_eq!(attempt("eve", "wrong horse battery"), wrong);
    assert_eq!(attempt("eve", PASSWORD), wrong);
    assert_eq!(attempt("ada", ""), wrong);
}

#[test]
fn a_name_cannot_put_markup_into_the_page() {
    let monitor = monitor();
    let page = Browser::new(&monitor).sign_in("\"><script>alert(1)</script>", "x");
    assert_eq!(page.status, 401);
    assert!(!page.body.contains("<script>alert"), "{}", page.body);
    let page = Browser::new(&monitor).get("/login?next=%22%3E%3Cscript%3Ealert(1)%3C/script%3E");
    assert!(!page.body.contains("<script>alert"), "{}", page.body);
}

#[test]
fn each_sign_in_has_a_new_session_and_ends_the_one_that_the_browser_had() {
    let monitor = monitor();
    let ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    // Somebody else put their own session, or one that was never issued, into the browser.
    for planted in [ada.cookie(SESSION).expect("signed in"), "hbs_planted"] {
        let mut browser = Browser::new(&monitor);
        browser.set_cookie(SESSION, planted);
        assert_eq!(browser.sign_in("ada", PASSWORD).status, 303);
        assert_ne!(browser.cookie(SESSION), Some(planted));
        assert!(is_signed_in(&mut browser));
        browser.set_cookie(SESSION, planted);
        assert!(!is_signed_in(&mut browser), "the planted session has ended");
    }
}

#[test]
fn cookies_are_limited_to_the_public_url_and_carry_nothing_without_it() {
    let cookies = |monitor: &Monitor| {
        let link = link_token(&monitor.plan().token(&["user", "add", "ada", "--role", "owner"]));
        let fields = [("link", link.as_str()), ("password", PASSWORD), ("again", PASSWORD)];
        let answer = Browser::new(monitor).sends("Sec-Fetch-Site", "same-origin").post("/welcome", &fields);
        assert_eq!(answer.status, 303, "{answer:?}");
        let lines = answer.head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: "));
        lines.map(|line| line.split_once("; ").expect("attributes").1.to_owned()).collect::<Vec<_>>()
    };
    let plain = "HttpOnly; SameSite=Lax";
    let expected = [format!("Max-Age=2592000; {plain}"), format!("Max-Age=34560000; {plain}")];
    assert_eq!(cookies(&monitor()), expected);
    let public = Plan::new().key("web.public_url", "https://heart.example/x/y/").start();
    assert_eq!(cookies(&public), expected.map(|cookie| cookie + "; Path=/x/y/; Secure"));
}

#[test]
fn a_form_of_another_site_changes_nothing() {
    let monitor = Plan::new().key("web.public_url", "http://heart.example/").start();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    for (name, value) in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "http://evil.example"),
        ("Origin", "https://heart.example"),
        ("Origin", "null"),
    ] {
        let mut browser = ada.clone().sends(name, value);
        for path in ["/login", "/logout", "/welcome", "/machines/add"] {
            assert_eq!(browser.post(path, &[]).status, 403, "{path} {name}: {value}");
        }
        assert!(is_signed_in(&mut ada), "not signed out");
    }
    let mut browser =
        ada.clone().sends("Origin", "http://heart.example").sends("X-Forwarded-Host", "evil.example");
    assert_eq!(location(&browser.post("/logout", &[])), (303, "./login"), "a forwarded host does not count");
}

#[test]
fn signing_out_ends_the_session_in_the_database() {
    let monitor = monitor();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let kept = ada.cookie(SESSION).expect("signed in").to_owned();
    assert_eq!(location(&ada.post("/logout", &[])), (303, "./login"));
    assert_eq!(ada.cookie(SESSION), None);
    assert!(ada.cookie(DEVICE).is_some());
    ada.set_cookie(SESSION, &kept);
    assert!(!is_signed_in(&mut ada));
    assert!(monitor.plan().says(&["user", "sessions", "ada"]).contains("is not signed in"));
}

#[test]
fn commands_end_sessions_at_once() {
    let monitor = monitor();
    let plan = || monitor.plan();
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let mut bob = Browser::signed_up(&monitor, "bob", "viewer", &[]);
    plan().says(&["user", "set", "bob", "--role", "operator"]);
    assert!(!is_signed_in(&mut bob) && is_signed_in(&mut ada));
    assert_eq!(bob.sign_in("bob", PASSWORD).status, 303);
    plan().says(&["user", "sessions", "bob", "--end"]);
    assert!(!is_signed_in(&mut bob));
    let link = link_token(&plan().token(&["user", "password", "bob"]));
    assert_eq!(bob.sign_in("bob", PASSWORD).status, 303, "the old password works until the link is used");
    let new = "another horse battery";
    let fields = [("link", link.as_str()), ("password", new), ("again", new)];
    assert_eq!(Browser::new(&monitor).post("/welcome", &fields).status, 303);
    assert!(!is_signed_in(&mut bob), "a new password ends all sessions");
    assert_eq!(bob.sign_in("bob", PASSWORD).status, 401);
    assert_eq!(bob.sign_in("bob", new).status, 303);
    plan().says(&["user", "remove", "bob"]);
    assert!(!is_signed_in(&mut bob));
    assert_eq!(bob.sign_in("bob", new).status, 401);
}

#[test]
fn a_session_ends_after_seven_idle_days() {
    let Some(mut clock) = WallClock::new() else { return };
    let monitor = clock.given_to_monitor(Plan::new()).start();
    clock.belongs_to(&monitor);
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    clock.step("+6d");
    assert!(is_signed_in(&mut ada));
    clock.step("+12d");
    assert!(is_signed_in(&mut ada), "it was used");
    clock.step("+20d");
    assert!(!is_signed_in(&mut ada));
}

#[test]
fn a_burst_of_wrong_passwords_delays_neither_heartbeats_nor_the_owner() {
    let monitor = monitor();
    let token = monitor.machine("barn");
    let mut ada = Browser::signed_up(&monitor, "ada", "owner", &[]);
    ada.post("/logout", &[]);
    let address = monitor.address();
    let flood: Vec<_> = (0..8)
        .map(|number| {
            std::thread::spawn(move || {
                let attempt = |count: usize| {
                    // Half of them at the owner's account, half at accounts that do not exist.
                    let name =
                        if count % 2 == 0 { "ada".to_owned() } else { format!("user{number}-{count}") };
                    Browser::at(address).sign_in(&name, "wrong horse battery").status
                };
                (0..25).map(attempt).collect::<Vec<_>>()
            })
        })
        .collect();
    let start = Instant::now();
    let mut heartbeats = 0;
    while heartbeats < 50 {
        let answer =
            monitor.post("/api/v1/heartbeat", &[bearer(&token)], heartbeat_daemon::wire::SAMPLE.as_bytes());
        assert!(answer.status < 300, "{answer:?}");
        heartbeats += 1;
    }
    let signed_in = Instant::now();
    assert_eq!(ada.sign_in("ada", PASSWORD).status, 303, "her browser has its own limit and queue");
    assert!(signed_in.elapsed() < Duration::from_secs(10), "{:?}", signed_in.elapsed());
    assert!(is_signed_in(&mut ada));
    let statuses: Vec<u16> = flood.into_iter().flat_map(|thread| thread.join().expect("answered")).collect();
    assert_eq!(statuses.len(), 200);
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    assert!(refused >= 170, "{refused} of 200 were refused without a hash");
    println!("{refused} of 200 refused; {heartbeats} heartbeats and the sign-in in {:?}", start.elapsed());
    let mut stranger = Browser::new(&monitor);
    let limited = stranger.sign_in("ada", PASSWORD);
    assert_eq!(limited.status, 429, "a stranger waits");
    assert!(
        limited.header("Retry-After").is_some_and(|seconds| seconds.parse::<u64>().is_ok()),
        "{limited:?}"
    );
}
