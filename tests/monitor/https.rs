//! HTTPS of the monitor's own, with a certificate that is renewed while it serves.

use crate::support::daemon::{Daemon, Setup};
use crate::support::eventually;
use crate::support::https::Authority;
use crate::support::monitor::{Monitor, Plan};
use rustix::process::Signal;
use std::fs;
use std::path::Path;

const NAMES: [&str; 2] = ["127.0.0.1", "::1"];

/// Certificate and key under the names that a configuration has for them.
pub fn renew(authority: &Authority, directory: &Path) -> (String, String) {
    let identity = authority.server_pem(&NAMES);
    let place = |name: &str| directory.join(name).to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (place("certificate.pem"), place("key.pem"));
    fs::write(&certificate, identity.certificate_pem).expect("written");
    fs::write(&key, identity.key_pem).expect("written");
    (certificate, key)
}

/// A daemon that sends there and trusts this authority only.
pub fn daemon(url: &str, token: &str, authority: &Authority) -> Daemon {
    let setup = Setup::new().to(url).token(token);
    let file = setup.scratch().file("ca.pem", &authority.pem);
    setup.key("heartbeat.ca_file", &file).start()
}

/// Tokens are made before the start, since requests of these tests do not speak TLS.
fn tokens(plan: &Plan, machines: &[&str]) -> Vec<String> {
    machines.iter().map(|name| plan.token(&["machine", "add", name])).collect()
}

fn is_online(monitor: &Monitor, name: &str) -> bool {
    let list = monitor.plan().says(&["machine", "list"]);
    list.lines().any(|line| line.contains(name) && line.contains(" online "))
}

#[test]
fn a_renewed_certificate_is_shown_after_a_reload_and_a_broken_one_is_refused() {
    let (old, new) = (Authority::new(), Authority::new());
    let plan = Plan::new();
    let (certificate, key) = renew(&old, plan.scratch().path());
    let tokens = tokens(&plan, &["barn", "gate"]);
    let plan = plan.key("http.certificate_file", &certificate).key("http.key_file", &key);
    let monitor = plan.start();
    let url = format!("https://{}/api/v1/heartbeat", monitor.address());
    let first = daemon(&url, &tokens[0], &old);
    eventually("a daemon that trusts the old one is heard", || is_online(&monitor, "barn"));

    fs::write(&key, "no key").expect("written");
    monitor.signal(Signal::HUP);
    monitor.wait_for_line("of the refusal", |line| line.ends_with("keeping the old configuration"));
    renew(&new, plan_path(&monitor));
    monitor.signal(Signal::HUP);
    monitor.wait_for_line("of the reload", |line| line.contains("configuration reloaded"));
    let second = daemon(&url, &tokens[1], &new);
    eventually("a daemon that trusts the new one is heard", || is_online(&monitor, "gate"));
    drop((first, second));
}

fn plan_path(monitor: &Monitor) -> &Path {
    monitor.plan().scratch().path()
}
