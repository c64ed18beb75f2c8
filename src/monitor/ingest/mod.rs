//! Ingest: authenticates a request, decodes the heartbeat in it, and answers.
//!
//! It runs on the HTTP server's thread. A live heartbeat costs a hash, one pass over its JSON and a copy in memory, 3 us
//! together, and never waits for a disk; passing it to another thread would cost more. Replays must be durable before
//! they are acknowledged: the recorder answers those.
//!
//! | file | what it owns |
//! |---|---|
//! | `route` | the paths of ingest |
//! | `credentials` | finds the token in a request |
//! | `body` | decodes a body's bytes to text: gzip, UTF-8, NaN |
//! | `read` | one pass over JSON, for all formats |
//! | `figures`, `facts` | valid ranges of numbers; what conditions are judged by |
//! | `native` | format: our daemon's heartbeats and replays |
//! | `streamer` | format: RPI Streamer |
//! | `meeting` | format: Meeting API |
//! | `lunasentri` | format: LunaSentri's agent |
//! | `enroll` | enrolment of a device |
//! | `counters` | counts of accepted and refused requests, by format |
//! | `answer`, `malformed` | responses and refusals; faults of a body |

mod answer;
mod body;
pub mod counters;
mod credentials;
pub mod enroll;
mod facts;
pub mod figures;
pub mod lunasentri;
mod malformed;
pub mod meeting;
pub mod native;
pub mod read;
pub mod route;
pub mod streamer;

#[cfg(test)]
mod tests;

use super::beat::{Beat, BeatKind, Replay};
use super::fleet::Belief;
use super::history::packed::Packed;
use super::history::rows::PastSample;
use super::log_limit::LogLimit;
use super::machine::{DeviceServer, MachineId};
use super::recorder::{RecorderContext, RecorderEvent};
use super::registry::lookup::{Denied, Registry};
use super::store::StoreError;
use crate::clock::{Moment, Now};
use crate::http::{self, Exchange, Method, Reply, Request, Response};
use crate::monitor::fleet::BeatEffect;
use answer::{IngestRefusal, UNWRITTEN, acknowledgement, unavailable, uncached};
use counters::{IngestCounters, IngestFormat};
use crossbeam_channel::{Sender, TrySendError};
use malformed::{Cause, Malformed};
use native::Received;
use route::IngestRoute;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Per machine and fault, one undecodable request is logged in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(3600);

/// Events that wait for the recorder, each of 48 bytes: two of each machine when the largest fleet returns at once. While there
/// are more, heartbeats that need the recorder get 503, and the devices repeat them.
const MOST_WAITING: usize = 200_000;
/// The same for replays, which bring their samples with them.
const MOST_WAITING_REPLAYS: usize = 4096;

/// Answers the requests of ingest, in all formats.
#[derive(Debug, Clone)]
pub struct Ingest {
    shared: RecorderContext,
    orders: Sender<RecorderEvent>,
    counters: Arc<IngestCounters>,
    /// Which undecodable requests are logged; `/metrics` counts all.
    log_limit: Arc<Mutex<LogLimit<(MachineId, Cause)>>>,
}

/// An authenticated request.
#[derive(Clone, Copy)]
struct Authenticated<'r> {
    machine: MachineId,
    route: IngestRoute<'r>,
    /// Answered like GET, and nothing is recorded.
    is_head: bool,
    now: Now,
}

/// Whether NaN and Infinity in the body were replaced by null.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NonFinite {
    AsSent,
    Replaced,
}

/// The result of an accepted request.
enum Accepted {
    Answered(Response),
    /// To be answered once these samples are durable.
    Replayed(Vec<PastSample>),
}

impl Ingest {
    /// `orders` is the recorder's queue; while too much waits in it, requests that need it get 503.
    pub fn new(shared: RecorderContext, orders: Sender<RecorderEvent>) -> Ingest {
        Ingest {
            shared,
            orders,
            counters: Arc::default(),
            log_limit: Arc::new(Mutex::new(LogLimit::new(LOG_INTERVAL))),
        }
    }

    pub fn counters(&self) -> Arc<IngestCounters> {
        self.counters.clone()
    }

    /// Answers an exchange that arrived at `now`, or passes it to the recorder, without waiting; returns it if its path
    /// is not one of ingest's.
    pub fn handle(&self, exchange: Exchange, now: Now) -> Option<Exchange> {
        let Some(route) = route::route(exchange.request.path()) else { return Some(exchange) };
        match self.accept(&exchange.request, route, now) {
            Ok(Accepted::Answered(response)) => exchange.reply.send(uncached(response).authenticated()),
            Ok(Accepted::Replayed(past)) => self.store_replays(past, exchange.reply, now.wall),
            Err(refusal) => exchange.reply.send(self.refuse(refusal, now.wall)),
        }
        None
    }

