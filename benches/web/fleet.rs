//! The fleet page of 1,000 machines: loaded, updated, and open in 50 browsers.

use crate::INTERVAL;
use crate::figures::{Figure, Table};
use crate::parts::{Outcome, Plan};
use crate::process::Watch;
use crate::subject::Monitor;
use crate::visitor::{Visitor, sign_in};
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::machine::MachineId;
use heartbeat_daemon::monitor::registry::machines::MachineChange;
use heartbeat_daemon::monitor::simulation::{self, Content, SendRate};
use heartbeat_daemon::monitor::store::Store;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const MACHINES: usize = 1000;
const GROUPS: usize = 20;
/// Every machine has sent a heartbeat.
const WARM_UP: Duration = Duration::from_secs(8);
const PAGES: usize = 50;
const PAGES_PER_SESSION: usize = 5;

/// A monitor whose fleet beats, and tokens of sessions.
struct Scene {
    monitor: Monitor,
    sessions: Vec<String>,
    fleet: JoinHandle<std::io::Result<simulation::Report>>,
}

fn scene(length: Duration) -> Outcome<Scene> {
    let mut sessions = Vec::new();
    let monitor = Monitor::start_with(MACHINES, |store| {
        for number in 1..=MACHINES {
            let group = Some(Some(format!("group-{:02}", number % GROUPS)));
            let change = MachineChange { group, ..MachineChange::default() };
            store.change_machine(&number.to_string(), &change).map_err(|error| error.to_string())?;
        }
        sessions = sign_in(store, PAGES / PAGES_PER_SESSION)?;
        Ok(())
    })?;
    let mut plan = monitor.plan(Content::Cameras(2));
    (plan.rate, plan.length) = (SendRate::Every(INTERVAL), length + WARM_UP);
    let plan = Arc::new(plan);
    let fleet = thread::spawn(move || simulation::run(&plan, 1, WARM_UP));
    thread::sleep(WARM_UP);
    Ok(Scene { monitor, sessions, fleet })
}

pub fn page(plan: &Plan) -> Outcome<Vec<Table>> {
    let length = Duration::from_secs(30);
    let scene = scene(length)?;
    let visitor = Visitor::new(scene.monitor.address, &scene.sessions[0]);
    let first = visitor.get("/")?;
    let text = first.text();
    let rows = text.matches("<tr id=\"m").count();
    if rows != MACHINES {
        return Err(format!("the page shows {rows} machines"));
    }
    let mut times = Vec::new();
    for _ in 0..plan.rounds {
        times.push(visitor.get("/")?.took);
        // A view is kept for a second: each round makes its own.
        thread::sleep(Duration::from_millis(1_050).min(length / u32::try_from(plan.rounds).unwrap_or(1)));
    }
    times.sort_unstable();
    let ms = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    let mut table = Table::new("page: the fleet page of 1,000 machines with 2 cameras each, while they beat");
    table.add(Figure::new("response, median", ms(0.5), "ms").at_most(30.0));
    table.add(Figure::new("response, p99", ms(0.99), "ms"));
    table.add(Figure::new("compressed", first.body.len() as f64 / 1000.0, "kB").at_most(100.0));
    table.add(Figure::new("uncompressed", text.len() as f64 / 1000.0, "kB"));
    drop(scene.monitor);
    let _ = scene.fleet.join();
    Ok(vec![table])
}

pub fn update(_: &Plan) -> Outcome<Vec<Table>> {
    let scene = scene(Duration::from_secs(20))?;
    let visitor = Visitor::new(scene.monitor.address, &scene.sessions[0]);
    let store = beside(&scene.monitor)?;
    let version = version(&visitor)?;
    for number in 1..=10 {
        pause(&store, number * 7, true)?;
    }
    let answer = visitor.get(&format!("/live?since={version}"))?;
    let changed = answer.text().matches("<tr id=").count();
    let mut table = Table::new("update: 10 of 1,000 machines have changed");
    table.add(Figure::new("lines in the update", changed as f64, "").at_least(10.0));
    table.add(Figure::new("size", answer.body.len() as f64 / 1000.0, "kB").at_most(5.0));
    table.add(Figure::new("after the change", answer.took.as_secs_f64() * 1000.0, "ms"));
    drop(scene.monitor);
    let _ = scene.fleet.join();
    Ok(vec![table])
}

