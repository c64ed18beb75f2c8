//! Steps of the wall clock, as they happen on a board without a battery when NTP comes up.

use crate::support::SOON;
use crate::support::daemon::Setup;
use crate::support::server::{Reply, Server};
use crate::support::skip;
use rustix::process::Signal;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const A_YEAR: f64 = 365.0 * 86_400.0;

/// Where Debian's package libfaketime puts it: /usr/lib/<architecture>/faketime/.
fn faketime() -> Option<String> {
    let found = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| Path::exists(path));
    if found.is_none() {
        skip("no libfaketime (apt-get install libfaketime)");
    }
    found.map(|path| path.to_str().expect("UTF-8").to_owned())
}

/// libfaketime removes what it puts into /dev/shm when its process ends in an orderly way, and only then.
struct LeftByFaketime(Option<u32>);

impl Drop for LeftByFaketime {
    fn drop(&mut self) {
        let Some(pid) = self.0 else { return };
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            // Usually gone.
            let _ = std::fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }
}

fn a_step_is_survived(step: &str, seconds: f64) {
    let Some(library) = faketime() else { return };
    let mut left = LeftByFaketime(None);
    let server = Server::always(Reply::ok());
    let setup = Setup::new().to(&server.url("/"));
    let offset = setup.scratch().file("offset", "+0");
    let mut daemon = setup
        .env("LD_PRELOAD", &library)
        .env("FAKETIME_TIMESTAMP_FILE", &offset)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .start();
    left.0 = Some(daemon.pid());
    let off_by = |timestamp: &serde_json::Value| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        timestamp.as_f64().expect("a number") - now
    };
    let before = server.requests(4);
    assert!(off_by(&before[3].json()["timestamp"]).abs() < 5.0, "not yet stepped");
    // In one step, as the kernel does it: never an empty file.
    let next = daemon.setup().scratch().file("offset.new", step);
    std::fs::rename(next, offset).expect("the same directory");
    let after = server.requests(6);
    let stepped = off_by(&after[5].json()["timestamp"]) - seconds;
    assert!(stepped.abs() < 2.0 * 86_400.0, "the timestamp follows the clock, and is off by {stepped} s");
    let all = [before, after].concat();
    // The first gap is the random phase.
    for pair in all[1..].windows(2) {
        let gap = pair[1].at - pair[0].at;
        assert!(gap > Duration::from_millis(300), "a burst: {gap:?}");
        assert!(gap < Duration::from_millis(2_500), "a gap: {gap:?}");
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
