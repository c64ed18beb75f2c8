//! From a request to a beat: who sent it, in which format, and what is answered.
//!
//! All of it happens on the front's own thread. A live heartbeat is a hash, one pass over its JSON and a copy into
//! memory, 3 us together, and never waits for a disk; to hand it to another thread would cost more than that. What
//! must be durable before its answer goes to the recorder, which answers it.
//!
//! | file | what it owns |
//! |---|---|
//! | `route` | which paths are ingest's |
//! | `credentials` | the token in a request |
//! | `body` | gzip, encoding and NaN: from a body's bytes to its text |
//! | `complaints` | which undecodable requests are logged |
//! | `read` | one pass over JSON, for all formats |
//! | `figures` | what is believed of a number |
//! | `native` | our daemon's heartbeats and replays |
//! | `streamer` | RPI Streamer's |
//! | `meeting` | the Meeting API's |
//! | `lunasentri` | LunaSentri's agent's |
//! | `enroll` | a device that registers itself |
//! | `counters` | what was taken and what was refused |

mod body;
mod complaints;
pub mod counters;
mod credentials;
pub mod enroll;
pub mod figures;
pub mod lunasentri;
pub mod meeting;
pub mod native;
pub mod read;
pub mod route;
pub mod streamer;

#[cfg(test)]
mod tests;

use super::beat::{Beat, Replay};
use super::fleet::Belief;
use super::history::packed::Packed;
use super::store::StoreError;
use crate::clock::{Moment, Now};
use crate::http::{self, Exchange, Method, Reply, Request, Response};
use crate::monitor::fleet::BeatEffect;
use crate::monitor::history::rows::PastSample;
use crate::monitor::machine::MachineId;
use crate::monitor::recorder::{RecorderContext, RecorderEvent};
use crate::monitor::registry::lookup::{Denied, Registry};
use complaints::Complaints;
use counters::{Counters, Format};
use crossbeam_channel::Sender as Channel;
use native::Received;
use route::Route;
use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// What is said to a device that does not name its interval.
const INTERVAL: Duration = Duration::from_secs(5);

/// Seconds, drawn anew for each device: those that are turned away together do not come back together.
const RETRY_AFTER_S: RangeInclusive<u32> = 5..=15;

/// Why a request is not a heartbeat: one sentence for the author of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    cause: Cause,
    reason: Cow<'static, str>,
}

/// Kinds of malformed requests; each is logged once an hour per machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Content-Encoding.
    Coding,
    TooLarge,
    NotUtf8,
    NotJson,
    /// JSON, but not what the path takes.
    NotAHeartbeat,
    /// No body at all.
    Missing,
}

impl Malformed {
    fn new(cause: Cause, reason: &'static str) -> Malformed {
        Malformed { cause, reason: Cow::Borrowed(reason) }
    }

    fn json(error: serde_json::Error) -> Malformed {
        Malformed {
            cause: Cause::NotJson,
            reason: Cow::Owned(format!("the body is not valid JSON: {error}")),
        }
    }

    fn status(&self) -> u16 {
        if self.cause == Cause::TooLarge { 413 } else { 400 }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Takes heartbeats of all formats out of the requests.
#[derive(Debug, Clone)]
pub struct Ingest {
    shared: RecorderContext,
    orders: Channel<RecorderEvent>,
    counters: Arc<Counters>,
    complaints: Arc<Complaints>,
}

/// An authenticated request.
#[derive(Clone, Copy)]
struct Sender<'r> {
    machine: MachineId,
    route: Route<'r>,
    /// HEAD: answered as GET, and nothing is recorded.
    is_head: bool,
    now: Now,
}

/// Whether NaN and Infinity were replaced by null in a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    AsSent,
    Replaced,
}

/// What a request comes to.
enum Verdict {
    Answered(Response),
    /// When it is durable.
    Pending(Vec<PastSample>),
}

