//! What a handler gets, and what it returns.

use super::client::SERVER;
use super::guard::Trust;
use super::state::{Known, Settings};
use crate::clock::Now;
use crate::http::{Counters, Reply, Request, Response};

/// What a handler gets.
pub struct Call<'a> {
    pub request: &'a Request,
    /// The part of the path that `*` matched.
    pub rest: &'a str,
    pub trust: Trust,
    pub known: &'a Known,
    pub settings: &'a Settings,
    pub counters: &'a Counters,
    pub now: Now,
}

/// What a handler returns.
pub enum Handled {
    Response(Response),
    /// Another thread sends the response later.
    Deferred(Start),
}

/// Gives the request to the other thread.
pub type Start = Box<dyn FnOnce(&Known, Pending)>;

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