    /// Judges a request before its body has arrived; `None` if its path is not one of ingest's.
    pub fn check(&self, request: &Request, now: Moment) -> Option<http::GateDecision> {
        let route = route::route(request.path())?;
        Some(match self.identify(request, route, now) {
            Ok(_) => http::GateDecision::Authenticated,
            Err(refusal) => http::GateDecision::Refuse(self.refuse(refusal, now)),
        })
    }

    /// Checks method, token and device key.
    fn identify(
        &self,
        request: &Request,
        route: IngestRoute<'_>,
        now: Moment,
    ) -> Result<MachineId, IngestRefusal> {
        if request.method() != route.method() && !is_legacy(request, route) {
            return Err(IngestRefusal::Method(route.allowed()));
        }
        let registry = self.shared.registry.get();
        let machine = authenticate(&registry, request, now)?;
        if let Some(device_key) = route.device_key() {
            check_key(&registry, machine, device_key)?;
        }
        Ok(machine)
    }

    fn accept(&self, request: &Request, route: IngestRoute<'_>, now: Now) -> Result<Accepted, IngestRefusal> {
        let machine = self.identify(request, route, now.wall)?;
        match route {
            IngestRoute::Availability { .. } => return Ok(Accepted::Answered(self.availability(machine))),
            IngestRoute::Device { device_key } => {
                return Ok(Accepted::Answered(self.device(machine, device_key)));
            }
            _ => {}
        }
        let sender = Authenticated { machine, route, is_head: request.is_head(), now };
        if is_legacy(request, route) {
            let body = streamer::params(request.query().unwrap_or_default())?;
            return self.accept_body(sender, &body, Ok(()));
        }
        let (body, inflated) = body::inflate(request, request.content().map_err(IngestRefusal::Front)?);
        self.accept_body(sender, &body, inflated)
    }

    /// Decodes a body that was inflated if `inflated` is `Ok`. An undecodable body still counts as a sign of life: the
    /// device is alive, and its token is valid.
    fn accept_body(
        &self,
        sender: Authenticated<'_>,
        body: &[u8],
        inflated: Result<(), Malformed>,
    ) -> Result<Accepted, IngestRefusal> {
        let text = inflated.and_then(|()| body::text(body));
        let result = text.map_err(IngestRefusal::from).and_then(|text| self.decode(sender, text));
        if let Err(IngestRefusal::Malformed(reason)) = &result {
            // The cut part of a body that is too large may hold the key of a replay.
            let may_be_replay = reason.cause == Cause::TooLarge || body::may_be_replay(body);
            if !sender.is_head && !may_be_replay {
                self.record_undecodable(sender, reason);
            }
        }
        result
    }

    /// Parses a body; if it is not JSON only because of NaN or Infinity, parses it again without them.
    fn decode(&self, sender: Authenticated<'_>, text: &str) -> Result<Accepted, IngestRefusal> {
        let parsed = self.parse(sender, text, NonFinite::AsSent);
        match &parsed {
            Err(IngestRefusal::Malformed(reason)) if reason.cause == Cause::NotJson => {}
            _ => return parsed,
        }
        match body::with_null_for_nan(text) {
            Some(text) => self.parse(sender, &text, NonFinite::Replaced),
            None => parsed,
        }
    }

    fn parse(
        &self,
        sender: Authenticated<'_>,
        text: &str,
        numbers: NonFinite,
    ) -> Result<Accepted, IngestRefusal> {
        match sender.route {
            IngestRoute::Heartbeat | IngestRoute::Streamer => match native::parse(text)? {
                Received::Beat(_)
                    if numbers == NonFinite::Replaced && body::mentions_replay(text.as_bytes()) =>
                {
                    Err(Malformed::new(Cause::NotAHeartbeat, native::NO_AGE).into())
                }
                Received::Beat(beat) => {
                    let native = sender.route == IngestRoute::Heartbeat;
                    let format = if native { IngestFormat::Native } else { IngestFormat::Streamer };
                    if !sender.is_head {
                        self.record(sender, &beat, format)?;
                    }
                    Ok(Accepted::Answered(acknowledgement(beat.interval, sender.now.wall)))
                }
                Received::Replays(_) if sender.is_head => {
                    Ok(Accepted::Answered(acknowledgement(None, sender.now.wall)))
                }
                Received::Replays(replays) => {
                    Ok(Accepted::Replayed(past(sender.machine, &replays, sender.now.wall)))
                }
            },
            IngestRoute::Online { .. } | IngestRoute::Availability { .. } | IngestRoute::Device { .. } => {
                self.record(sender, &meeting::parse(text)?, IngestFormat::Meeting)?;
                Ok(Accepted::Answered(meeting::online()))
            }
            IngestRoute::Metrics => {
                self.record(sender, &lunasentri::parse(text)?, IngestFormat::Lunasentri)?;
                // As LunaSentri's own server answers.
                Ok(Accepted::Answered(Response::new(202)))
            }
        }
    }

