//! How large the database becomes: a year of machines, written as the recorder writes it, with the clock turned.

use crate::figures::{Figure, Table};
use crate::parts::{Outcome, Plan};
use crate::subject::open;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::beat::Sample;
use heartbeat_daemon::monitor::fleet::Unsaved;
use heartbeat_daemon::monitor::history::packed::Packed;
use heartbeat_daemon::monitor::machine::MachineId;
use heartbeat_daemon::monitor::store::Store;

const MACHINES: usize = 20;
const DAYS: i64 = 400;
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

pub fn measure(_: &Plan) -> Outcome<Vec<Table>> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let store = open(dir.path())?;
    let tokens = store.add_simulated(MACHINES, Moment(0)).map_err(|error| error.to_string())?;
    let begin = Moment::now().0 / DAY * DAY - DAYS * DAY;
    let empty = size(&store)?;
    let mut random = fastrand::Rng::with_seed(7);
    let mut marks = Vec::new();
    for hour in 0..DAYS * 24 {
        live(&store, begin + hour * 60 * MINUTE, &mut random)?;
        if [1, 2, 30, 365, DAYS].map(|day| day * 24).contains(&(hour + 1)) {
            let grown = (size(&store)? - empty) as f64 / tokens.len() as f64 / 1e6;
            marks.push(((hour + 1) / 24, grown));
        }
    }
    let mut table =
        Table::new("growth: the database of one machine, with its payload, its history, its token");
    for (days, megabytes) in marks {
        table.add(Figure::new(format!("after {days} days"), megabytes, "MB").at_most(0.2));
    }
    Ok(vec![table])
}

/// An hour of all machines.
fn live(store: &Store, hour: i64, random: &mut fastrand::Rng) -> Outcome<()> {
    let said = |error: heartbeat_daemon::monitor::store::StoreError| error.to_string();
    let first = hour / MINUTE;
    let unsaved = |machine: usize| Unsaved {
        machine: MachineId(machine as i64),
        received_at: Moment(hour),
        payload: Some(heartbeat_daemon::wire::SAMPLE.to_owned()),
        hostname: None,
        minutes: (first..first + 60).map(|minute| (minute, figures(minute, machine, random))).collect(),
        counts: Default::default(),
        cameras: Default::default(),
    };
    let machines: Vec<Unsaved> = (1..=MACHINES).map(unsaved).collect();
    store.save_beats(&[], &machines).map_err(said)?;
    if hour % (6 * 60 * MINUTE) == 0 {
        store.age_history(0, 1, Moment(hour)).map_err(said)?;
    }
    Ok(())
}

/// A machine in a barn: warm by day, busy now and then, its disk filling up.
fn figures(minute: i64, machine: usize, random: &mut fastrand::Rng) -> Packed {
    let day = (minute % 1440) as f32 / 1440.0 * std::f32::consts::TAU;
    let mut noise = |by: f32| (random.f32() - 0.5) * by;
    let busy = if (minute / 17 + machine as i64) % 9 == 0 { 40.0 } else { 0.0 };
    Packed::from(Sample {
        cpu: Some(12.0 + busy + noise(12.0)),
        mem: Some(41.0 + day.cos() * 3.0 + noise(1.5)),
        temp: Some(48.0 + day.sin() * 8.0 + busy / 8.0 + noise(1.5)),
        disk: Some(20.0 + (minute % 100_000) as f32 / 2_000.0),
        power: Some(2.0 + busy / 30.0 + noise(0.4)),
        load: Some(0.4 + busy / 40.0 + noise(0.3)),
        signal: Some(75.0 + noise(8.0)),
    })
}

/// Without the journal, which is cut back and belongs to all.
fn size(store: &Store) -> Outcome<u64> {
    std::fs::metadata(store.location().file().expect("a file"))
        .map(|metadata| metadata.len())
        .map_err(|error| error.to_string())
}
