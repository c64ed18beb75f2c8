//! What a handler gets, and what it returns.

use super::client::SERVER;
use super::guard::Trust;
use super::state::{ApiContext, ApiSettings};
use crate::clock::Now;
use crate::http::{Counters, Reply, Request, Response};
use serde::de::DeserializeOwned;

/// What a handler gets.
pub struct Call<'a> {
    pub request: &'a Request,
    /// The part of the path that `*` matched.
    pub rest: &'a str,
    pub trust: Trust,
    pub context: &'a ApiContext,
    pub settings: &'a ApiSettings,
    pub counters: &'a Counters,
    pub now: Now,
}

impl Call<'_> {
    /// The body, parsed. It must be declared as JSON, because a form on another site's page cannot do that.
    ///
    /// # Errors
    /// The response to a body that is not declared as JSON, or is not the expected JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Response> {
        let kind = self.request.header("Content-Type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Response::error(415, "the body must be JSON, with Content-Type: application/json"));
        }
        serde_json::from_slice(self.request.body())
            .map_err(|error| Response::error(400, &format!("the body is not the expected JSON: {error}")))
    }
}

/// What a handler returns.
pub enum Handled {
    Response(Response),
    /// Another thread sends the response later.
    Deferred(StartDeferred),
}

/// Gives the request to the other thread.
pub type StartDeferred = Box<dyn FnOnce(&ApiContext, Pending)>;

impl From<Response> for Handled {
    fn from(response: Response) -> Handled {
        Handled::Response(response)
    }
}

/// A request that another thread answers. Dropped without a response, it sends `otherwise`.
pub struct Pending {
    reply: Option<Reply>,
    pub otherwise: Response,
}

impl Pending {
    pub fn new(reply: Reply) -> Pending {
        let otherwise = Response::error(503, "the daemon has too much to do; try again later");
        Pending { reply: Some(reply), otherwise }
    }

    pub fn send(mut self, response: Response) {
        self.otherwise = response;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let response = std::mem::replace(&mut self.otherwise, Response::new(500));
        if let Some(reply) = self.reply.take() {
            reply.send(with_common_headers(response));
        }
    }
}

/// For every response, the page's too.
pub fn with_common_headers(response: Response) -> Response {
    response
        .header("X-Content-Type-Options", "nosniff")
        .header("Cache-Control", "no-store")
        .header("Server", SERVER)
}
