//! The program's decision about a request whose head is complete and whose body is still to come.

use super::message::{Request, Response};

/// Decides about a request without its body. Called on the reactor's thread, so it must not block. A request that
/// arrives completely skips it: the handler has to check the same.
pub type Gate = Box<dyn Fn(&Request) -> GateDecision + Send>;

pub enum GateDecision {
    /// Receive the body.
    Receive,
    /// Receive the body; the request has a valid token (see [`Response::authenticated`]).
    Authenticated,
    /// Answer at once, and close the connection.
    Refuse(Response),
}
