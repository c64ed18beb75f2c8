//! What a handler is given, and what it gives back.

use super::guard::Trust;
use super::state::{Known, Settings};
use crate::clock::Now;
use crate::http::{Counters, Request, Response};

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
