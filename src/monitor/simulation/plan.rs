//! The requests: heads and bodies, built once.

use crate::wire::{Camera, CameraStatus, Heartbeat, SAMPLE};
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
    pub address: SocketAddr,
    pub rate: SendRate,
    pub content: Content,
    /// After the warm-up.
    pub length: Duration,
    /// Machines share these in turn; with as many connections as machines, each has its own.
    pub connections: usize,
    /// Request heads, one per machine, up to the headers that depend on the body.
    heads: Vec<Vec<u8>>,
    /// Each with its own headers.
    bodies: Vec<Vec<u8>>,
}

impl Plan {
    /// `authority` and `path` are parts of the URL.
    pub fn new(
        address: SocketAddr,
        authority: &str,
        path: &str,
        tokens: &[String],
        content: Content,
    ) -> Plan {
        let head = |token: &String| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n\
                 User-Agent: heartbeat-daemon/{}\r\nContent-Type: application/json\r\n",
                env!("CARGO_PKG_VERSION")
            )
            .into_bytes()
        };
        let bodies = bodies(content).into_iter().map(|body| {
            let head = format!("Content-Length: {}\r\n\r\n", body.len());
            [head.into_bytes(), body].concat()
        });
        Plan {
            address,
            rate: SendRate::Unlimited,
            content,
            length: Duration::from_secs(10),
            connections: tokens.len(),
            heads: tokens.iter().map(head).collect(),
            bodies: bodies.collect(),
        }
    }

    pub fn machines(&self) -> usize {
        self.heads.len()
    }

    /// Head and body of request number `turn` of `machine`.
    pub(super) fn request(&self, machine: usize, turn: usize) -> [&[u8]; 2] {
        [&self.heads[machine % self.heads.len()], &self.bodies[turn % self.bodies.len()]]
    }

    /// Time between two requests of a connection; zero if it does not wait.
    pub(super) fn period(&self) -> Duration {
        match self.rate {
            SendRate::Every(interval) => {
                interval.mul_f64(self.connections as f64 / self.machines().max(1) as f64)
            }
            SendRate::Unlimited => Duration::ZERO,
        }
    }
}

fn bodies(content: Content) -> Vec<Vec<u8>> {
    let sample: Heartbeat = serde_json::from_str(SAMPLE).expect("the sample is a heartbeat");
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
