//! Status pages: who can open one, and that nothing leaks.

use crate::support::browser::Browser;
use crate::support::eventually;
use crate::support::monitor::{Answer, Monitor, Plan, bearer};
use std::time::{Duration, Instant};

/// A machine that is up and one that was never seen, in the group "barn"; real names, host names and addresses are secret.
fn site() -> Monitor {
    let monitor = Plan::new().toml("detection.offline_threshold", "\"24h\"").start();
    let token = monitor.machine("secret-cam");
    monitor.machine("secret-gate");
    for name in ["secret-cam", "secret-gate"] {
        monitor.plan().says(&[
            "machine",
            "set",
            name,
            "--group",
            "barn",
            "--hostname",
            "secret-host",
            "--description",
            "secret-place",
            "--tag",
            "secret-tag",
        ]);
    }
    let beat = heartbeat_daemon::wire::SAMPLE.as_bytes();
    assert!(monitor.post("/api/v1/heartbeat", &[bearer(&token)], beat).status < 300);
    monitor
}

fn set(monitor: &Monitor, access: &str) -> String {
    let link = monitor.plan().token(&["status-page", "set", "barn", access]);
    link.strip_prefix("http://ADDRESS").expect("a link to be filled in").to_owned()
}

/// The page, as soon as the monitor knows of it.
#[track_caller]
fn shown(monitor: &Monitor, path: &str) -> Answer {
    eventually("the page is open", || monitor.get(path).status == 200);
    monitor.get(path)
}

/// Head without what differs from one answer to the next, and body.
fn without_date(answer: &Answer) -> (String, String) {
    let lines = answer.head.lines().filter(|line| !line.starts_with("Date:"));
    (lines.collect::<Vec<_>>().join("\n"), answer.body.clone())
}

#[test]
fn a_public_page_shows_label_state_and_uptime_and_nothing_else() {
    let monitor = site();
    monitor.plan().says(&["status-page", "label", "secret-gate", "North <b>gate</b> & \"co\""]);
    monitor.plan().says(&["machine", "pause", "secret-gate", "--for", "1h", "--reason", "secret-reason"]);
    let path = set(&monitor, "--public");
    assert_eq!(path, "/status/barn");
    eventually("both are shown", || shown(&monitor, &path).body.contains("1 of 2 is up"));
    let page = shown(&monitor, &path);
    for text in
        ["barn 1", "North &#60;b&#62;gate&#60;/b&#62; &#38; &#34;co&#34;", ">Up<", ">Unknown<", "100 %"]
    {
        assert!(page.body.contains(text), "{text} in {}", page.body);
    }
    let badge = shown(&monitor, "/status/barn/badge.svg");
    for body in [&page.body, &badge.body] {
        for secret in ["secret", "127.0.0.1", "192.168", "cam", "eth0", "<b>"] {
            assert!(!body.contains(secret), "{secret} in {body}");
        }
    }
    assert!(page.header("X-Robots-Tag").is_none());
    assert_eq!(page.header("Cache-Control"), Some("public, max-age=5"));
    for answer in [&page, &badge] {
        assert!(answer.header("Content-Security-Policy").expect("a policy").contains("default-src 'none'"));
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(answer.header("Referrer-Policy"), Some("no-referrer"));
        assert!(answer.header("Set-Cookie").is_none());
    }
}

#[test]
fn a_badge_is_an_image_and_its_group_is_no_markup() {
    let monitor = site();
    for name in ["secret-cam", "secret-gate"] {
        monitor.plan().says(&["machine", "set", name, "--group", "A & <b>"]);
    }
    let link = monitor.plan().token(&["status-page", "set", "A & <b>", "--public"]);
    assert!(link.ends_with("/status/a-b"), "{link}");
    let badge = shown(&monitor, "/status/a-b/badge.svg");
    assert_eq!(badge.header("Content-Type"), Some("image/svg+xml"));
    assert!(badge.body.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\""), "{}", badge.body);
    assert!(badge.body.contains("<title>A &#38; &#60;b&#62;: Up</title>"), "{}", badge.body);
    let mut open = Vec::new();
    // Each element is closed in the order in which it was opened.
    for tag in badge.body.split('<').skip(1).map(|rest| rest.split('>').next().expect("a tag")) {
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{}", badge.body),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().expect("a name")),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_secret_link_is_revoked_by_the_next_one_and_by_off() {
    let monitor = site();
    let first = set(&monitor, "--secret-link");
    let page = shown(&monitor, &first);
    assert_eq!(page.header("Referrer-Policy"), Some("no-referrer"));
    assert_eq!(page.header("X-Robots-Tag"), Some("noindex"));
    assert_eq!(page.header("Cache-Control"), Some("private, max-age=5"));
    assert!(page.body.contains("<meta name=\"robots\" content=\"noindex\">"));
    assert_eq!(shown(&monitor, &format!("{first}/badge.svg")).header("X-Robots-Tag"), Some("noindex"));
    assert_eq!(monitor.get("/status/barn").status, 404, "it is not public");
    let second = set(&monitor, "--secret-link");
    shown(&monitor, &second);
    assert_eq!(monitor.get(&first).status, 404);
    let list = monitor.plan().says(&["status-page", "list"]);
    assert!(!list.contains("hbp_") && list.contains("secret link"), "{list}");
    monitor.plan().says(&["status-page", "off", "barn"]);
    eventually("the page is off", || monitor.get(&second).status == 404);
}

