//! 200 wrong sign-ins a second for a minute, beside a fleet that beats, an open page and the owner's own sign-ins.
//!
//! Each wrong sign-in comes from another address, so that the limit of an address does not help; half of them are at the
//! owner's account, half at users that do not exist.

use crate::INTERVAL;
use crate::figures::{Figure, Table};
use crate::parts::{Outcome, Plan};
use crate::subject::Monitor;
use crate::visitor::{Visitor, sign_in};
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::accounts::audit::Actor;
use heartbeat_daemon::monitor::accounts::password;
use heartbeat_daemon::monitor::accounts::sessions::NewSession;
use heartbeat_daemon::monitor::simulation::{self, Content, Report, SendRate};
use heartbeat_daemon::monitor::store::Store;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const MACHINES: usize = 1000;
const LENGTH: Duration = Duration::from_secs(60);
const WARM_UP: Duration = Duration::from_secs(8);
const ATTACKERS: u32 = 8;
const ATTEMPTS_PER_SECOND: u32 = 200;
const PASSWORD: &str = "correct horse battery";

/// How often the owner signs in.
const SIGN_IN: Duration = Duration::from_secs(5);

pub fn attack(_: &Plan) -> Outcome<Vec<Table>> {
    let mut sessions = Vec::new();
    let mut device = String::new();
    let monitor = Monitor::start_with(MACHINES, |store| {
        // A new password ends the sessions, so the open page gets its own afterwards.
        sign_in(store, 0)?;
        device = owner(store)?;
        sessions = open_page(store)?;
        Ok(())
    })?;
    let quiet = minute(&monitor, &sessions[0], &device, 0)?;
    let attacked = minute(&monitor, &sessions[0], &device, ATTEMPTS_PER_SECOND)?;
    let mut table = Table::new("attack: 200 wrong sign-ins a second for a minute, 1,000 machines");
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let p99 = |minute: &Minute| ms(minute.heartbeats.accepted.quantile(0.99));
    table.add(Figure::new("heartbeats' p99 before", p99(&quiet), "ms"));
    table.add(Figure::new("heartbeats' p99", p99(&attacked), "ms"));
    let lost = |report: &Report| report.refused.values().sum::<u64>() + report.broken;
    table.add(Figure::new("heartbeats refused or lost", lost(&attacked.heartbeats) as f64, "").at_most(0.0));
    table.add(Figure::new("fleet page, longest before", ms(quiet.page), "ms"));
    table.add(Figure::new("fleet page, longest", ms(attacked.page), "ms").at_most(200.0));
    table.add(Figure::new("owner's sign-in, longest before", ms(quiet.sign_in), "ms"));
    table.add(Figure::new("owner's sign-in, longest", ms(attacked.sign_in), "ms").at_most(2000.0));
    table.add(Figure::new("wrong sign-ins", (attacked.hashed + attacked.limited) as f64 / 60.0, "/s"));
    table.add(Figure::new("of these refused without a hash", attacked.limited as f64 / 60.0, "/s"));
    Ok(vec![table])
}

/// Gives the owner a password; returns the cookie of a browser that has signed in before.
fn owner(store: &Store) -> Outcome<String> {
    let user = store.user_called("owner").map_err(|error| error.to_string())?.id;
    let hash = password::hash(PASSWORD).map_err(|error| error.to_string())?;
    let key = store.device_key().map_err(|error| error.to_string())?;
    store
        .set_password(&Actor::command_line(), user, &hash, Moment::now())
        .map_err(|error| error.to_string())?;
    key.issue(user).map_err(|error| error.to_string())
}

fn open_page(store: &Store) -> Outcome<Vec<String>> {
    let user = store.user_called("owner").map_err(|error| error.to_string())?.id;
    let session = NewSession { user, address: None, agent: None };
    let token = store.add_session(&session, Moment::now()).map_err(|error| error.to_string())?;
    Ok(vec![token.as_str().to_owned()])
}

