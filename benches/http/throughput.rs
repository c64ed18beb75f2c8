//! Requests per second and how long each takes: 64 connections that ask again as soon as they are answered.

use crate::crowd::{Crowd, News};
use crate::figures::{Figure, Table};
use crate::parts::Outcome;
use crate::server::{Kind, Subject};
use std::process::Command;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 64;
/// The servers take turns, so that what else the machine does meets all of them.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
const KINDS: [Kind; 3] = [Kind::TinyHttp, Kind::Workers, Kind::Inline];

const LEAST_RATIO: f64 = 1.4;
const P99_MS: f64 = 5.0;

struct Round {
    per_second: f64,
    cpu_us: f64,
    waits: Vec<Duration>,
}

pub fn measure() -> Outcome<Table> {
    let mut rounds: [Vec<Round>; KINDS.len()] = Default::default();
    for _ in 0..ROUNDS {
        for (kind, rounds) in KINDS.iter().zip(&mut rounds) {
            rounds.push(round(&Subject::start(*kind)?, CONNECTIONS, ROUND)?);
        }
    }
    let rounds_of_tiny_http: Vec<f64> = rounds[0].iter().map(|round| round.per_second).collect();
    let mut table = Table::new(format!("{CONNECTIONS} keep-alive connections, 1 KB of JSON each"));
    for (kind, rounds) in KINDS.iter().zip(&rounds) {
        let name = |what: &str| format!("{}: {what}", kind.name());
        let per_second = median(rounds.iter().map(|round| round.per_second));
        let mut waits: Vec<f64> =
            rounds.iter().flat_map(|round| &round.waits).map(|wait| wait.as_secs_f64() * 1e3).collect();
        waits.sort_by(f64::total_cmp);
        table.add(Figure::new(name("requests"), per_second, "/s"));
        let ratios = rounds.iter().zip(&rounds_of_tiny_http).map(|(ours, theirs)| ours.per_second / theirs);
        let ratio = Figure::new(name("to tiny_http, round by round"), median(ratios), "times");
        let (p50, p99) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
        let p99 = Figure::new(name("p99"), p99, "ms");
        let is_ours = *kind != Kind::TinyHttp;
        table.add(if is_ours { ratio.at_least(LEAST_RATIO) } else { ratio });
        table.add(Figure::new(
            name("CPU per request"),
            median(rounds.iter().map(|round| round.cpu_us)),
            "us",
        ));
        table.add(Figure::new(name("p50"), p50, "ms"));
        table.add(if is_ours { p99.at_most(P99_MS) } else { p99 });
    }
    Ok(table)
}

fn round(subject: &Subject, connections: usize, time: Duration) -> Outcome<Round> {
    let mut crowd = Crowd::new()?;
    for index in 0..connections {
        if !crowd.connect(subject.address)? || !crowd.send_request(index) {
            return Err("a connection was refused".to_owned());
        }
    }
    // The first answers warm up what is lazily made.
    let begin = Instant::now() + time / 10;
    let (mut cpu, mut waits) = (None, Vec::new());
    while begin.elapsed() < time {
        for (index, news) in crowd.wait(Duration::from_millis(100))? {
            match news {
                News::Answered(200, wait) => waits.push(wait),
                News::Answered(status, _) => return Err(format!("answered {status}")),
                News::Closed => return Err("a connection was closed".to_owned()),
            }
            crowd.send_request(index);
        }
        if cpu.is_none() && Instant::now() > begin {
            waits.clear();
            cpu = Some(subject.cpu()?);
        }
    }
    let spent = subject.cpu()? - cpu.ok_or("no time to measure")?;
    let answered = waits.len() as f64;
    Ok(Round { per_second: answered / begin.elapsed().as_secs_f64(), cpu_us: spent * 1e6 / answered, waits })
}

/// System calls of the front alone, with one connection and with many.
pub fn syscalls() -> Outcome<Table> {
    let mut table = Table::new("System calls per request (strace -f -c, which slows what it traces)");
    for (kind, connections) in [(Kind::Inline, 1), (Kind::Inline, CONNECTIONS), (Kind::Workers, CONNECTIONS)]
    {
        let subject = Subject::start(kind)?;
        let trace = Command::new("timeout")
            .args([
                "--signal=INT",
                "4",
                "strace",
                "-f",
                "-c",
                "-o",
                "/dev/stdout",
                "-p",
                &subject.pid().to_string(),
            ])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .map_err(|error| format!("strace: {error}"))?;
        // Everything that it traces is between these two: there are no requests before or after.
        std::thread::sleep(Duration::from_secs(1));
        let answered = measured(&subject, connections, Duration::from_secs(2))?;
        let output = trace.wait_with_output().map_err(|error| format!("strace: {error}"))?;
        let calls = calls(&String::from_utf8_lossy(&output.stdout));
        let frequent = calls.iter().filter(|(_, number)| number / answered >= 0.005);
        let each: Vec<String> =
            frequent.map(|(name, number)| format!("{name} {:.2}", number / answered)).collect();
        let all: f64 = calls.iter().map(|(_, number)| number).sum();
        let line = format!(
            "{:>2} connections, {}: {:.2} in all; {}",
            connections,
            kind.name(),
            all / answered,
            each.join(", ")
        );
        table.note(line);
    }
    Ok(table)
}

fn measured(subject: &Subject, connections: usize, time: Duration) -> Outcome<f64> {
    let mut crowd = Crowd::new()?;
    for index in 0..connections {
        crowd.connect(subject.address)?;
        crowd.send_request(index);
    }
    let (begin, mut answered) = (Instant::now(), 0);
    while begin.elapsed() < time {
        for (index, _) in crowd.wait(Duration::from_millis(100))? {
            answered += 1;
            crowd.send_request(index);
        }
    }
    Ok(f64::from(answered))
}

/// Name and number of calls, of strace's table.
fn calls(table: &str) -> Vec<(String, f64)> {
    let lines =
        table.lines().filter(|line| line.trim_start().starts_with(|first: char| first.is_ascii_digit()));
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|fields| fields.last() != Some(&"total"))
        .filter_map(|fields| Some(((*fields.last()?).to_owned(), fields.get(3)?.parse().ok()?)))
        .collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
