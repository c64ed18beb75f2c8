//! Networks, kernels and clocks that are not as usual.

use crate::rig::{Plan, active, health};
use crate::support::SOON;
use crate::support::lateness::in_time;
use crate::support::net::Shape;
use crate::support::wall_clock::WallClock;
use rustix::process::Signal;
use std::fmt::Write;
use std::time::{Duration, Instant};

const AT_ONCE: Duration = Duration::from_millis(50);

fn without_ipv4(mode: &'static str) {
    let mut plan = Plan::new(mode);
    plan.shape = Shape { ipv6: true, ..Shape::default() };
    plan.keys = &[("network.connectivity_check", "\"[2001:4860:4860::8888]:53\"")];
    let Some(rig) = plan.start() else { return };
    rig.settle_on_all();
    let cut = rig.net.carrier("eth0", false);
    rig.fails_over(cut, AT_ONCE, "wlan1", "failover_to_wlan1");
    rig.net.carrier("eth0", true);
    rig.next_over("eth0");
}

#[test]
fn without_ipv4_heartbeats_and_failover_work_over_ipv6_with_routes() {
    without_ipv4("routes");
}

#[test]
fn without_ipv4_heartbeats_and_failover_work_over_ipv6_with_observe() {
    without_ipv4("observe");
}

#[test]
fn on_one_subnet_the_uplink_that_is_said_is_the_uplink_that_is_used() {
    let Some(rig) =
        (Plan { shape: Shape { shared: true, ..Shape::default() }, ..Plan::new("routes") }).start()
    else {
        return;
    };
    rig.settle_on_all();
    let cut = rig.net.carrier("eth0", false);
    rig.fails_over(cut, AT_ONCE, "wlan1", "failover_to_wlan1");
    let cut = rig.net.carrier("wlan1", false);
    rig.fails_over(cut, AT_ONCE, "wlan0", "failover_to_wlan0");
}

#[test]
fn a_strict_reverse_path_filter_is_warned_of_and_routes_work_in_spite_of_it() {
    let Some(net) = Plan::new("routes").net() else { return };
    for scope in ["all", "eth0", "wlan1", "wlan0"] {
        net.device.sysctl(&format!("ipv4/conf/{scope}/rp_filter"), 1);
    }
    let Some(rig) = Plan::new("routes").start_in(net) else { return };
    rig.says("rp_filter");
    rig.server.request_that(|request| rig.came_over(request, "eth0"));
    let cut = rig.net.carrier("eth0", false);
    let request = rig.next_over("wlan1");
    in_time(cut, request.at, AT_ONCE, "failover under a strict filter");
    assert_eq!(active(&request), "wlan1");
}

#[test]
fn a_flood_of_netlink_events_loses_no_change() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    // While the daemon stands still, more events than any receive buffer holds, and the one that counts.
    rig.daemon.signal(Signal::STOP);
    let flood = |verb: &str, lines: &mut String| {
        for number in 0..2_000 {
            writeln!(lines, "addr {verb} 10.200.{}.{}/32 dev wlan0", number / 250, number % 250 + 1)
                .expect("memory");
        }
    };
    let mut lines = String::new();
    flood("add", &mut lines);
    flood("del", &mut lines);
    rig.net.device.ip_batch(&lines);
    rig.net.carrier("eth0", false);
    rig.net.device.ip_batch(&lines);
    let awake = Instant::now();
    rig.daemon.signal(Signal::CONT);
    // At most one dump a second.
    rig.fails_over(awake, Duration::from_millis(1_050), "wlan1", "failover_to_wlan1");
    rig.wait("eth0 down", |seen| health(seen, "eth0") == "down" && health(seen, "wlan0") == "valid");
}

#[test]
fn four_hundred_addresses_while_it_runs_cost_no_switch() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    let mut lines = String::new();
    for verb in ["add", "del"] {
        for number in 0..400 {
            writeln!(lines, "addr {verb} 10.200.{}.{}/32 dev eth0", number / 250, number % 250 + 1)
                .expect("memory");
        }
    }
    rig.net.device.ip_batch(&lines);
    rig.stays(Duration::from_secs(1), "eth0");
    let cut = rig.net.carrier("eth0", false);
    rig.fails_over(cut, AT_ONCE, "wlan1", "failover_to_wlan1");
}

#[test]
fn a_daemon_that_stood_still_as_in_a_suspend_sees_no_false_death_and_makes_no_burst() {
    let Some(rig) = (Plan { interval: "1s", ..Plan::new("routes") }).start() else { return };
    rig.settle_on_all();
    rig.daemon.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(6));
    rig.server.requests_during(Duration::ZERO);
    rig.daemon.signal(Signal::CONT);
    let awake = rig.server.requests_during(Duration::from_secs(3));
    // One that was due, and one a second from then on.
    assert!((2..=5).contains(&awake.len()), "{} heartbeats in 3 s", awake.len());
    assert!(awake.iter().all(|request| rig.came_over(request, "eth0")), "{awake:?}");
    rig.has_never_switched();
}

fn a_clock_that_steps(offset: &str) {
    let Some(mut clock) = WallClock::new() else { return };
    let plan = Plan { interval: "1s", ..Plan::new("routes") };
    let Some(net) = plan.net() else { return };
    let setup = clock.given_to(plan.setup());
    let mut rig = plan.start_with(net, setup);
    clock.belongs_to(&rig.daemon);
    rig.settle_on_all();
    clock.step(offset);
    let after = rig.server.requests_during(Duration::from_secs(7));
    // One a second, and the beat does not know the wall clock.
    assert!((5..=9).contains(&after.len()), "{} heartbeats in 7 s", after.len());
    assert!(after.iter().all(|request| health(request, "eth0") == "valid"), "{after:?}");
    rig.has_never_switched();
    let cut = rig.net.carrier("eth0", false);
    rig.fails_over(cut, AT_ONCE, "wlan1", "failover_to_wlan1");
    rig.daemon.signal(Signal::TERM);
    rig.daemon.wait_for_end(SOON);
}

#[test]
fn a_wall_clock_that_steps_a_year_ahead_makes_no_false_death_and_no_burst() {
    a_clock_that_steps("+365d");
}

#[test]
fn a_wall_clock_that_steps_a_year_back_makes_no_false_death_and_no_gap() {
    a_clock_that_steps("-365d");
}