impl Ingest {
    /// `orders` is the recorder's; what does not fit there is answered 503.
    pub fn new(shared: RecorderContext, orders: Channel<RecorderEvent>) -> Ingest {
        Ingest { shared, orders, counters: Arc::default(), complaints: Arc::default() }
    }

    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Answers the exchange, or passes it on to the recorder; returns it if its path is not one of ingest's. Never
    /// waits.
    pub fn take(&self, exchange: Exchange) -> Option<Exchange> {
        let Some(route) = route::route(exchange.request.path()) else { return Some(exchange) };
        let now = Now::read();
        let verdict = self.judge(&exchange.request, route, now);
        match verdict {
            Ok(Verdict::Answered(response)) => exchange.reply.send(uncached(response).authenticated()),
            Ok(Verdict::Pending(past)) => self.order_replays(past, exchange.reply, now.wall),
            Err(refusal) => exchange.reply.send(self.refuse(refusal)),
        }
        None
    }

    /// Decides about a request whose body is still to come; `None` if its path is not one of ingest's.
    pub fn check(&self, request: &Request, now: Moment) -> Option<http::GateDecision> {
        let route = route::route(request.path())?;
        Some(match self.identify(request, route, now) {
            Ok(_) => http::GateDecision::Authenticated,
            Err(refusal) => http::GateDecision::Refuse(self.refuse(refusal)),
        })
    }

    /// Checks method, token and device key.
    fn identify(&self, request: &Request, route: Route<'_>, now: Moment) -> Result<MachineId, Refusal> {
        if request.method() != route.method() && !is_legacy(request, route) {
            return Err(Refusal::Method(route.allowed()));
        }
        let registry = self.shared.registry.get();
        let machine = authenticate(&registry, request, now)?;
        if let Some(device_key) = route.device_key() {
            check_key(&registry, machine, device_key)?;
        }
        Ok(machine)
    }

    fn judge(&self, request: &Request, route: Route<'_>, now: Now) -> Result<Verdict, Refusal> {
        let machine = self.identify(request, route, now.wall)?;
        match route {
            Route::Availability { .. } => return Ok(Verdict::Answered(self.availability(machine))),
            Route::Device { device_key } => return Ok(Verdict::Answered(self.device(machine, device_key))),
            _ => {}
        }
        let sender = Sender { machine, route, is_head: request.is_head(), now };
        if is_legacy(request, route) {
            let body = streamer::params(request.query().unwrap_or_default())?;
            return self.receive(sender, &body, Ok(()));
        }
        let (body, inflated) = body::inflate(request, request.content().map_err(Refusal::Front)?);
        self.receive(sender, &body, inflated)
    }

    /// Takes a body, `inflated` unless that failed. One that cannot be decoded is a sign of life all the same: the
    /// device is there, and its token is right.
    fn receive(
        &self,
        sender: Sender<'_>,
        body: &[u8],
        inflated: Result<(), Malformed>,
    ) -> Result<Verdict, Refusal> {
        let text = inflated.and_then(|()| body::text(body));
        let verdict = text.map_err(Refusal::from).and_then(|text| self.decode(sender, text));
        if let Err(Refusal::Malformed(reason)) = &verdict {
            // The rest of what is too large may well hold the key of a replay.
            let may_be_replay = reason.cause == Cause::TooLarge || body::may_be_replay(body);
            if !sender.is_head && !may_be_replay {
                self.hear_undecodable(sender, reason);
            }
        }
        verdict
    }

    /// Parses a body, a second time if it has numbers that JSON does not have.
    fn decode(&self, sender: Sender<'_>, text: &str) -> Result<Verdict, Refusal> {
        let parsed = self.parse(sender, text, Numbers::AsSent);
        match &parsed {
            Err(Refusal::Malformed(reason)) if reason.cause == Cause::NotJson => {}
            _ => return parsed,
        }
        match body::with_null_for_nan(text) {
            Some(text) => self.parse(sender, &text, Numbers::Replaced),
            None => parsed,
        }
    }

