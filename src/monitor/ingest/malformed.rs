//! Faults of a request's body, shared by the decoders of all formats.

use std::borrow::Cow;

/// Why the body of a request cannot be decoded, as one sentence for the author of the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    pub cause: Cause,
    reason: Cow<'static, str>,
}

/// The kind of fault; each is logged once an hour per machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Unsupported or wrong Content-Encoding.
    Coding,
    TooLarge,
    NotUtf8,
    NotJson,
    /// Valid JSON that the format does not allow.
    NotAHeartbeat,
    /// The query has no heartbeat.
    Missing,
}

impl Malformed {
    pub fn new(cause: Cause, reason: &'static str) -> Malformed {
        Malformed { cause, reason: Cow::Borrowed(reason) }
    }

    pub fn json(error: serde_json::Error) -> Malformed {
        Malformed {
            cause: Cause::NotJson,
            reason: Cow::Owned(format!("the body is not valid JSON: {error}")),
        }
    }

    /// The HTTP status to answer with.
    pub fn status(&self) -> u16 {
        if self.cause == Cause::TooLarge { 413 } else { 400 }
    }
}
