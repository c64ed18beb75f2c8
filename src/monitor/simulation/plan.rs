//! The fleet: its requests, built once, its servers, and how its machines behave.

use super::outages::PlannedOutage;
use super::target::FleetServer;
use crate::wire::{Camera, CameraStatus, Heartbeat, LinkState, SAMPLE};
use std::net::SocketAddr;
use std::time::Duration;

/// Minutes that the replays of a machine cover before they start over: what our daemon keeps while it is offline.
const REPLAY_MINUTES: usize = 240;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendRate {
    /// Each machine at this interval, with the phases spread evenly.
    Every(Duration),
    /// Each connection sends again as soon as it has a response.
    Unlimited,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Live,
    /// Live heartbeats of devices with this many cameras, which all respond.
    Cameras(usize),
    /// This many replays per request, one for each past minute.
    Replays(usize),
}

impl Content {
    /// Heartbeats per request.
    pub fn batch(self) -> usize {
        match self {
            Content::Live | Content::Cameras(_) => 1,
            Content::Replays(batch) => batch,
        }
    }
}

/// The fleet and its load.
#[derive(Debug)]
pub struct Plan {
    pub rate: SendRate,
    pub content: Content,
    /// After the warm-up.
    pub length: Duration,
    /// Of a fleet without a rate: the machines share these in turn.
    pub connections: usize,
    /// Of a fleet that sends at an interval.
    pub behaviour: Behaviour,
    /// Machine `i` prefers server `i` modulo their number.
    pub servers: Vec<FleetServer>,
    /// The beginning of the request heads, one per server.
    prefixes: Vec<Vec<u8>>,
    /// The header with the token, one per machine.
    credentials: Vec<Vec<u8>>,
    /// Each with its own headers.
    bodies: Vec<Vec<u8>>,
}

/// How machines behave that send at an interval, with a connection each.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Number of the first machine.
    pub first: u32,
    /// Each heartbeat is sent over a new connection.
    pub is_new_each: bool,
    /// All machines have begun after this time.
    pub ramp: Duration,
    /// Connections that are closed and made again, in a second.
    pub churn: f64,
    pub seed: u64,
    /// Times are from the begin of the measurement.
    pub outages: Vec<PlannedOutage>,
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour {
            first: 1,
            is_new_each: false,
            ramp: Duration::from_secs(5),
            churn: 0.0,
            seed: 0,
            outages: Vec::new(),
        }
    }
}

impl Plan {
    /// One server without TLS. `authority` and `path` are parts of its URL.
    pub fn new(
        address: SocketAddr,
        authority: &str,
        path: &str,
        tokens: &[String],
        content: Content,
    ) -> Plan {
        let (authority, path) = (authority.to_owned(), path.to_owned());
        Plan::with_servers(vec![FleetServer { address, authority, path, tls: None }], tokens, content)
    }

    pub fn with_servers(servers: Vec<FleetServer>, tokens: &[String], content: Content) -> Plan {
        let prefix = |server: &FleetServer| {
            let (path, host, version) = (&server.path, &server.authority, env!("CARGO_PKG_VERSION"));
            format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: heartbeat-daemon/{version}\r\n\
                 Content-Type: application/json\r\n"
            )
            .into_bytes()
        };
        let credential = |token: &String| format!("Authorization: Bearer {token}\r\n").into_bytes();
        let bodies = bodies(content).into_iter().map(|body| {
            let head = format!("Content-Length: {}\r\n\r\n", body.len());
            [head.into_bytes(), body].concat()
        });
        Plan {
            rate: SendRate::Unlimited,
            content,
            length: Duration::from_secs(10),
            connections: tokens.len(),
            behaviour: Behaviour::default(),
            prefixes: servers.iter().map(prefix).collect(),
            servers,
            credentials: tokens.iter().map(credential).collect(),
            bodies: bodies.collect(),
        }
    }

    pub fn machines(&self) -> usize {
        self.credentials.len()
    }

    /// The parts of request number `turn` of `machine`.
    pub(super) fn request(&self, server: usize, machine: usize, turn: usize) -> [&[u8]; 3] {
        [
            &self.prefixes[server % self.prefixes.len()],
            &self.credentials[machine % self.credentials.len()],
            &self.bodies[turn % self.bodies.len()],
        ]
    }
}

fn bodies(content: Content) -> Vec<Vec<u8>> {
    let sample = on_its_best_uplink(serde_json::from_str(SAMPLE).expect("the sample is a heartbeat"));
    match content {
        Content::Live => vec![json(&sample)],
        Content::Cameras(number) => vec![json(&with_cameras(&sample, number, CameraStatus::Connected))],
        Content::Replays(batch) => {
            let minutes: Vec<u64> = (1..=REPLAY_MINUTES as u64).collect();
            let replays = |minutes: &[u64]| {
                let replay = |minute: &u64| Heartbeat { replay_age_s: Some(minute * 60), ..sample.clone() };
                json(&minutes.iter().map(replay).collect::<Vec<_>>())
            };
            minutes.chunks_exact(batch.clamp(1, REPLAY_MINUTES)).map(replays).collect()
        }
    }
}

/// The sample reports two conditions of its uplinks. If each machine of a fleet did, the monitor would announce them all at once.
fn on_its_best_uplink(mut sample: Heartbeat) -> Heartbeat {
    for uplink in &mut sample.connection.uplinks {
        uplink.health = LinkState::Valid;
    }
    sample.connection.active = sample.connection.uplinks.first().map(|uplink| uplink.interface.clone());
    sample
}

/// The sample with this many cameras.
pub fn with_cameras(sample: &Heartbeat, number: usize, status: CameraStatus) -> Heartbeat {
    let camera = |number| Camera {
        mac: format!("b8:27:eb:00:{:02x}:{:02x}", number / 256, number % 256),
        hostname: Some(format!("camera-{number}")),
        status,
        last_seen: Some("2025-11-21T20:19:22Z".into()),
        failed_checks: Some(if status == CameraStatus::Connected { 0 } else { 2 }),
    };
    Heartbeat { cameras: (0..number).map(camera).collect(), ..sample.clone() }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // Strings, numbers and maps with string keys always serialise.
    serde_json::to_vec(value).expect("a heartbeat is JSON")
}
