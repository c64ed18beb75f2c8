//! Steps of the wall clock, as they happen on a board without a battery when NTP comes up.

use crate::support::SOON;
use crate::support::daemon::Setup;
use crate::support::lateness::{self, in_time};
use crate::support::server::{Reply, Server};
use crate::support::wall_clock::WallClock;
use rustix::process::Signal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const A_YEAR: f64 = 365.0 * 86_400.0;

fn a_step_is_survived(step: &str, seconds: f64) {
    let Some(mut clock) = WallClock::new() else { return };
    lateness::watch();
    let server = Server::always(Reply::ok());
    let mut daemon = clock.given_to(Setup::new().to(&server.url("/"))).start();
    clock.belongs_to(&daemon);
    let off_by = |timestamp: &serde_json::Value| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        timestamp.as_f64().expect("a number") - now
    };
    let before = server.requests(4);
    assert!(off_by(&before[3].json()["timestamp"]).abs() < 5.0, "not yet stepped");
    clock.step(step);
    let after = server.requests(6);
    let stepped = off_by(&after[5].json()["timestamp"]) - seconds;
    assert!(stepped.abs() < 2.0 * 86_400.0, "the timestamp follows the clock, and is off by {stepped} s");
    let all = [before, after].concat();
    // The first gap is the random phase. Of two that came late together the second seems to follow at once; over all
    // of them that does not add up to a burst.
    let beats = &all[1..];
    let (gaps, took) = (beats.len() - 1, beats[beats.len() - 1].at - beats[0].at);
    assert!(took > Duration::from_millis(500) * gaps as u32, "a burst: {gaps} seconds in {took:?}");
    for pair in beats.windows(2) {
        in_time(pair[0].at, pair[1].at, Duration::from_secs(2), "the next one");
    }
    daemon.signal(Signal::TERM);
    assert!(daemon.wait_for_end(SOON).0.success());
}

#[test]
fn a_clock_that_steps_a_year_ahead_makes_no_burst() {
    a_step_is_survived("+365d", A_YEAR);
}

#[test]
fn a_clock_that_steps_a_year_back_makes_no_gap() {
    a_step_is_survived("-365d", -A_YEAR);
}
