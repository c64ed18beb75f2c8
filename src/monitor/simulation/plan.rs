//! What is sent: heads and bodies, built once.

use crate::wire::{Heartbeat, SAMPLE};
use std::net::SocketAddr;
use std::time::Duration;

/// Replays of a machine cover so many minutes before they begin again: what our daemon keeps while nobody listens.
const REMEMBERED: usize = 240;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Each machine at this interval, their phases spread over it.
    Every(Duration),
    /// Each connection sends again as soon as it has its answer.
    Unpaced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Live,
    /// So many replays in a request, one for each minute of the past.
    Replays(usize),
}

impl Content {
    /// Heartbeats in a request.
    pub fn batch(self) -> usize {
        match self {
            Content::Live => 1,
            Content::Replays(batch) => batch,
        }
    }
}

/// A fleet and what it does.
#[derive(Debug)]
pub struct Plan {
    pub address: SocketAddr,
    pub pace: Pace,
    pub content: Content,
    /// After the warm-up.
    pub length: Duration,
    /// Machines take turns on them; one for each machine, where there are as many.
    pub connections: usize,
    /// One for each machine; all end where a body's own headers begin.
    heads: Vec<Vec<u8>>,
    /// Headers of its own and the body.
    bodies: Vec<Vec<u8>>,
}

impl Plan {
    /// `authority` and `path` are a URL's.
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
            pace: Pace::Unpaced,
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

    /// The two halves of the request that `machine` sends as its `turn`th.
    pub(super) fn request(&self, machine: usize, turn: usize) -> [&[u8]; 2] {
        [&self.heads[machine % self.heads.len()], &self.bodies[turn % self.bodies.len()]]
    }

    /// How far a connection's requests are apart; zero if it does not wait.
    pub(super) fn period(&self) -> Duration {
        match self.pace {
            Pace::Every(interval) => {
                interval.mul_f64(self.connections as f64 / self.machines().max(1) as f64)
            }
            Pace::Unpaced => Duration::ZERO,
        }
    }
}

fn bodies(content: Content) -> Vec<Vec<u8>> {
    let sample: Heartbeat = serde_json::from_str(SAMPLE).expect("the sample is a heartbeat");
    match content {
        Content::Live => vec![json(&sample)],
        Content::Replays(batch) => {
            let minutes: Vec<u64> = (1..=REMEMBERED as u64).collect();
            let replays = |minutes: &[u64]| {
                let replay = |minute: &u64| Heartbeat { replay_age_s: Some(minute * 60), ..sample.clone() };
                json(&minutes.iter().map(replay).collect::<Vec<_>>())
            };
            minutes.chunks_exact(batch.clamp(1, REMEMBERED)).map(replays).collect()
        }
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // Strings, numbers and maps with string keys: there is nothing in it that JSON cannot say.
    serde_json::to_vec(value).expect("a heartbeat is JSON")
}
