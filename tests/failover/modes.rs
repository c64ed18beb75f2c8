//! Where a person, another process or the configuration says what is used.

use crate::rig::{Plan, active, state};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::time::Duration;

const AT_ONCE: Duration = Duration::from_millis(50);

#[test]
fn a_manual_override_holds_against_the_ranks_and_ends_with_auto() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    rig.command(&["failover", "manual", "wlan0"]);
    let seen = rig.wait("overridden", |seen| rig.came_over(seen, "wlan0"));
    assert_eq!((active(&seen).as_str(), state(&seen).as_str()), ("wlan0", "manual_override"));
    rig.net.carrier("wlan1", false);
    rig.net.carrier("wlan1", true);
    rig.stays(Duration::from_secs(7), "wlan0");
    assert!(rig.command(&["failover", "status"]).contains("manual_override"));
    rig.command(&["failover", "auto"]);
    rig.wait("back to the ranks", |seen| rig.came_over(seen, "eth0") && state(seen) != "manual_override");
}

#[test]
fn a_manual_override_with_a_time_to_live_ends_by_itself() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    rig.command(&["failover", "manual", "wlan1", "--for", "2s"]);
    rig.wait("overridden", |seen| rig.came_over(seen, "wlan1") && state(seen) == "manual_override");
    rig.wait("over", |seen| rig.came_over(seen, "eth0") && state(seen) != "manual_override");
}

#[test]
fn a_failover_lock_that_another_process_holds_forbids_every_switch_until_it_is_released() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    let path = rig.daemon.setup().scratch().path().join("failover.lock");
    let file = File::options().create(true).append(true).open(path).expect("a lock file");
    flock(&file, FlockOperation::LockExclusive).expect("nobody holds it for long");
    rig.net.carrier("eth0", false);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(rig.net.our_routes(), "", "no switch while another process has the lock");
    drop(file);
    // Heartbeats went over wlan1 all the time: the race sees to that, whatever is chosen.
    rig.wait("switched", |seen| rig.came_over(seen, "wlan1") && active(seen) == "wlan1");
}

#[test]
fn an_access_point_of_our_own_is_never_an_uplink() {
    let keys = &[("network.ap_interfaces", "[\"wlan1\"]")];
    let Some(rig) = (Plan { keys, ..Plan::new("routes") }).start() else { return };
    rig.settle(&["eth0", "wlan0"]);
    let cut = rig.net.carrier("eth0", false);
    rig.fails_over(cut, AT_ONCE, "wlan0", "failover_to_wlan0");
}

#[test]
fn mode_off_leaves_everything_to_the_kernel() {
    let Some(rig) = (Plan { interval: "1s", ..Plan::new("off") }).start() else { return };
    rig.next_over("eth0");
    rig.net.device.ip("link set eth0 down");
    // The route is gone with the link, and the kernel takes the next one.
    rig.next_over("wlan1");
    assert_eq!(rig.net.our_routes(), "");
}
