//! A device with three uplinks, and the monitor in the internet: a lost cable is no outage, a lost device is one.

use crate::rig::{WebhookReceiver, becomes, text};
use crate::support::lateness::in_time;
use crate::support::monitor::{Monitor, Plan};
use crate::support::net::{Net, Shape, UPLINKS, obstacle, setup};
use crate::support::server::{Reply, Server};
use crate::support::{eventually, skip};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Back online in the API after a failover; the original promised 1 to 3 s.
const PROMISE: Duration = Duration::from_secs(1);

fn latest(net: &Net, monitor: &Monitor, reader: &str) -> Value {
    net.internet.enter(|| monitor.get_as(reader, "/api/v1/machines/1")).json()
}

#[test]
fn a_failover_is_seen_at_once_and_not_notified_and_a_dead_device_is_notified() {
    if let Some(reason) = obstacle() {
        return skip(reason);
    }
    let net = Net::new(Shape::default()).expect("as it was possible before");
    let _resolver = net.resolver();
    let plan = Plan::new().key("http.listen", &format!("{}:8080", net.server_ip()));
    let webhook = WebhookReceiver::by(&plan, Server::on(net.listen(0), None, |_| Reply::ok()));
    let monitor = net.internet.enter(|| plan.start());
    let (token, reader) = net.internet.enter(|| (monitor.machine("barn-cam"), monitor.reader()));
    let setup = setup("observe").to(&monitor.url("/api/v1/heartbeat")).token(&token);
    let command = net.become_daemon();
    let daemon = net.device.enter(|| setup.start_as(command));
    daemon.wait_for_line("of the start", |line| line.contains("sends a heartbeat to"));
    net.internet.enter(|| becomes(&monitor, &reader, 1, "online"));
    eventually("all uplinks are good", || {
        let uplinks = &latest(&net, &monitor, &reader)["latest"]["connection"]["uplinks"];
        let uplinks = uplinks.as_array().map_or(&[][..], Vec::as_slice);
        let is_valid = |uplink: &&Value| text(&uplink["health"]) == "valid";
        let valid: Vec<&str> =
            uplinks.iter().filter(is_valid).map(|uplink| text(&uplink["interface"])).collect();
        valid == UPLINKS
    });

    let uplinks = latest(&net, &monitor, &reader)["latest"]["connection"]["uplinks"].clone();
    let names: Vec<&str> =
        uplinks.as_array().into_iter().flatten().map(|uplink| text(&uplink["interface"])).collect();
    assert_eq!(names, ["eth0", "end0", "wlan1", "wlan0"], "as configured");
    let proven: Vec<Option<u64>> = (0..4).map(|place| uplinks[place]["proven_s"].as_u64()).collect();
    let recently = |place: usize| proven[place].is_some_and(|seconds| seconds < 60);
    assert!(recently(0) && recently(2) && recently(3) && proven[1].is_none(), "{uplinks}");

    let cut = net.carrier("eth0", false);
    let active = || text(&latest(&net, &monitor, &reader)["latest"]["connection"]["active"]).to_owned();
    eventually("the monitor knows of the failover", || active() == "wlan1");
    in_time(cut, Instant::now(), PROMISE, "failover seen by the monitor");
    webhook.nothing_for(Duration::from_secs(5));

    let dead = Instant::now();
    for uplink in ["wlan1", "wlan0"] {
        net.carrier(uplink, false);
    }
    let offline = webhook.says("machine.offline", "barn-cam");
    in_time(dead, offline.at, Duration::from_secs(3 + 1 + 1), "notified of the loss of all uplinks");
    net.carrier("wlan0", true);
    webhook.says("machine.online", "barn-cam");
    eventually("the monitor knows of the last uplink", || active() == "wlan0");
}
