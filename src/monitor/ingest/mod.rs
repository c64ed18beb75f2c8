//! From a request to a beat: who sent it, in which format, and what is answered.
//!
//! | file | what it owns |
//! |---|---|
//! | `read` | one pass over JSON, for all formats |
//! | `figures` | what is believed of a number |
//! | `native` | our daemon's heartbeats and replays |
//! | `streamer` | RPI Streamer's |
//! | `meeting` | the Meeting API's |
//! | `lunasentri` | LunaSentri's agent's |

pub mod figures;
pub mod lunasentri;
pub mod meeting;
pub mod native;
pub mod read;
pub mod streamer;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

/// Why a request is no heartbeat: one sentence for whoever built the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(Cow<'static, str>);

impl Malformed {
    fn new(reason: &'static str) -> Malformed {
        Malformed(Cow::Borrowed(reason))
    }

    fn json(error: serde_json::Error) -> Malformed {
        Malformed(Cow::Owned(format!("the body is not a heartbeat: {error}")))
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
