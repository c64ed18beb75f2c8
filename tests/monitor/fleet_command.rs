//! `heartbeat-monitor fleet` against the real monitor: each outage that it causes is announced once, and it says so.

use crate::support::https::Authority;
use crate::support::lasting_address;
use crate::support::monitor::{Monitor, Plan};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Output, Stdio};

/// Adds a webhook that leads there.
fn webhook(plan: &Plan, name: &str, address: SocketAddr, secret: &str) {
    let url = format!("http://{address}/hook");
    plan.says(&["recipient", "add", name, "--events", "offline,online"]);
    plan.says(&["channel", "add", "webhook", &url, "--recipient", name, "--secret-file", secret]);
}

fn start(monitor: &Monitor, arguments: &[&str]) -> Child {
    let mut command = monitor.plan().command(&[&["fleet"], arguments].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the simulation starts")
}

/// A figure of its report.
#[track_caller]
fn figure(output: &Output, name: &str) -> f64 {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {output:?}"));
    line.split(' ').nth(1).and_then(|value| value.parse().ok()).expect("a number")
}

#[test]
fn each_outage_of_a_simulated_fleet_is_announced_once_and_a_missing_message_is_an_error() {
    let [heard, unheard] = [lasting_address(), lasting_address()];
    let authority = Authority::new();
    let plan = Plan::new().key("detection.offline_threshold", "2s");
    let (certificate, key) = crate::https::renew(&authority, plan.scratch().path());
    let ca = plan.scratch().file("ca.pem", &authority.pem);
    let [secret, other] =
        ["right", "wrong"].map(|name| plan.scratch().file(name, &format!("{name}-secret\n")));
    let plan = plan.key("http.certificate_file", &certificate).key("http.key_file", &key);
    webhook(&plan, "first", heard, &secret);
    webhook(&plan, "second", unheard, &secret);
    let monitor = plan.start();
    let url = format!("https://{}/api/v1/heartbeat", monitor.address());
    let both = ["--url", &url, "--ca-file", &ca, "--interval", "500ms", "--duration", "12s", "--slack", "2s"];
    let simulate = |address: SocketAddr, secret: &str, more: &[&str]| {
        let alerts = address.to_string();
        let of_each = ["--alerts", &alerts, "--secret-file", secret, "--machines", "40"];
        start(&monitor, &[&both[..], &of_each, more].concat())
    };
    let first = simulate(heard, &secret, &["--outages", "10", "--churn", "5", "--seed", "7"]);
    let second = simulate(unheard, &other, &["--outages", "5", "--first", "101", "--connections", "new"]);
    let [first, second] = [first, second].map(|child| child.wait_with_output().expect("it ends"));

    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let of = |name| figure(&first, name);
    assert_eq!([of("outages"), of("alerts_offline"), of("alerts_online")], [10.0, 10.0, 10.0]);
    assert_eq!([of("missing"), of("doubled"), of("false"), of("late"), of("pending")], [0.0; 5]);
    assert_eq!([of("machines"), of("connections"), of("refused_messages")], [40.0, 40.0, 0.0]);
    assert_eq!(of("sent"), of("acknowledged"), "{first:?}");
    assert!(of("other_messages") >= 5.0 && of("churned") >= 50.0, "{first:?}");

    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let of = |name| figure(&second, name);
    assert_eq!([of("outages"), of("alerts_offline"), of("alerts_online")], [5.0, 0.0, 0.0]);
    assert_eq!(of("missing"), 10.0, "its receiver refuses all messages: {second:?}");
    assert!(of("refused_messages") >= 5.0, "{second:?}");
    let list = monitor.plan().says(&["machine", "list"]);
    assert!(!list.contains("simulated-"), "they are removed: {list}");
}

#[test]
fn the_tokens_of_a_file_serve_several_simulations_and_a_wrong_one_is_counted() {
    let monitor = Plan::new().start();
    let file = monitor.plan().scratch().path().join("tokens");
    let path = file.to_str().expect("UTF-8");
    monitor.plan().says(&["fleet", "--machines", "20", "--write-tokens", path]);
    let tokens = fs::read_to_string(&file).expect("a file");
    assert_eq!(tokens.lines().count(), 20);
    fs::write(&file, tokens.replacen(tokens.lines().nth(19).expect("the last"), "wrong", 1))
        .expect("written");
    // The second server never responds: half of the machines prefer it, and go to the first after 2 s.
    let hanging = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = monitor.url("/api/v1/heartbeat");
    let other = format!("http://{}/", hanging.local_addr().expect("bound"));
    let common =
        ["--url", &url, "--url", &other, "--interval", "500ms", "--duration", "2s", "--tokens", path];
    let [first, second] = ["1", "11"]
        .map(|number| start(&monitor, &[&common[..], &["--machines", "10", "--first", number]].concat()));
    let [first, second] = [first, second].map(|child| child.wait_with_output().expect("it ends"));
    assert_eq!((first.status.code(), second.status.code()), (Some(0), Some(0)), "{first:?} {second:?}");
    assert!(figure(&first, "acknowledged") >= 30.0, "{first:?}");
    assert_eq!([figure(&first, "unready_at_begin"), figure(&second, "unready_at_begin")], [0.0, 1.0]);
    assert!(figure(&second, "status_401") >= 3.0, "{second:?}");
    let list = monitor.plan().says(&["machine", "list"]);
    assert_eq!(list.matches("simulated-").count(), 20, "{list}");
    assert_eq!(monitor.plan().says(&["fleet", "--remove"]), "removed 20 machines\n");
}
