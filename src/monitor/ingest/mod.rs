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
//! | `read` | one pass over JSON, for all formats |
//! | `figures` | what is believed of a number |
//! | `native` | our daemon's heartbeats and replays |
//! | `streamer` | RPI Streamer's |
//! | `meeting` | the Meeting API's |
//! | `lunasentri` | LunaSentri's agent's |
//! | `enroll` | a device that registers itself |
//! | `counters` | what was taken and what was refused |

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
mod requests;
#[cfg(test)]
mod tests;

use super::beat::{Beat, Replay};
use super::fleet::{Belief, News};
use super::history::packed::Packed;
use super::recorder::{Order, Shared};
use super::registry::{Denied, Registry};
use super::store::{MachineId, Past, StoreError};
use super::time::Moment;
use crate::http::{Exchange, Method, Reply, Request, Response};
use counters::{Counters, Format};
use crossbeam_channel::Sender;
use native::Received;
use route::Route;
use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is said to a device that does not name its interval.
const INTERVAL: Duration = Duration::from_secs(5);

/// Seconds, drawn anew for each device: those that are turned away together do not come back together.
const RETRY_AFTER_S: RangeInclusive<u32> = 5..=15;

/// Why a request is no heartbeat: one sentence for whoever built the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(Cow<'static, str>);

impl Malformed {
    fn new(reason: &'static str) -> Malformed {
        Malformed(Cow::Borrowed(reason))
    }

