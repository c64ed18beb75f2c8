//! The server's wall clock is set, by hand or by NTP: nobody is told for it, and it is watched on.

use crate::rig::{Told, becomes, daemon};
use crate::support::monitor::Plan;
use crate::support::wall_clock::WallClock;
use rustix::process::Signal;
use std::time::Duration;

/// Threshold, check interval, and a second.
const LONG_ENOUGH: Duration = Duration::from_secs(5);

fn a_step_is_told_to_nobody(offset: &str, way: &str) {
    let Some(mut clock) = WallClock::new() else { return };
    let plan = clock.given_to_monitor(Plan::new());
    let told = Told::of(&plan);
    let monitor = plan.start();
    clock.belongs_to(&monitor);
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let daemon = daemon(&monitor, &token);
    becomes(&monitor, &reader, 1, "online");

    clock.step(offset);
    monitor.wait_for_line("of the step", |line| line.contains(&format!("The clock jumped {way} by ")));
    told.nothing_for(LONG_ENOUGH);
    becomes(&monitor, &reader, 1, "online");

    daemon.signal(Signal::STOP);
    told.says("machine.offline", "barn");
    daemon.signal(Signal::CONT);
    told.says("machine.online", "barn");
}

#[test]
fn a_clock_that_steps_a_day_ahead_makes_nobody_late() {
    a_step_is_told_to_nobody("+1d", "forwards");
}

#[test]
fn a_clock_that_steps_a_day_back_makes_nobody_late_and_hides_nobody() {
    a_step_is_told_to_nobody("-1d", "back");
}
