//! What a heartbeat costs inside, part by part: the best of many rounds, which a busy machine does not change.

use crate::figures::{Figure, Table};
use crate::parts::{Outcome, Plan};
use crate::subject::open;
use heartbeat_daemon::clock::{Moment, Now};
use heartbeat_daemon::monitor::fleet::Fleet;
use heartbeat_daemon::monitor::ingest::native::{self, Received};
use heartbeat_daemon::monitor::machine::MachineId;
use heartbeat_daemon::monitor::registry::lookup::Registry;
use heartbeat_daemon::monitor::simulation::with_cameras;
use heartbeat_daemon::wire::{CameraStatus, Heartbeat, SAMPLE};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 300;
const IN_A_ROUND: usize = 1000;
const MACHINES: usize = 10_000;
const CAMERAS: usize = 8;

pub fn measure(_: &Plan) -> Outcome<Vec<Table>> {
    let sample: Heartbeat = serde_json::from_str(SAMPLE).map_err(|error| error.to_string())?;
    let body = serde_json::to_string(&sample).map_err(|error| error.to_string())?;
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let store = open(dir.path())?;
    let tokens = store.add_simulated(MACHINES, Moment(0)).map_err(|error| error.to_string())?;
    let registry = Registry::load(&store).map_err(|error| error.to_string())?;
    let fleet = Fleet::default();
    let now = Moment::now();
    let Ok(Received::Beat(beat)) = native::parse(&body) else { return Err("the sample is no beat".into()) };

    let mut table = Table::new(format!("cost of a heartbeat of {} bytes, inside", body.len()));
    let mut add = |name: &str, microseconds: f64| table.add(Figure::new(name, microseconds, "us"));
    add("parse", best(|_| drop(black_box(native::parse(black_box(&body))))));
    let find =
        |turn: usize| _ = black_box(registry.authenticate(tokens[turn * 7919 % MACHINES].as_str(), now));
    add("authenticate, of 10,000 machines", best(find));
    add(
        "keep in memory, of 10,000 machines",
        best(|turn| {
            black_box(fleet.beat(MachineId((turn * 7919 % MACHINES) as i64), &beat, now));
        }),
    );
    let cameras = serde_json::to_string(&with_cameras(&sample, CAMERAS, CameraStatus::Connected));
    let cameras = cameras.map_err(|error| error.to_string())?;
    let Ok(Received::Beat(beat)) = native::parse(&cameras) else {
        return Err("the sample is no beat".into());
    };
    let parse = |_| drop(black_box(native::parse(black_box(&cameras))));
    add("parse, with 8 cameras", best(parse));
    let both = Now::read();
    let judge = |turn: usize| {
        black_box(fleet.judge(MachineId((turn * 7919 % MACHINES) as i64), &beat, false, both));
    };
    add("judge the conditions, with 8 cameras", best(judge));
    add("the clock", best(|_| _ = black_box(Moment::now())));
    let tree = |_| drop(black_box(serde_json::from_str::<serde_json::Value>(black_box(&body))));
    add("(for comparison: parse into a tree)", best(tree));
    Ok(vec![table])
}

/// Microseconds for one call.
fn best(mut call: impl FnMut(usize)) -> f64 {
    let mut best = f64::INFINITY;
    for round in 0..ROUNDS {
        let begin = Instant::now();
        (0..IN_A_ROUND).for_each(|turn| call(round * IN_A_ROUND + turn));
        best = best.min(begin.elapsed().as_secs_f64() * 1e6 / IN_A_ROUND as f64);
    }
    best
}