    fn json(error: serde_json::Error) -> Malformed {
        Malformed(Cow::Owned(format!("the body cannot be read: {error}")))
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes heartbeats of all formats out of the requests.
#[derive(Debug, Clone)]
pub struct Ingest {
    shared: Shared,
    orders: Sender<Order>,
    counters: Arc<Counters>,
}

/// What a request comes to.
enum Verdict {
    Answered(Response),
    /// When it is durable.
    Pending(Vec<Past>),
}

impl Ingest {
    /// `orders` is the recorder's; what does not fit there is answered 503.
    pub fn new(shared: Shared, orders: Sender<Order>) -> Ingest {
        Ingest { shared, orders, counters: Arc::default() }
    }

    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Answers the exchange, or passes it on to the recorder, or returns it: it is not ingest's then. Never waits.
    pub fn take(&self, exchange: Exchange) -> Option<Exchange> {
        let Some(route) = route::route(exchange.request.path()) else { return Some(exchange) };
        let (now, tick) = (Moment::now(), Instant::now());
        let verdict = self.judge(&exchange.request, &route, now, tick);
        match verdict {
            Ok(Verdict::Answered(response)) => exchange.reply.send(response),
            Ok(Verdict::Pending(past)) => self.order_replays(past, exchange.reply, now),
            Err(refusal) => exchange.reply.send(self.refuse(refusal)),
        }
        None
    }

    fn judge(
        &self,
        request: &Request,
        route: &Route<'_>,
        now: Moment,
        tick: Instant,
    ) -> Result<Verdict, Refusal> {
        let legacy = *route == Route::Streamer && request.method() == Method::Get;
        if !legacy && request.method() != route.method() {
            return Err(Refusal::Method(route.allowed()));
        }
        let registry = self.shared.registry.get();
        let machine = authenticate(&registry, request, now)?;
        let query;
        let body = match (route, legacy) {
            (Route::Availability { device_key }, _) => {
                check_key(&registry, machine, device_key)?;
                return Ok(Verdict::Answered(self.availability(machine)));
            }
            (_, true) => {
                query = streamer::params(request.query().unwrap_or_default())?;
                query.as_slice()
            }
            _ => request.content().map_err(Refusal::Front)?,
        };
        match route {
            Route::Heartbeat | Route::Streamer => match native::parse(body)? {
                Received::Beat(beat) => {
                    let format = if *route == Route::Heartbeat { Format::Native } else { Format::Streamer };
                    self.hear(machine, &beat, format, now, tick)?;
                    Ok(Verdict::Answered(acknowledgement(beat.interval, now)))
                }
                Received::Replays(replays) => Ok(Verdict::Pending(past(machine, &replays, now))),
            },
            Route::Online { device_key } => {
                check_key(&registry, machine, device_key)?;
                self.hear(machine, &meeting::parse(body)?, Format::Meeting, now, tick)?;
                Ok(Verdict::Answered(meeting::online()))
            }
            Route::Metrics | Route::Availability { .. } => {
                self.hear(machine, &lunasentri::parse(body)?, Format::Lunasentri, now, tick)?;
                // As its own server answers.
                Ok(Verdict::Answered(Response::new(202)))
            }
        }
    }

    /// Notes that `machine` is alive. A beat that must be refused has been heard all the same: nobody is called late
    /// for what the monitor cannot do.
    fn hear(
        &self,
        machine: MachineId,
        beat: &Beat<'_>,
        format: Format,
        now: Moment,
        tick: Instant,
    ) -> Result<(), Refusal> {
        let order = match self.shared.fleet.beat(machine, beat, now) {
            News::Nothing => None,
            News::Back => Some(Order::Back { machine, seen: now }),
            News::Farewell => Some(Order::Farewell { machine, seen: now }),
        };
        if let Some(order) = order {
            if self.orders.try_send(order).is_err() {
                // Its next beat asks again.
                self.shared.fleet.believe(machine, Belief::Away);
                self.shared.pulse.returns.failed(tick);
                return Err(Refusal::Busy);
            }
        }
        if !self.shared.pulse.is_fresh(tick) {
            return Err(Refusal::Unwritten);
        }
        self.counters.taken(format);
        Ok(())
    }

    fn order_replays(&self, past: Vec<Past>, reply: Reply, now: Moment) {
        let (count, counters) = (past.len(), self.counters.clone());
        let stored = move |result: Result<(), StoreError>| match result {
            Ok(()) => {
                counters.replayed(count);
                reply.send(acknowledgement(None, now));
            }
            Err(_) => {
                counters.busy();
                reply.send(unavailable(UNWRITTEN));
            }
        };
        let order = Order::Replays { past, stored: Box::new(stored) };
        if let Err(unsent) = self.orders.try_send(order) {
            if let Order::Replays { stored, .. } = unsent.into_inner() {
                stored(Err(StoreError::Busy));
            }
        }
    }

    fn availability(&self, machine: MachineId) -> Response {
        let fleet = &self.shared.fleet;
        meeting::availability(fleet.is_online(machine), fleet.seen(machine))
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Denied(Denied::Disabled) => {
                self.counters.denied();
                Response::error(403, &Denied::Disabled.to_string())
            }
            Refusal::Denied(denied) => self.unauthorized(&denied.to_string()),
            Refusal::NoToken => self.unauthorized("a token is needed: Authorization: Bearer TOKEN"),
            Refusal::OtherDevice => self.unauthorized("the token is another device's"),
            Refusal::Malformed(reason) => {
                self.counters.malformed();
                Response::error(400, &reason.to_string())
            }
            Refusal::Front(response) => {
                self.counters.malformed();
                response
            }
            Refusal::Method(allowed) => {
                Response::error(405, "this path knows other methods").header("Allow", allowed)
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

impl From<Malformed> for Refusal {
    fn from(reason: Malformed) -> Refusal {
        Refusal::Malformed(reason)
    }
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

fn past(machine: MachineId, replays: &[Replay], now: Moment) -> Vec<Past> {
    let past =
        |replay: &Replay| Past { machine, at: now.minus(replay.age), figures: Packed::from(replay.sample) };
    replays.iter().map(past).collect()
}

/// `wire::Answer`, in as few bytes as it can be said.
fn acknowledgement(interval: Option<Duration>, now: Moment) -> Response {
    let interval = interval.unwrap_or(INTERVAL).as_secs_f64();
    let server_time = now.0.div_euclid(1000);
    Response::bare(200, format!("{{\"interval_s\":{interval},\"server_time\":{server_time}}}").into_bytes())
}

fn unavailable(reason: &str) -> Response {
    Response::error(503, reason).header("Retry-After", fastrand::u32(RETRY_AFTER_S).to_string())
}