#[test]
fn an_address_without_a_page_looks_the_same_whatever_the_reason() {
    let monitor = site();
    let revoked = set(&monitor, "--secret-link");
    shown(&monitor, &revoked);
    set(&monitor, "--public");
    shown(&monitor, "/status/barn");
    monitor.plan().says(&["status-page", "off", "barn"]);
    eventually("the page is off", || monitor.get("/status/barn").status == 404);
    let unknown = without_date(&monitor.get("/status/unknown"));
    assert!(unknown.0.contains("noindex") && unknown.0.contains("no-store"), "{}", unknown.0);
    let long = format!("/status/{}", "x".repeat(2_000));
    let guessed = format!("/status/hbp_{}", "A".repeat(43));
    for path in ["/status/barn", &revoked, &long, &guessed, "/status/%FF", "/status/..%2F", "/status/mill"] {
        assert_eq!(without_date(&monitor.get(path)), unknown, "{path}");
        assert_eq!(without_date(&monitor.get(&format!("{path}/badge.svg"))), unknown, "{path}");
    }
    let time = |path: &str| {
        let times = (0..40).map(|_| {
            let start = Instant::now();
            assert_eq!(monitor.get(path).status, 404);
            start.elapsed()
        });
        times.min().expect("a time")
    };
    let (unknown, revoked) = (time("/status/unknown"), time(&revoked));
    assert!(unknown.abs_diff(revoked) < Duration::from_millis(5), "{unknown:?} {revoked:?}");
}

#[test]
fn only_reading_is_possible_and_a_session_makes_no_difference() {
    let monitor = site();
    let path = set(&monitor, "--public");
    let page = shown(&monitor, &path);
    let mut owner = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let seen = owner.get(&path);
    assert!(!seen.body.contains("ada") && !seen.body.contains("secret"));
    assert_eq!(page.body.matches("<form").count(), 0);
    assert_eq!(monitor.post(&path, &[], b"x=1").status, 405);
    assert_eq!(monitor.request("HEAD", &path, &[], b"").body, "");
}

#[test]
fn without_pages_there_is_no_status_page() {
    let monitor = site();
    set(&monitor, "--public");
    shown(&monitor, "/status/barn");
    let mut monitor = monitor;
    monitor.reconfigure("web.enabled", "false");
    let monitor = monitor.restart();
    assert_eq!(monitor.get("/status/barn").status, 404);
    let said = monitor.plan().says(&["status-page", "set", "barn", "--public"]);
    assert!(said.contains("[web] enabled"), "{said}");
}

/// The link that the settings show once.
#[track_caller]
fn shown_link(page: &str) -> String {
    let link = page.split_once("<pre id=\"link\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let link = link.unwrap_or_else(|| panic!("no link: {page}")).0;
    link.strip_prefix("http://ADDRESS").expect("to be filled in").to_owned()
}

#[test]
fn an_owner_switches_a_page_on_and_off_and_a_link_is_shown_once() {
    let monitor = site();
    let mut owner = Browser::signed_up(&monitor, "ada", "owner", &[]);
    let switch =
        |owner: &mut Browser, what| owner.post("/settings/status", &[("do", what), ("group", "barn")]);
    assert!(owner.get("/settings/status").body.contains("<td>off</td>"));
    assert_eq!(switch(&mut owner, "public").status, 303);
    // At once: the page that changes it forgets what was kept.
    assert_eq!(monitor.get("/status/barn").status, 200);
    assert!(owner.get("/settings/status").body.contains("href=\"../status/barn\""));
    let first = shown_link(&switch(&mut owner, "secret-link").body);
    assert_eq!((monitor.get("/status/barn").status, monitor.get(&first).status), (404, 200));
    let page = owner.get("/settings/status").body;
    assert!(!page.contains("hbp_") && page.contains("<td>secret link</td>"), "{page}");
    let second = shown_link(&switch(&mut owner, "secret-link").body);
    assert_eq!((monitor.get(&first).status, monitor.get(&second).status), (404, 200));
    assert_eq!(switch(&mut owner, "off").status, 303);
    assert_eq!(monitor.get(&second).status, 404);
    for (what, group) in [("public", "nowhere"), ("dance", "barn")] {
        let refused = owner.post("/settings/status", &[("do", what), ("group", group)]);
        assert_eq!(refused.status, 400);
        assert!(refused.body.contains("role=\"alert\""), "{}", refused.body);
    }
    let audit = owner.audit_log("");
    for action in ["status_page.public", "status_page.secret_link", "status_page.off"] {
        assert!(
            audit.contains(&format!("<td>ada</td><td>127.0.0.1</td><td>{action}</td><td>barn</td>")),
            "{audit}"
        );
    }
    assert!(!audit.contains("hbp_"));
}

#[test]
fn a_label_is_set_and_removed_in_the_settings_and_is_no_markup() {
    let monitor = site();
    let mut owner = Browser::signed_up(&monitor, "ada", "owner", &[]);
    set(&monitor, "--public");
    shown(&monitor, "/status/barn");
    let evil = "<script>alert(1)</script>\" onload=\"x";
    let label = |owner: &mut Browser, machine, text| {
        owner.post("/settings/status", &[("do", "label"), ("machine", machine), ("label", text)]).status
    };
    assert_eq!(label(&mut owner, "secret-gate", evil), 303);
    for body in [
        owner.get("/settings/status").body,
        owner.get("/settings/audit").body,
        monitor.get("/status/barn").body,
    ] {
        assert!(!body.contains("<script>alert") && body.contains("&#60;script&#62;alert(1)"), "{body}");
        assert!(!body.contains("\" onload"), "{body}");
    }
    assert_eq!(label(&mut owner, "2", ""), 303);
    assert!(monitor.get("/status/barn").body.contains("barn 2"));
    assert_eq!(label(&mut owner, "silo", "x"), 400);
}
