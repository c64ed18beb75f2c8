//! Many connections at once: what they cost, and what they do to each other.

use crate::INTERVAL;
use crate::crowd::{Crowd, News, request};
use crate::figures::{Figure, Table};
use crate::parts::Outcome;
use crate::server::{Kind, Subject};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const KIB_A_CONNECTION: f64 = 1.0;
const DEVICES: usize = 10_000;
const FLEET_TIME: Duration = Duration::from_secs(15);

/// 1,000 connect and send at once.
pub fn burst() -> Outcome<Table> {
    let subject = Subject::start(Kind::Workers)?;
    let mut table = Table::new("1,000 connect and send at once");
    crowd_of(&subject, 1_000, &mut table)?;
    Ok(table)
}

/// 1,000 send one heartbeat each and stay.
pub fn idle() -> Outcome<Table> {
    let subject = Subject::start(Kind::Inline)?;
    let (before, _) = subject.memory()?;
    let mut table = Table::new("1,000 connections that are idle after one heartbeat");
    let crowd = crowd_of(&subject, 1_000, &mut table)?;
    let (after, threads) = subject.memory()?;
    table.add(
        Figure::new("memory per connection", (after - before) / 1_000.0, "KiB").at_most(KIB_A_CONNECTION),
    );
    table.add(Figure::new("threads", threads, ""));
    let cpu = subject.cpu()?;
    std::thread::sleep(Duration::from_secs(2));
    table.add(Figure::new("CPU while idle", (subject.cpu()? - cpu) / 2.0 * 100.0, "%"));
    drop(crowd);
    Ok(table)
}

/// As `ulimit -n 80`, 150 connections that stay.
pub fn descriptors() -> Outcome<Table> {
    let subject = Subject::with_descriptors(Kind::Inline, Some(80))?;
    let mut table = Table::new("80 descriptors, 150 connections");
    let crowd = crowd_of(&subject, 150, &mut table)?;
    let answered = (0..5).filter(|_| once(subject.address).is_some()).count();
    table.add(Figure::new("of 5 new clients answered meanwhile", answered as f64, "").at_least(5.0));
    let cpu = subject.cpu()?;
    std::thread::sleep(Duration::from_secs(2));
    table.add(Figure::new("CPU meanwhile", (subject.cpu()? - cpu) / 2.0 * 100.0, "%").at_most(1.0));
    drop(crowd);
    let answered = (0..5).filter(|_| once(subject.address).is_some()).count();
    table.add(Figure::new("of 5 new clients answered afterwards", answered as f64, "").at_least(5.0));
    Ok(table)
}

/// Connections that have each sent one request at once, and been given 12 s for the answers.
fn crowd_of(subject: &Subject, connections: usize, table: &mut Table) -> Outcome<Crowd> {
    let mut crowd = Crowd::new()?;
    let begin = Instant::now();
    for _ in 0..connections {
        if crowd.connect(subject.address)? {
            crowd.send_request(crowd.len() - 1);
        }
    }
    let mut answered = 0;
    while answered < connections && begin.elapsed() < Duration::from_secs(12) {
        let news = crowd.wait(Duration::from_millis(100))?;
        answered += news.iter().filter(|(_, news)| matches!(news, News::Answered(200, _))).count();
    }
    table.add(Figure::new("answered", answered as f64, "").at_least(connections as f64));
    table.add(Figure::new("all of them after", begin.elapsed().as_secs_f64() * 1e3, "ms"));
    Ok(crowd)
}

/// 200 clients that send a byte a second, for 22 s.
pub fn slow() -> Outcome<Table> {
    const SLOW: usize = 200;
    let subject = Subject::start(Kind::Inline)?;
    let mut crowd = Crowd::new()?;
    for _ in 0..SLOW {
        crowd.connect(subject.address)?;
    }
    let bytes = request();
    let (begin, mut others) = (Instant::now(), Vec::new());
    for (second, byte) in bytes.iter().take(22).enumerate() {
        for index in 0..SLOW {
            crowd.send(index, &[*byte]);
        }
        while begin.elapsed() < Duration::from_secs(second as u64 + 1) {
            others.push(once(subject.address));
            crowd.wait(Duration::from_millis(20))?;
        }
    }
    let mut table = Table::new("200 clients send a byte a second");
    let unanswered = others.iter().filter(|other| other.is_none()).count();
    let worst = others.iter().flatten().max().map_or(f64::NAN, |worst| worst.as_secs_f64() * 1e3);
    table.add(Figure::new("still open after 22 s", crowd.open() as f64, "").at_most(0.0));
    table.add(Figure::new("other clients, one after the other", others.len() as f64, ""));
    table.add(Figure::new("of them unanswered", unanswered as f64, "").at_most(0.0));
    table.add(Figure::new("their worst", worst, "ms"));
    Ok(table)
}