    fn parse(&self, sender: Sender<'_>, text: &str, numbers: Numbers) -> Result<Verdict, Refusal> {
        match sender.route {
            Route::Heartbeat | Route::Streamer => match native::parse(text)? {
                Received::Beat(_)
                    if numbers == Numbers::Replaced && body::mentions_replay(text.as_bytes()) =>
                {
                    Err(Malformed::new(Cause::NotAHeartbeat, native::NO_AGE).into())
                }
                Received::Beat(beat) => {
                    let native = sender.route == Route::Heartbeat;
                    let format = if native { Format::Native } else { Format::Streamer };
                    if !sender.is_head {
                        self.hear(sender, &beat, format)?;
                    }
                    Ok(Verdict::Answered(acknowledgement(beat.interval, sender.now.wall)))
                }
                Received::Replays(_) if sender.is_head => {
                    Ok(Verdict::Answered(acknowledgement(None, sender.now.wall)))
                }
                Received::Replays(replays) => {
                    Ok(Verdict::Pending(past(sender.machine, &replays, sender.now.wall)))
                }
            },
            Route::Online { .. } | Route::Availability { .. } | Route::Device { .. } => {
                self.hear(sender, &meeting::parse(text)?, Format::Meeting)?;
                Ok(Verdict::Answered(meeting::online()))
            }
            Route::Metrics => {
                self.hear(sender, &lunasentri::parse(text)?, Format::Lunasentri)?;
                // As its own server answers.
                Ok(Verdict::Answered(Response::new(202)))
            }
        }
    }

    /// Notes that `machine` is alive. A beat that must be refused has been heard all the same: nobody is called late
    /// for what the monitor cannot do.
    fn hear(&self, sender: Sender<'_>, beat: &Beat<'_>, format: Format) -> Result<(), Refusal> {
        let news = self.shared.fleet.beat(sender.machine, beat, sender.now.wall);
        if !self.pass_on(sender, news) {
            return Err(Refusal::Busy);
        }
        if !self.shared.pulse.is_fresh(sender.now.monotonic) {
            return Err(Refusal::Unwritten);
        }
        self.counters.taken(format);
        Ok(())
    }

    /// Notes that the sender is alive, and logs why its request could not be decoded.
    fn hear_undecodable(&self, sender: Sender<'_>, reason: &Malformed) {
        let Sender { machine, now, .. } = sender;
        let news = self.shared.fleet.alive(machine, now.wall);
        self.pass_on(sender, news);
        if self.complaints.is_due(machine, reason.cause, sender.now.monotonic) {
            // Not logged if the recorder is busy; the counter of malformed requests shows it.
            let _ = self.orders.try_send(RecorderEvent::Undecodable { machine, reason: reason.to_string() });
        }
    }

    /// Passes what follows from a beat on to the recorder; false if it is too busy.
    fn pass_on(&self, sender: Sender<'_>, news: BeatEffect) -> bool {
        let Sender { machine, now, .. } = sender;
        let order = match news {
            BeatEffect::Nothing => return true,
            BeatEffect::Back => RecorderEvent::Back { machine, seen: now.wall },
            BeatEffect::Farewell => RecorderEvent::Farewell { machine, seen: now.wall },
        };
        let sent = self.orders.try_send(order).is_ok();
        if !sent {
            // Its next beat asks again.
            self.shared.fleet.believe(machine, Belief::Away);
            self.shared.pulse.returns.failed(now.monotonic);
        }
        sent
    }

    fn order_replays(&self, past: Vec<PastSample>, reply: Reply, now: Moment) {
        let (count, counters) = (past.len(), self.counters.clone());
        let stored = move |result: Result<(), StoreError>| match result {
            Ok(()) => {
                counters.replayed(count);
                reply.send(uncached(acknowledgement(None, now)).authenticated());
            }
            Err(_) => {
                counters.busy();
                reply.send(uncached(unavailable(UNWRITTEN)).authenticated());
            }
        };
        let order = RecorderEvent::Replays { past, stored: Box::new(stored) };
        if let Err(unsent) = self.orders.try_send(order) {
            if let RecorderEvent::Replays { stored, .. } = unsent.into_inner() {
                stored(Err(StoreError::Busy));
            }
        }
    }

    fn availability(&self, machine: MachineId) -> Response {
        let fleet = &self.shared.fleet;
        meeting::availability(fleet.is_online(machine), fleet.seen(machine))
    }

