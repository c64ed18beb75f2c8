//! One daemon in a device with three uplinks, the server that it sends to, and what both say.

// The benchmark includes this too, and uses a part of it.
#![allow(dead_code)]

use crate::support::daemon::{Daemon, Setup};
use crate::support::https::Authority;
use crate::support::lateness::{self, in_time};
use crate::support::net::{Net, Resolver, Shape, UPLINKS, obstacle, setup};
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use crate::support::{SOON, skip};
use rustix::process::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How a test's daemon and its surroundings begin.
pub struct Plan {
    pub mode: &'static str,
    pub shape: Shape,
    /// So long that a heartbeat in between is one of an event.
    pub interval: &'static str,
    pub https: bool,
    /// The server's port; 0 takes a free one.
    pub port: u16,
    /// What the server is called in `url`, if it has a name.
    pub host: Option<&'static str>,
    /// Uplinks that begin without a carrier.
    pub unplugged: &'static [&'static str],
    /// Programs that become the daemon.
    pub way: &'static [&'static str],
    /// Keys and their values, as TOML.
    pub keys: &'static [(&'static str, &'static str)],
}

impl Plan {
    pub fn new(mode: &'static str) -> Plan {
        let (shape, none) = (Shape::default(), &[]);
        let (https, port, host) = (false, 0, None);
        Plan { mode, shape, interval: "1m", https, port, host, unplugged: none, way: none, keys: &[] }
    }

    /// `None` where there can be no namespaces.
    pub fn start(self) -> Option<Rig> {
        let net = self.net()?;
        self.start_in(net)
    }

    pub fn net(&self) -> Option<Net> {
        if let Some(reason) = obstacle() {
            skip(reason);
            return None;
        }
        let net = Net::new(self.shape).expect("as it was possible before");
        for uplink in self.unplugged {
            net.carrier(uplink, false);
        }
        Some(net)
    }

    pub fn start_in(self, net: Net) -> Option<Rig> {
        let setup = self.setup();
        Some(self.start_with(net, setup))
    }

    pub fn start_with(self, net: Net, setup: Setup) -> Rig {
        // The benchmark, which includes this, is not to be woken 200 times a second.
        if cfg!(test) {
            lateness::watch();
        }
        let authority = self.https.then(Authority::new);
        let tls = authority.as_ref().map(|ca| ca.server(&[&net.server_ip().to_string()]));
        let server = Server::on(net.listen(self.port), tls, |_| Reply::ok());
        let mut url = server.url("/");
        if let Some(host) = self.host {
            url = url.replace(&net.server_ip().to_string(), host);
        }
        let mut setup = setup.to(&url);
        if let Some(authority) = authority {
            let file = setup.scratch().file("ca.pem", &authority.pem);
            setup = setup.key("heartbeat.ca_file", &file);
        }
        let resolver = net.resolver();
        let command = net.become_daemon_after(self.way);
        let daemon = net.device.enter(|| setup.start_as(command));
        // A signal before it can take one would end it.
        daemon.wait_for_line("of the start", |line| line.contains("sends a heartbeat to"));
        Rig { daemon, server, _resolver: resolver, net }
    }

    pub fn setup(&self) -> Setup {
        let setup = setup(self.mode).interval(self.interval);
        self.keys.iter().fold(setup, |setup, (key, value)| setup.toml(key, value))
    }
}

/// The daemon ends first.
pub struct Rig {
    pub daemon: Daemon,
    pub server: Server,
    _resolver: Resolver,
    pub net: Net,
}

impl Rig {
    /// A heartbeat of this moment, asked for by SIGUSR1.
    pub fn look(&self) -> Request {
        let deadline = Instant::now() + SOON;
        while Instant::now() < deadline {
            self.daemon.signal(Signal::USR1);
            let soon = Instant::now() + Duration::from_secs(3);
            while let Some(request) =
                self.server.request_within(soon.saturating_duration_since(Instant::now()))
            {
                if request.is_live() && request.reason() == "trigger" {
                    return request;
                }
            }
        }
        panic!("no heartbeat within {SOON:?} of a trigger");
    }

    /// Looks until it holds.
    pub fn wait(&self, what: &str, holds: impl Fn(&Request) -> bool) -> Request {
        let deadline = Instant::now() + SOON;
        loop {
            let seen = self.look();
            if holds(&seen) {
                return seen;
            }
            assert!(Instant::now() < deadline, "never: {what}; it is {}", seen.json()["connection"]);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Until all these uplinks are known to be good and heartbeats leave over the first of them; then it is quiet.
    pub fn settle(&self, good: &[&str]) {
        let settled = |seen: &Request| {
            self.came_over(seen, good[0])
                && active(seen) == good[0]
                && good.iter().all(|uplink| health(seen, uplink) == "valid")
        };
        self.wait(&format!("{good:?} valid, and the first one used"), settled);
        self.server.requests_during(Duration::from_millis(50));
    }

    pub fn settle_on_all(&self) {
        self.settle(&UPLINKS);
    }

    pub fn came_over(&self, request: &Request, uplink: &str) -> bool {
        request.peer.ip() == self.net.address(uplink)
    }

    /// The next heartbeat over this uplink.
    pub fn next_over(&self, uplink: &str) -> Request {
        self.server.request_that(|request| request.is_live() && self.came_over(request, uplink))
    }

    /// The next heartbeat is one of an event, leaves over this uplink in time, and says so.
    pub fn fails_over(&self, since: Instant, promise: Duration, uplink: &str, state: &str) -> Request {
        let request = self.next_over(uplink);
        in_time(since, request.at, promise, state);
        assert_eq!(
            (request.reason().as_str(), active(&request).as_str()),
            ("failover", uplink),
            "{request:?}"
        );
        assert_eq!(text(&request.json()["connection"]["state"]), state);
        request
    }

    /// Nothing that an event calls for, and nothing over another uplink, for as long.
    pub fn stays(&self, time: Duration, uplink: &str) {
        for request in self.server.requests_during(time).into_iter().filter(Request::is_live) {
            assert!(self.came_over(&request, uplink), "left {uplink}: {request:?}");
            assert!(["scheduled", "trigger"].contains(&request.reason().as_str()), "an event: {request:?}");
        }
    }

    /// Nothing in the log since the start says that an uplink was lost or left.
    pub fn has_never_switched(&self) {
        for part in ["disconnected", "[Network] Triggering"] {
            assert!(self.daemon.log_lines(part).is_empty(), "{:?}", self.daemon.log());
        }
    }

    /// `heartbeat-daemon failover ...`: what it prints.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = self.net.device.enter(|| {
            let command = self.daemon.setup().command(arguments);
            crate::support::daemon::output_of(command)
        });
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    pub fn says(&self, line: &str) {
        self.daemon.wait_for_line(line, |said| said.contains(line));
    }
}

pub fn active(request: &Request) -> String {
    text(&request.json()["connection"]["active"])
}

pub fn state(request: &Request) -> String {
    text(&request.json()["connection"]["state"])
}

/// What the heartbeat says of this uplink; empty if nothing.
pub fn health(request: &Request, uplink: &str) -> String {
    text(&reported(request, uplink)["health"])
}

/// Seconds since this uplink last worked, by the heartbeat.
pub fn proven_s(request: &Request, uplink: &str) -> Option<u64> {
    reported(request, uplink)["proven_s"].as_u64()
}

fn reported(request: &Request, uplink: &str) -> Value {
    let uplinks = request.json()["connection"]["uplinks"].clone();
    let mut uplinks = uplinks.as_array().into_iter().flatten();
    uplinks.find(|reported| reported["interface"] == uplink).cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