/// A connection, a request, an answer.
fn once(to: SocketAddr) -> Option<Duration> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(3)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
    stream.write_all(&request()).ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    (&answer == b"HTTP/1.1 200").then(|| begin.elapsed())
}

/// 10,000 devices on connections that stay, a heartbeat in 5 s each.
pub fn fleet() -> Outcome<Table> {
    let most = getrlimit(Resource::Nofile).maximum;
    if most.is_some_and(|most| most < DEVICES as u64 + 100) {
        return Err(format!("{DEVICES} connections need more descriptors than the {most:?} allowed"));
    }
    // The server inherits it.
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })
        .map_err(|error| error.to_string())?;
    let subject = Subject::start(Kind::Workers)?;
    let (before, _) = subject.memory()?;
    let mut fleet = Fleet { crowd: Crowd::new()?, due: VecDeque::new(), waits: Vec::new(), closed: 0 };
    for device in 0..DEVICES {
        if !fleet.crowd.connect(subject.address)? {
            return Err(format!("connection {device} was refused"));
        }
    }
    let (begin, spread) = (Instant::now(), INTERVAL.as_secs_f64() / DEVICES as f64);
    fleet.due = (0..DEVICES)
        .map(|device| (begin + Duration::from_secs_f64(spread * device as f64), device))
        .collect();
    fleet.run_until(begin + INTERVAL * 2)?;
    fleet.waits.clear();
    let (cpu, start) = (subject.cpu()?, Instant::now());
    fleet.run_until(start + FLEET_TIME)?;
    let (elapsed, cpu) = (start.elapsed().as_secs_f64(), subject.cpu()? - cpu);
    let (after, threads) = subject.memory()?;
    let mut table = Table::new("10,000 devices, a heartbeat in 5 s each");
    let mut waits: Vec<f64> = fleet.waits.iter().map(|wait| wait.as_secs_f64() * 1e3).collect();
    waits.sort_by(f64::total_cmp);
    let at = |share: usize| waits.get(waits.len() * share / 100).copied().unwrap_or(f64::NAN);
    table.add(Figure::new("heartbeats answered", waits.len() as f64 / elapsed, "/s"));
    table.add(Figure::new("CPU", cpu / elapsed * 100.0, "%"));
    table.add(
        Figure::new("memory per connection", (after - before) / DEVICES as f64, "KiB")
            .at_most(KIB_A_CONNECTION),
    );
    table.add(Figure::new("threads", threads, ""));
    table.add(Figure::new("closed by the server", fleet.closed as f64, "").at_most(0.0));
    let unanswered = fleet.crowd.unanswered_for(Duration::from_secs(4));
    table.add(Figure::new("unanswered for 4 s", unanswered as f64, "").at_most(0.0));
    table.add(Figure::new("p50", at(50), "ms"));
    table.add(Figure::new("p99", at(99), "ms").at_most(5.0));
    Ok(table)
}

struct Fleet {
    crowd: Crowd,
    /// By time: each device comes again after the same interval.
    due: VecDeque<(Instant, usize)>,
    waits: Vec<Duration>,
    closed: usize,
}

impl Fleet {
    fn run_until(&mut self, end: Instant) -> Outcome<()> {
        while Instant::now() < end {
            self.beat()?;
        }
        Ok(())
    }

    /// Sends what is due, takes what has come.
    fn beat(&mut self) -> Outcome<()> {
        let now = Instant::now();
        while let Some((due, device)) = self.due.pop_front() {
            if due > now {
                self.due.push_front((due, device));
                break;
            }
            self.due.push_back((due + INTERVAL, device));
            self.crowd.send_request(device);
        }
        let next = self.due.front().map_or(Duration::ZERO, |(due, _)| due.saturating_duration_since(now));
        let pause =
            if self.crowd.len() < DEVICES { Duration::ZERO } else { next.min(Duration::from_millis(5)) };
        for (_, news) in self.crowd.wait(pause)? {
            match news {
                News::Answered(200, wait) => self.waits.push(wait),
                News::Answered(status, _) => return Err(format!("answered {status}")),
                News::Closed => self.closed += 1,
            }
        }
        Ok(())
    }
}
