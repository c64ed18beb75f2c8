//! What a handler is given, and what it gives back.

use super::guard::Trust;
use super::state::{Known, Settings};
use crate::http::{Counters, Request, Response};
use std::time::{Duration, Instant, SystemTime};

/// What a handler is given.
pub struct Call<'a> {
    pub request: &'a Request,
    /// What stands in place of the `*` of its path.
    pub rest: &'a str,
    pub trust: Trust,
    pub known: &'a Known,
    pub settings: &'a Settings,
    pub counters: &'a Counters,
    pub now: Now,
}

/// This moment, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub monotonic: Instant,
    pub wall: SystemTime,
}

impl Now {
    pub fn read() -> Now {
        Now { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// Since `then`.
    pub fn since(&self, then: Instant) -> Duration {
        self.monotonic.saturating_duration_since(then)
    }
}

/// What a handler gives back.
pub enum Answer {
    Now(Response),
    /// Once all cameras are checked.
    CheckedCameras,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        Answer::Now(response)
    }
}
