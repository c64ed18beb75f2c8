//! What the monitor tells over HTTP: the read API, its figures, and whether it works.
//!
//! Ingest comes before it (`ingest/`): what arrives here has another path. A worker's thread answers, since most
//! of it reads the database.
//!
//! | file | what it owns |
//! |---|---|
//! | `route` | which paths there are |
//! | `access` | who may ask |
//! | `client` | whether a request began on this machine |
//! | `query` | what stands behind the question mark |
//! | `lists`, `history` | what is known, as JSON |
//! | `metrics` | figures, as Prometheus reads them |

mod access;
mod client;
mod figures;
mod history;
mod lists;
mod metrics;
mod query;
pub mod route;

use super::config::Config;
use super::health::Health;
use super::ingest::{self, enroll};
use super::notify::couriers;
use super::store::StoreError;
use crate::clock::{Moment, Now};
use crate::exposition;
use crate::http::networks::IpNetwork;
use crate::http::{Counters, Exchange, GateDecision, Method, Request, Response};
use crate::latest::Latest;
use crate::monitor::machine::MachineId;
use crate::monitor::recorder::{RecorderContext, RecorderEvent};
use access::Reader;
use crossbeam_channel::{Receiver, Sender};
use query::{Problem, Query};
use route::Route;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What answers need to know; shared by the workers.
pub struct Web {
    pub shared: RecorderContext,
    pub health: Arc<Health>,
    /// For devices that register themselves.
    pub orders: Sender<RecorderEvent>,
    pub ingest: Arc<ingest::counters::Counters>,
    pub couriers: Arc<couriers::Counters>,
    pub counters: Arc<Counters>,
    pub settings: Arc<Latest<Settings>>,
    pub started: Moment,
}

/// What a reload may change.
#[derive(Debug)]
pub struct Settings {
    /// Of machines that have none of their own.
    pub threshold: Duration,
    pub trusted_proxies: Vec<IpNetwork>,
}

impl Settings {
    pub fn of(config: &Config) -> Settings {
        Settings {
            threshold: config.detection.offline_threshold,
            trusted_proxies: config.http.trusted_proxies.clone(),
        }
    }
}

/// Why a request is not answered with what it asks for.
enum Refusal {
    Malformed(Problem),
    NotFound(&'static str),
    /// Everything here is read only.
    Method,
    Store(StoreError),
    /// It is told as it is.
    Access(Response),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        Refusal::Malformed(problem)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::Store(error)
    }
}

/// A worker: answers until the server ends.
pub fn work(web: &Web, requests: &Receiver<Exchange>) {
    for exchange in requests {
        let now = Now::read();
        if exchange.request.path() == enroll::PATH {
            enroll::take(&web.shared.store, &web.orders, exchange, now.wall);
        } else {
            let response = web.answer(&exchange.request, now);
            exchange.reply.send(response);
        }
    }
}

impl Web {
    pub fn answer(&self, request: &Request, now: Now) -> Response {
        self.respond(request, now).unwrap_or_else(explain)
    }

    /// Decides about a request whose body is still to come; none is needed for anything here.
    pub fn check(&self, request: &Request, now: Moment) -> GateDecision {
        let route = match route(request) {
            Ok(Route::Root | Route::Health) => return GateDecision::Receive,
            Ok(route) => route,
            Err(refusal) => return GateDecision::Refuse(explain(refusal)),
        };
        match self.admit(request, route, now) {
            Ok(Reader::WithToken) => GateDecision::Authenticated,
            Ok(Reader::Local) => GateDecision::Receive,
            Err(refusal) => GateDecision::Refuse(explain(refusal)),
        }
    }

    fn respond(&self, request: &Request, now: Now) -> Result<Response, Refusal> {
        let route = route(request)?;
        match route {
            Route::Root => return Ok(Response::new(200).body(TEXT, ABOUT.as_bytes())),
            Route::Health => return Ok(self.health(now.monotonic).header("Cache-Control", "no-store")),
            _ => {}
        }
        let reader = self.admit(request, route, now.wall)?;
        let response = self.read(route, Query::parse(request.query())?, now)?;
        Ok(match reader {
            Reader::WithToken => response.authenticated(),
            Reader::Local => response,
        })
    }

    fn read(&self, route: Route, query: Query, now: Now) -> Result<Response, Refusal> {
        match route {
            Route::Metrics => {
                query.end()?;
                Ok(Response::new(200).body(exposition::CONTENT_TYPE, self.metrics(now)?.into_bytes()))
            }
            Route::Machines => self.machines(query, now.wall),
            Route::Machine(id) => self.machine(id, query, now.wall),
            Route::History(id) => self.history(id, query, now.wall),
            Route::Events => self.events(query),
            Route::Deliveries => self.deliveries(query),
            // Answered above, without a token.
            Route::Root | Route::Health => Err(Refusal::NotFound("there is nothing here")),
        }
    }