pub fn open(plan: &Plan) -> Outcome<Vec<Table>> {
    let window = plan.window;
    let scene = scene(window * 2 + Duration::from_secs(20))?;
    let store = beside(&scene.monitor)?;
    let without = spent(&scene.monitor, &store, window)?;
    let end = Instant::now() + window + Duration::from_secs(8);
    let pages: Vec<_> = (0..PAGES)
        .map(|number| {
            let visitor = Visitor::new(scene.monitor.address, &scene.sessions[number / PAGES_PER_SESSION]);
            thread::spawn(move || poll(&visitor, end))
        })
        .collect();
    thread::sleep(Duration::from_secs(3));
    let with = spent(&scene.monitor, &store, window)?;
    let mut updates = 0;
    for page in pages {
        updates += page.join().map_err(|_| "a page panicked")??;
    }
    let percent = |cpu: Duration| cpu.as_secs_f64() / window.as_secs_f64() * 100.0;
    let mut table = Table::new("open: 50 pages of a fleet of 1,000, one change a second");
    table.add(
        Figure::new("CPU of the pages, of one core", percent(with.saturating_sub(without)), "%").at_most(2.0),
    );
    table.add(Figure::new("CPU without pages", percent(without), "%"));
    table.add(Figure::new(
        "updates to each page",
        updates as f64 / PAGES as f64 / (window.as_secs_f64() + 8.0),
        "/s",
    ));
    drop(scene.monitor);
    let _ = scene.fleet.join();
    Ok(vec![table])
}

/// CPU time of the monitor during `window`, with one change a second.
fn spent(monitor: &Monitor, store: &Store, window: Duration) -> Outcome<Duration> {
    let watch = Watch::begin(monitor.pid())?;
    let end = Instant::now() + window;
    let mut number = 0;
    while Instant::now() < end {
        pause(store, number % 100 + 1, number / 100 % 2 == 0)?;
        number += 1;
        thread::sleep(Duration::from_secs(1));
    }
    Ok(watch.end()?.cpu)
}

/// An open page; the number of updates that it received.
fn poll(visitor: &Visitor, end: Instant) -> Outcome<usize> {
    let mut since = version(visitor)?;
    let mut updates = 0;
    while Instant::now() < end {
        let text = visitor.get(&format!("/live?since={since}"))?.text();
        let answer: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        since = answer["version"].as_u64().ok_or("no version")?;
        updates += usize::from(answer.get("rows").is_some());
        thread::sleep(Duration::from_millis(200));
    }
    Ok(updates)
}

/// The version of the page that is shown now.
fn version(visitor: &Visitor) -> Outcome<u64> {
    let text = visitor.get("/")?.text();
    let found = text.split("data-version=\"").nth(1).and_then(|rest| rest.split('"').next());
    found.and_then(|number| number.parse().ok()).ok_or_else(|| "the page has no version".into())
}

fn beside(monitor: &Monitor) -> Outcome<Store> {
    Store::open_beside(&monitor.database().into(), Moment::now()).map_err(|error| error.to_string())
}

fn pause(store: &Store, number: usize, is_paused: bool) -> Outcome<()> {
    let machine = MachineId(i64::try_from(number).map_err(|error| error.to_string())?).0.to_string();
    let now = Moment::now();
    let done = match is_paused {
        true => store.pause_machine(&machine, Duration::from_secs(3600), None, now).map(drop),
        false => store.resume_machine(&machine, now).map(drop),
    };
    done.map_err(|error| error.to_string())
}
