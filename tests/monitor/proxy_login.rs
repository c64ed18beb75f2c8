//! Sign-in by a header of a proxy. The shipped examples delete the header of clients: see `proxies`.

use crate::support::browser::{Browser, PASSWORD};
use crate::support::monitor::{Monitor, Plan, request};
use std::net::SocketAddr;

/// Listens on IPv4 and IPv6; 127.0.0.1 may name users.
fn monitor(proxies: &str) -> Monitor {
    let plan = Plan::new().key("web.public_url", "https://heart.example/");
    let monitor = plan.key("web.login_header", "Remote-User").toml("web.login_proxies", proxies).start();
    monitor.plan().says(&["user", "add", "ada", "--role", "owner"]);
    monitor.plan().says(&["user", "add", "bob", "--role", "viewer"]);
    monitor
}

fn account(address: SocketAddr, headers: &[(&str, &str)]) -> u16 {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    request(address, "GET", "/account", &headers, b"").status
}

#[test]
fn a_listed_proxy_names_an_existing_user() {
    let monitor = monitor("[\"127.0.0.1\"]");
    let account = |headers: &[(&str, &str)]| account(monitor.address(), headers);
    assert_eq!(account(&[("Remote-User", "ada")]), 200);
    assert_eq!(account(&[("remote-user", " bob ")]), 200);
    assert_eq!(account(&[]), 303, "no header");
    assert_eq!(account(&[("Remote-User", "")]), 303, "not signed in there");
    for _ in 0..3 {
        assert_eq!(account(&[("Remote-User", "eve")]), 303, "no such user");
        assert_eq!(account(&[("Remote-User", "ada"), ("Remote-User", "ada")]), 303, "twice");
        assert_eq!(account(&[("Remote-User", "ada"), ("Remote-User", "bob")]), 303, "twice");
    }
    assert_eq!(monitor.log_lines("ignored Remote-User").len(), 2, "each reason once: {:?}", monitor.log());
    let users = |name: &str| {
        request(monitor.address(), "GET", "/settings/users", &[("Remote-User", name.into())], b"").status
    };
    assert_eq!((users("ada"), users("bob")), (200, 403), "with the user's role");
}

#[test]
fn a_header_from_elsewhere_is_ignored_whatever_it_says_of_its_origin() {
    let monitor = monitor("[\"192.0.2.1\"]");
    for _ in 0..3 {
        let headers =
            [("Remote-User", "ada"), ("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1")];
        assert_eq!(account(monitor.address(), &headers), 303);
    }
    let lines =
        monitor.log_lines("ignored Remote-User of a request: 127.0.0.1 is not in [web] login_proxies");
    assert_eq!(lines.len(), 1, "{:?}", monitor.log());
}

#[test]
fn a_trusted_proxy_that_is_not_listed_cannot_name_users() {
    let plan =
        Plan::new().key("web.public_url", "https://heart.example/").key("web.login_header", "Remote-User");
    let plan =
        plan.toml("web.login_proxies", "[\"192.0.2.1\"]").toml("http.trusted_proxies", "[\"127.0.0.1\"]");
    let monitor = plan.start();
    monitor.plan().says(&["user", "add", "ada", "--role", "owner"]);
    let headers = [("Remote-User", "ada"), ("X-Forwarded-For", "192.0.2.1")];
    assert_eq!(account(monitor.address(), &headers), 303, "a forwarded address is not compared");
}

#[test]
fn without_login_header_nobody_is_named() {
    let monitor = Plan::new().start();
    monitor.plan().says(&["user", "add", "ada", "--role", "owner"]);
    assert_eq!(account(monitor.address(), &[("Remote-User", "ada")]), 303);
}

#[test]
fn forms_are_accepted_from_our_own_pages_and_sensitive_changes_need_a_password() {
    let monitor = monitor("[\"127.0.0.1\"]");
    let zone = [("action", "zone"), ("zone", "")];
    let mut ours =
        Browser::new(&monitor).sends("Remote-User", "ada").sends("Origin", "https://heart.example");
    assert_eq!(ours.post("/account", &zone).status, 303);
    for (name, value) in [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        let mut other = Browser::new(&monitor).sends("Remote-User", "ada").sends(name, value);
        assert_eq!(other.post("/account", &zone).status, 403, "{name}: {value}");
    }
    let remove = [("action", "totp-off"), ("current", PASSWORD)];
    let refused = ours.post("/account", &remove);
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("You have no password"), "{}", refused.body);
}
