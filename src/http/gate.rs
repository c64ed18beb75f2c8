//! What the program decides about a request as soon as its head is complete, while its body is still to come.

use super::message::{Request, Response};

/// Decides about a request without its body. Called on the reactor's thread: it must not wait. A request that is
/// complete at once goes to the handler alone, which has to check the same.
pub type Gate = Box<dyn Fn(&Request) -> Verdict + Send>;

pub enum Verdict {
    /// Receive the body.
    Receive,
    /// Receive the body; the request has a valid token (see [`Response::authenticated`]).
    Authenticated,
    /// Answer at once, and close the connection.
    Refuse(Response),
}
