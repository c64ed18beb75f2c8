//! The daemon beside two programs that do the same work, all three in the same minute.

use crate::INTERVAL;
use crate::figures::{Table, number};
use crate::parts::{Outcome, Plan};
use crate::process::{LOOK, Watch, Window};
use crate::receiver::Receiver;
use crate::subject::{Daemon, PATIENCE, Program, Scheme, Scratch};
use crate::syscalls::{Calls, Tracer};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PYTHON: &str = "/usr/bin/python3";
const PYTHON_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/heartbeat.py");
const COLLECTD: &str = "/usr/sbin/collectd";
const COLLECTD_CONFIG: &str = include_str!("../peers/collectd.conf");

/// What is measured of each.
struct Measured {
    name: &'static str,
    window: Window,
    calls: Calls,
}

pub fn measure(plan: &Plan) -> Outcome<Vec<Table>> {
    let mut table = Table::new(format!(
        "Side by side, the same {} s, over HTTP, per {} s",
        plan.window.as_secs(),
        INTERVAL.as_secs()
    ));
    let daemon = Daemon::start(Scheme::Http)?;
    let mut running = vec![("heartbeat-daemon", daemon.pid())];
    let mut peers = Vec::new();
    for start in [python, collectd] {
        match start() {
            Ok(peer) => peers.push(peer),
            Err(missing) => table.note(missing),
        }
    }
    running.extend(peers.iter().map(|(program, _)| (program.name, program.child.id())));
    let measured = together(plan, &running)?;
    compare(&mut table, plan, &measured);
    Ok(vec![table])
}

fn together(plan: &Plan, running: &[(&'static str, u32)]) -> Outcome<Vec<Measured>> {
    // The first ones open connections and find their sources.
    std::thread::sleep(INTERVAL * 2 + INTERVAL / 2);
    let mut watches = running.iter().map(|(_, pid)| Watch::begin(*pid)).collect::<Outcome<Vec<_>>>()?;
    let end = Instant::now() + plan.window;
    while Instant::now() < end {
        std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        watches.iter_mut().try_for_each(Watch::look)?;
    }
    let windows = watches.into_iter().map(Watch::end).collect::<Outcome<Vec<_>>>()?;
    let tracers = running.iter().map(|(_, pid)| Tracer::attach(*pid)).collect::<Outcome<Vec<_>>>()?;
    std::thread::sleep(plan.window / 2);
    let calls = tracers.into_iter().map(Tracer::detach).collect::<Outcome<Vec<_>>>()?;
    let parts = running.iter().zip(windows).zip(calls);
    Ok(parts.map(|(((name, _), window), calls)| Measured { name, window, calls }).collect())
}

/// A line per figure, a column per program; in brackets, how many times the daemon's.
fn compare(table: &mut Table, plan: &Plan, measured: &[Measured]) {
    let beats = plan.window.as_secs_f64() / INTERVAL.as_secs_f64();
    let per_beat = |total: f64| total / beats;
    let names = measured.iter().map(|one| format!("{:>22}", one.name)).collect::<Vec<_>>().concat();
    table.note(format!("{:<24}{names}", ""));
    let mut line = |name: &str, figure: &dyn Fn(&Measured) -> f64| {
        let values: Vec<f64> = measured.iter().map(figure).collect();
        let cells = values
            .iter()
            .map(|value| format!("{:>22}", cell(*value, values[0])))
            .collect::<Vec<_>>()
            .concat();
        table.note(format!("{name:<24}{cells}"));
    };
    line("PSS, KiB", &|one| one.window.memory.pss as f64);
    line("RSS, KiB", &|one| one.window.memory.rss as f64);
    line("CPU, ms", &|one| per_beat(one.window.cpu.as_secs_f64() * 1e3));
    line("context switches", &|one| per_beat(one.window.switches as f64));
    line("system calls", &|one| per_beat(one.calls.total() as f64) * 2.0);
    line("threads, most", &|one| one.window.most_threads as f64);
    line("threads made", &|one| per_beat(one.calls.made() as f64) * 2.0);
}

fn cell(value: f64, ours: f64) -> String {
    if ours > 0.0 { format!("{} ({:.1}x)", number(value), value / ours) } else { number(value) }
}

/// psutil and requests from the system, or else from an environment of their own under target/.
fn python() -> Outcome<(Program, Receiver)> {
    let python = [PathBuf::from(PYTHON), environment().join("bin/python")]
        .into_iter()
        .find(|python| has_packages(python))
        .map_or_else(make_environment, Ok)?;
    let receiver = Receiver::start(None)?;
    let mut command = Command::new(python);
    command.arg(PYTHON_SCRIPT).arg(format!("http://{}/heartbeat", receiver.address));
    heard(Program::start("Python", command, &[], scratch()?)?, receiver)
}

fn environment() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-peer")
}

fn has_packages(python: &Path) -> bool {
    quietly(Command::new(python).args(["-c", "import psutil, requests"]))
}

fn make_environment() -> Outcome<PathBuf> {
    let python = environment().join("bin/python");
    let made = quietly(Command::new(PYTHON).args(["-m", "venv"]).arg(environment()))
        && quietly(Command::new(&python).args(["-m", "pip", "install", "psutil", "requests"]));
    let missing = "Python's heartbeat is missing: apt-get install -y python3-psutil python3-requests";
    if made && has_packages(&python) { Ok(python) } else { Err(missing.into()) }
}

fn quietly(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

fn collectd() -> Outcome<(Program, Receiver)> {
    if !Path::new(COLLECTD).exists() {
        return Err(
            "collectd is missing: apt-get install -y --no-install-recommends collectd-core libcurl4 libyajl2"
                .into(),
        );
    }
    let receiver = Receiver::start(None)?;
    let scratch = scratch()?;
    let config = scratch.state.join("collectd.conf");
    let text = COLLECTD_CONFIG
        .replace("@DIRECTORY@", &scratch.runtime.to_string_lossy())
        .replace("@ADDRESS@", &receiver.address.to_string());
    fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
    let mut command = Command::new(COLLECTD);
    command.arg("-f").arg("-C").arg(config);
    heard(Program::start("collectd", command, &[], scratch)?, receiver)
}

fn scratch() -> Outcome<Scratch> {
    Scratch::new().map_err(|error| format!("scratch directories: {error}"))
}

/// A peer that sends nothing would be a cheap one.
fn heard(program: Program, receiver: Receiver) -> Outcome<(Program, Receiver)> {
    match receiver.next(PATIENCE + Duration::from_secs(5)) {
        Some(_) => Ok((program, receiver)),
        None => Err(program.silent()),
    }
}
