//! A signed-in user, as a browser without a screen.

use crate::parts::Outcome;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::accounts::audit::Actor;
use heartbeat_daemon::monitor::accounts::sessions::NewSession;
use heartbeat_daemon::monitor::accounts::visitor::{AccessScope, Role};
use heartbeat_daemon::monitor::store::Store;
use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Adds a user with this many sessions; the sessions' tokens.
pub fn sign_in(store: &Store, sessions: usize) -> Outcome<Vec<String>> {
    let now = Moment::now();
    let user = store
        .add_user(&Actor::command_line(), "owner", Role::Owner, &AccessScope::All, now)
        .map_err(|error| error.to_string())?;
    let session = |_| {
        let token = store.add_session(&NewSession { user, address: None, agent: None }, now);
        token.map(|token| token.as_str().to_owned()).map_err(|error| error.to_string())
    };
    (0..sessions).map(session).collect()
}

/// One kept connection.
pub struct Visitor {
    agent: ureq::Agent,
    base: String,
    cookie: String,
}

/// A response and how long it took.
pub struct Answer {
    pub body: Vec<u8>,
    pub is_compressed: bool,
    pub took: Duration,
}

impl Visitor {
    pub fn new(to: SocketAddr, token: &str) -> Visitor {
        let agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(20))).build().into();
        Visitor { agent, base: format!("http://{to}"), cookie: format!("heartbeat_session={token}") }
    }

    pub fn get(&self, path: &str) -> Outcome<Answer> {
        let begin = Instant::now();
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.header("Cookie", &self.cookie).header("Accept-Encoding", "gzip");
        let mut response = request.call().map_err(|error| format!("{path}: {error}"))?;
        let is_compressed = response.headers().get("Content-Encoding").is_some();
        let mut body = Vec::new();
        let read = response.body_mut().as_reader().read_to_end(&mut body);
        read.map_err(|error| format!("{path}: {error}"))?;
        Ok(Answer { body, is_compressed, took: begin.elapsed() })
    }
}

impl Answer {
    pub fn text(&self) -> String {
        let mut text = String::new();
        let read = match self.is_compressed {
            true => flate2::read::GzDecoder::new(self.body.as_slice()).read_to_string(&mut text),
            false => self.body.as_slice().read_to_string(&mut text),
        };
        read.map(|_| text).unwrap_or_default()
    }
}