    /// 200 while the monitor does its own work, whatever receivers do: load balancers and service managers act on it.
    fn health(&self, now: Instant) -> Response {
        match self.health.trouble(now) {
            None => Response::json(200, &serde_json::json!({ "status": "ok" })),
            Some(trouble) => Response::error(503, &format!("{trouble}; the log has the reasons")),
        }
    }

    fn machines(&self, query: Query, now: Moment) -> Result<Response, Refusal> {
        let filter = lists::machine_filter(query)?;
        let threshold = self.settings.get().threshold;
        let rows = self.shared.store.machines(&filter, now)?;
        Ok(answer(&lists::list(
            rows,
            filter.limit,
            |row| row.id.0,
            |row| {
                let shared = self.shared.fleet.is_token_shared(row.id, now);
                lists::machine(row, threshold, shared)
            },
        )))
    }

    fn machine(&self, id: MachineId, query: Query, now: Moment) -> Result<Response, Refusal> {
        #[derive(Serialize)]
        struct Detail {
            #[serde(flatten)]
            machine: lists::MachineView,
            latest: Option<Box<serde_json::value::RawValue>>,
            latest_at: Option<String>,
        }
        query.end()?;
        let machine = self.shared.store.machine(id, now)?.ok_or(NO_MACHINE)?;
        let (latest, at) = match self.latest(id)? {
            Some((at, payload)) => (lists::raw(payload), at.rfc_3339()),
            None => (None, None),
        };
        let shared = self.shared.fleet.is_token_shared(id, now);
        let machine = lists::machine(machine, self.settings.get().threshold, shared);
        Ok(answer(&Detail { machine, latest, latest_at: at }))
    }

    /// From memory, which is ahead of the database; after a start, or where it was too long, from there.
    fn latest(&self, id: MachineId) -> Result<Option<(Moment, String)>, StoreError> {
        let newest = self.shared.fleet.newest(id);
        match newest.and_then(|newest| Some((newest.payload_at?, newest.payload?))) {
            Some(latest) => Ok(Some(latest)),
            None => self.shared.store.latest(id),
        }
    }

    fn history(&self, id: MachineId, query: Query, now: Moment) -> Result<Response, Refusal> {
        let span = history::span(query, now)?;
        if self.shared.store.machine(id, now)?.is_none() {
            return Err(NO_MACHINE);
        }
        Ok(answer(&history::view(&self.shared.store, &self.shared.fleet, id, &span)?))
    }

    fn events(&self, query: Query) -> Result<Response, Refusal> {
        let slice = lists::slice(query, false)?;
        let rows = self.shared.store.events(slice.page, slice.machine, slice.limit)?;
        Ok(answer(&lists::list(rows, slice.limit, |row| row.id, lists::event)))
    }

    fn deliveries(&self, query: Query) -> Result<Response, Refusal> {
        let slice = lists::slice(query, true)?;
        let rows = self.shared.store.deliveries(slice.page, slice.machine, slice.state, slice.limit)?;
        Ok(answer(&lists::list(rows, slice.limit, |row| row.id, lists::delivery)))
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// For a person who opens the server's address, or a device whose URL has no path. It names nothing of the fleet.
const ABOUT: &str = "\
This is heartbeat-monitor.

Heartbeats     POST /api/v1/heartbeat with the token of a machine (heartbeat-monitor machine add NAME)
Read API       GET /api/v1/machines with a read token (heartbeat-monitor token add NAME)
Health         GET /healthz
Documentation  man heartbeat-monitor, /usr/share/doc/heartbeat-monitor, docs/monitor.md of the source
";

fn route(request: &Request) -> Result<Route, Refusal> {
    let route = Route::of(request.path()).ok_or(Refusal::NotFound("there is nothing here"))?;
    if request.method() == Method::Get { Ok(route) } else { Err(Refusal::Method) }
}

fn explain(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Malformed(problem) => Response::error(400, &problem),
        Refusal::NotFound(what) => Response::error(404, what),
        Refusal::Method => Response::error(405, "this is for reading only").header("Allow", "GET, HEAD"),
        Refusal::Store(error) => unavailable(&error),
        Refusal::Access(response) => response,
    }
}

const NO_MACHINE: Refusal = Refusal::NotFound("there is no such machine");

/// What is read changes by itself: nobody is to keep a copy.
fn answer(value: &impl Serialize) -> Response {
    Response::json(200, value).header("Cache-Control", "no-store")
}

fn unavailable(error: &StoreError) -> Response {
    Response::error(503, &error.to_string()).header("Retry-After", "5")
}