/// What was seen in a minute.
struct Minute {
    heartbeats: Report,
    /// The longest response of the fleet page.
    page: Duration,
    /// The longest sign-in of the owner.
    sign_in: Duration,
    /// Wrong sign-ins that cost a hash.
    hashed: u64,
    limited: u64,
}

fn minute(monitor: &Monitor, session: &str, device: &str, attempts: u32) -> Outcome<Minute> {
    let mut plan = monitor.plan(Content::Cameras(2));
    (plan.rate, plan.length) = (SendRate::Every(INTERVAL), LENGTH);
    let plan = Arc::new(plan);
    let fleet = thread::spawn(move || simulation::run(&plan, 1, WARM_UP));
    thread::sleep(WARM_UP);
    let (address, end) = (monitor.address, Instant::now() + LENGTH);
    let attackers: Vec<_> = (0..if attempts == 0 { 0 } else { ATTACKERS })
        .map(|number| thread::spawn(move || guess(address, number, attempts / ATTACKERS, end)))
        .collect();
    let (visitor, cookie) = (Visitor::new(address, session), device.to_owned());
    let page = thread::spawn(move || longest_page(&visitor, end));
    let sign_in = longest_sign_in(address, &cookie, end)?;
    let (mut hashed, mut limited) = (0, 0);
    for attacker in attackers {
        let (with_hash, without) = attacker.join().map_err(|_| "an attacker panicked")??;
        hashed += with_hash;
        limited += without;
    }
    let page = page.join().map_err(|_| "the page panicked")??;
    let heartbeats = fleet.join().map_err(|_| "the fleet panicked")?.map_err(|error| error.to_string())?;
    Ok(Minute { heartbeats, page, sign_in, hashed, limited })
}

fn longest_page(visitor: &Visitor, end: Instant) -> Outcome<Duration> {
    let mut longest = Duration::ZERO;
    while Instant::now() < end {
        longest = longest.max(visitor.get("/")?.took);
        thread::sleep(Duration::from_secs(1));
    }
    Ok(longest)
}

fn longest_sign_in(address: SocketAddr, device: &str, end: Instant) -> Outcome<Duration> {
    let mut longest = Duration::ZERO;
    while Instant::now() < end {
        let cookie = format!("Cookie: heartbeat_device={device}\r\n");
        let (status, took) = post(address, Ipv4Addr::LOCALHOST, &cookie, "owner", PASSWORD)?;
        if status != 303 {
            return Err(format!("the owner got {status}"));
        }
        longest = longest.max(took);
        thread::sleep(SIGN_IN);
    }
    Ok(longest)
}

/// Guesses until `end`; the number of attempts that cost a hash, and of those that did not.
fn guess(address: SocketAddr, attacker: u32, per_second: u32, end: Instant) -> Outcome<(u64, u64)> {
    let (mut hashed, mut limited) = (0, 0);
    let mut next = Instant::now();
    let mut number = 0_u32;
    while next < end {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let [_, second, third, last] = number.to_be_bytes();
        let source = Ipv4Addr::new(127, 1 + attacker as u8, third, last.max(1).wrapping_add(second));
        let name = if number % 2 == 0 { "owner".to_owned() } else { format!("user-{attacker}-{number}") };
        match post(address, source, "", &name, "wrong horse battery")?.0 {
            401 => hashed += 1,
            429 => limited += 1,
            other => return Err(format!("an attacker got {other}")),
        }
        number += 1;
        next += Duration::from_secs(1) / per_second;
    }
    Ok((hashed, limited))
}

/// A sign-in on a connection of its own: its status, and how long it took.
fn post(
    to: SocketAddr,
    from: Ipv4Addr,
    headers: &str,
    name: &str,
    password: &str,
) -> Outcome<(u16, Duration)> {
    let begin = Instant::now();
    let body = format!("name={name}&password={}", password.replace(' ', "+"));
    let request = format!(
        "POST /login HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answered = (|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect(&to.into())?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut stream: std::net::TcpStream = socket.into();
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    })();
    let answer = answered.map_err(|error: std::io::Error| format!("a sign-in from {from}: {error}"))?;
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    Ok((status.ok_or("no status")?, begin.elapsed()))
}