    /// Records that the machine is alive. A beat that must be refused counts too: a machine is not late because of a
    /// fault of the monitor.
    fn record(
        &self,
        sender: Authenticated<'_>,
        beat: &Beat<'_>,
        format: IngestFormat,
    ) -> Result<(), IngestRefusal> {
        self.shared.pulse.hear();
        let news = self.shared.fleet.beat(sender.machine, beat, sender.now.wall);
        if !self.forward(sender, news) {
            return Err(IngestRefusal::Busy);
        }
        // The check of a backup that is not in use: another monitor judges the machine.
        if beat.kind == BeatKind::Live && beat.server != DeviceServer::Standby {
            self.judge(sender, beat, news == BeatEffect::Back);
        }
        if !self.shared.pulse.takes_heartbeats(sender.now.monotonic) {
            let elsewhere = self.shared.pulse.others().is_some();
            return Err(IngestRefusal::Unwritten { elsewhere });
        }
        self.counters.accepted(format);
        Ok(())
    }

    /// Judges the conditions of the machine. A change that the recorder's queue has no place for is sent with the next
    /// beat.
    fn judge(&self, sender: Authenticated<'_>, beat: &Beat<'_>, has_returned: bool) {
        let (machine, fleet) = (sender.machine, &self.shared.fleet);
        if fleet.judge(machine, beat, has_returned, sender.now)
            && self.order(RecorderEvent::Conditions { machine }).is_err()
        {
            fleet.conditions_not_recorded(machine);
        }
    }

    /// Records that the machine is alive, and logs why its request could not be decoded.
    fn record_undecodable(&self, sender: Authenticated<'_>, reason: &Malformed) {
        let Authenticated { machine, now, .. } = sender;
        let news = self.shared.fleet.alive(machine, now.wall);
        self.forward(sender, news);
        let mut limit = self.log_limit.lock().unwrap_or_else(PoisonError::into_inner);
        if limit.is_due((machine, reason.cause), now.monotonic) {
            // If the recorder's queue is full, only the counter of malformed requests shows it.
            let _ = self.order(RecorderEvent::Undecodable { machine, reason: reason.to_string() });
        }
    }

    /// Sends a transition that follows from a beat to the recorder; false if its queue is full.
    fn forward(&self, sender: Authenticated<'_>, news: BeatEffect) -> bool {
        let Authenticated { machine, now, .. } = sender;
        let order = match news {
            BeatEffect::Nothing => return true,
            BeatEffect::Back => RecorderEvent::Back { machine, seen: now.wall },
            BeatEffect::Shutdown => RecorderEvent::Shutdown { machine, seen: now.wall },
        };
        let sent = self.order(order).is_ok();
        if !sent {
            // The next beat tries again.
            self.shared.fleet.believe(machine, Belief::Away);
            self.shared.pulse.returns.failed(now.monotonic);
        }
        sent
    }

    fn store_replays(&self, past: Vec<PastSample>, reply: Reply, now: Moment) {
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
        if let Err(RecorderEvent::Replays { stored, .. }) = self.order(order) {
            stored(Err(StoreError::Busy));
        }
    }

    /// Sends an event to the recorder; returns it if its queue is full.
    fn order(&self, event: RecorderEvent) -> Result<(), RecorderEvent> {
        let most = match event {
            RecorderEvent::Replays { .. } => MOST_WAITING_REPLAYS,
            _ => MOST_WAITING,
        };
        match self.orders.len() < most {
            true => self.orders.try_send(event).map_err(TrySendError::into_inner),
            false => Err(event),
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

    fn refuse(&self, refusal: IngestRefusal, now: Moment) -> Response {
        self.counters.refused(&refusal);
        if let IngestRefusal::Denied(Denied::Expired(machine)) = refusal {
            self.shared.fleet.token_refused(machine, now);
        }
        refusal.into_response()
    }
}

/// RPI Streamer's older form, with the body in the query.
fn is_legacy(request: &Request, route: IngestRoute<'_>) -> bool {
    route == IngestRoute::Streamer && request.method() == Method::Get
}

fn authenticate(registry: &Registry, request: &Request, now: Moment) -> Result<MachineId, IngestRefusal> {
    let token = credentials::token(request).ok_or(IngestRefusal::NoToken)?;
    registry.authenticate(&token, now).map_err(IngestRefusal::Denied)
}

/// The Meeting API names the device in the path and by the token. The token decides; a machine without a device key
/// accepts any.
fn check_key(registry: &Registry, machine: MachineId, device_key: &str) -> Result<(), IngestRefusal> {
    match registry.device_key(machine) {
        Some(own) if own != device_key => Err(IngestRefusal::OtherDevice),
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