    fn device(&self, machine: MachineId, device_key: &str) -> Response {
        let fleet = &self.shared.fleet;
        meeting::device(device_key, fleet.is_online(machine), fleet.newest(machine))
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        let authenticated = refusal.is_authenticated();
        let response = uncached(self.explain(refusal));
        if authenticated { response.authenticated() } else { response }
    }

    fn explain(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Denied(Denied::Disabled) => {
                self.counters.denied();
                Response::error(403, &Denied::Disabled.to_string())
            }
            Refusal::Denied(denied) => self.unauthorized(&denied.to_string()),
            Refusal::NoToken => self.unauthorized(NO_TOKEN),
            Refusal::OtherDevice => self.unauthorized("the token is another device's"),
            Refusal::Malformed(reason) => {
                self.counters.malformed();
                Response::error(reason.status(), &reason.to_string())
            }
            Refusal::Front(response) => {
                self.counters.malformed();
                response
            }
            Refusal::Method(allowed) => {
                Response::error(405, "method not allowed here (see Allow)").header("Allow", allowed)
            }
            Refusal::Busy => {
                self.counters.busy();
                unavailable("too many machines come back at once: try again later")
            }
            Refusal::Unwritten => {
                self.counters.busy();
                unavailable(UNWRITTEN)
            }
        }
    }

    fn unauthorized(&self, reason: &str) -> Response {
        self.counters.denied();
        Response::error(401, reason).header("WWW-Authenticate", "Bearer realm=\"heartbeat\"")
    }
}

const NO_TOKEN: &str =
    "a token is needed: Authorization: Bearer TOKEN (Meeting API: X-Token-Code; LunaSentri: X-API-Key)";
const UNWRITTEN: &str = "the database cannot be written: try again later";

/// Why a request is not taken.
enum Refusal {
    NoToken,
    Denied(Denied),
    OtherDevice,
    Malformed(Malformed),
    /// The front's own answer: 411.
    Front(Response),
    Method(&'static str),
    Busy,
    Unwritten,
}

impl Refusal {
    /// The request had a valid token.
    fn is_authenticated(&self) -> bool {
        match self {
            Refusal::NoToken | Refusal::Denied(_) | Refusal::OtherDevice | Refusal::Method(_) => false,
            Refusal::Malformed(_) | Refusal::Front(_) | Refusal::Busy | Refusal::Unwritten => true,
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(reason: Malformed) -> Refusal {
        Refusal::Malformed(reason)
    }
}

/// RPI Streamer's older form, with the body in the query.
fn is_legacy(request: &Request, route: Route<'_>) -> bool {
    route == Route::Streamer && request.method() == Method::Get
}

fn authenticate(registry: &Registry, request: &Request, now: Moment) -> Result<MachineId, Refusal> {
    let token = credentials::token(request).ok_or(Refusal::NoToken)?;
    registry.authenticate(&token, now).map_err(Refusal::Denied)
}

/// The Meeting API names the device twice. The token says who it is; a machine that was given no such name answers to
/// any.
fn check_key(registry: &Registry, machine: MachineId, device_key: &str) -> Result<(), Refusal> {
    match registry.device_key(machine) {
        Some(own) if own != device_key => Err(Refusal::OtherDevice),
        _ => Ok(()),
    }
}

fn past(machine: MachineId, replays: &[Replay], now: Moment) -> Vec<PastSample> {
    let past = |replay: &Replay| PastSample {
        machine,
        at: now.minus(replay.age),
        figures: Packed::from(replay.sample),
    };
    replays.iter().map(past).collect()
}

/// `wire::HeartbeatResponse`, in as few bytes as it can be said.
fn acknowledgement(interval: Option<Duration>, now: Moment) -> Response {
    let interval = interval.unwrap_or(INTERVAL).as_secs_f64();
    let server_time = now.0.div_euclid(1000);
    Response::bare(200, format!("{{\"interval_s\":{interval},\"server_time\":{server_time}}}").into_bytes())
}

/// A cache that repeats an answer would hide that a device is gone.
fn uncached(response: Response) -> Response {
    response.header("Cache-Control", "no-store")
}

fn unavailable(reason: &str) -> Response {
    Response::error(503, reason).header("Retry-After", fastrand::u32(RETRY_AFTER_S).to_string())
}
