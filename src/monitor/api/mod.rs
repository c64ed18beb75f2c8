//! The read API, `/metrics` and `/healthz`.
//!
//! Requests for ingest (`ingest/`) do not come here. Workers answer, because most responses need the database.
//!
//! | file | what it owns |
//! |---|---|
//! | `route` | the paths |
//! | `access` | who may read |
//! | `query` | strict parsing of query strings |
//! | `lists`, `history`, `cameras` | machines, events, deliveries, history and availability of cameras as JSON |
//! | `incidents` | incidents and the catalogue of conditions as JSON |
//! | `metrics`, `figures` | metrics in the Prometheus text format; what they read from the database |
//! | `machine_metrics` | metrics of each machine and camera |
//! | `database_metrics` | metrics of a database that several monitors share |
//! | `context`, `refusal` | what responses are made from; refused requests |

mod access;
mod cameras;
mod context;
mod database_metrics;
mod figures;
mod history;
mod incidents;
mod lists;
mod machine_metrics;
mod metrics;
mod query;
mod refusal;
pub mod route;

use super::incidents::list::{IncidentFilter, IncidentRecord};
use super::ingest::enroll;
use super::machine::MachineId;
use super::maintenance::listed::ListedPlan;
use super::store::StoreError;
use super::transport::refuse_plain_http;
use crate::clock::{Moment, Now};
use crate::exposition;
use crate::http::client::address;
use crate::http::{Exchange, GateDecision, Method, Request, Response};
use access::{Reader, admit};
pub use context::{ApiContext, ApiSettings, FAILED_ENROLMENTS};
use crossbeam_channel::Receiver;
use lists::{ListPage, Slice, SlicedList};
use query::Query;
use refusal::ApiRefusal;
use route::ApiRoute;
use serde::Serialize;
use std::time::Instant;

/// Runs a worker: answers requests until the HTTP server ends.
pub fn work(context: &ApiContext, requests: &Receiver<Exchange>) {
    for exchange in requests {
        let now = Now::read();
        if exchange.request.path() == enroll::PATH {
            context.enroll(exchange, now);
        } else {
            let response = context.answer(&exchange.request, now);
            exchange.reply.send(response);
        }
    }
}

impl ApiContext {
    /// A network that fails again and again has to wait, and its requests are not looked at.
    fn enroll(&self, exchange: Exchange, now: Now) {
        if let Some(refusal) = self.refuse_enrolment(&exchange.request) {
            return exchange.reply.send(refusal);
        }
        let from = address(&exchange.request, &self.settings.get().trusted_proxies);
        if let Err(wait) = self.enrolments.begin(from, now.monotonic) {
            return exchange.reply.send(enroll::too_many(wait));
        }
        if enroll::handle(&self.shared.store, &self.orders, exchange, now.wall) {
            self.enrolments.succeeded(from);
        }
    }

    /// A key must not be sent in the clear; `None`: it was not.
    pub fn refuse_enrolment(&self, request: &Request) -> Option<Response> {
        (!self.settings.get().transport.is_confidential(request)).then(|| refuse_plain_http("enrolment"))
    }

    pub fn answer(&self, request: &Request, now: Now) -> Response {
        self.respond(request, now).unwrap_or_else(ApiRefusal::into_response)
    }

    /// Judges a request before its body has arrived; nothing here needs a body.
    pub fn check(&self, request: &Request, now: Moment) -> GateDecision {
        let route = match route(request) {
            Ok(ApiRoute::Root | ApiRoute::Health) => return GateDecision::Receive,
            Ok(route) => route,
            Err(refusal) => return GateDecision::Refuse(refusal.into_response()),
        };
        match admit(self, request, route, now) {
            Ok(Reader::WithToken) => GateDecision::Authenticated,
            Ok(Reader::Local) => GateDecision::Receive,
            Err(refusal) => GateDecision::Refuse(refusal.into_response()),
        }
    }

    fn respond(&self, request: &Request, now: Now) -> Result<Response, ApiRefusal> {
        let route = route(request)?;
        match route {
            ApiRoute::Root => return Ok(Response::new(200).body(TEXT, ABOUT.as_bytes())),
            ApiRoute::Health => return Ok(self.health(now.monotonic).header("Cache-Control", "no-store")),
            _ => {}
        }
        let reader = admit(self, request, route, now.wall)?;
        let response = self.read(route, Query::parse(request.query())?, now)?;
        Ok(match reader {
            Reader::WithToken => response.authenticated(),
            Reader::Local => response,
        })
    }

    fn read(&self, route: ApiRoute, query: Query, now: Now) -> Result<Response, ApiRefusal> {
        match route {
            ApiRoute::Metrics => {
                query.end()?;
                Ok(exposed(metrics::text(self, now)))
            }
            ApiRoute::MachineMetrics => self.machine_metrics(query, now),
            ApiRoute::Machines => self.machines(query, now.wall),
            ApiRoute::Machine(id) => self.machine(id, query, now.wall),
            ApiRoute::History(id) => self.history(id, query, now.wall),
            ApiRoute::Cameras(id) => self.cameras(id, query, now.wall),
            ApiRoute::Incidents => self.incidents(query),
            ApiRoute::Conditions => {
                query.end()?;
                Ok(json(&incidents::catalogue()))
            }
            ApiRoute::Events => self.events(query),
            ApiRoute::Deliveries => self.deliveries(query),
            ApiRoute::Maintenance => {
                query.end()?;
                let plans = self.shared.store.listed_plans(now.wall)?;
                Ok(json(&ListPage { items: plans.iter().map(ListedPlan::view).collect(), next: None }))
            }
            // Answered by `respond`, without a token.
            ApiRoute::Root | ApiRoute::Health => Err(ApiRefusal::NotFound("no such path")),
        }
    }

    /// 200 while the monitor does its own work, even if receivers fail: load balancers and service managers act on it.
    fn health(&self, now: Instant) -> Response {
        match self.health.trouble(now) {
            None => Response::json(200, &self.fine()),
            Some(trouble) => Response::error(503, &format!("{trouble}; see the log for the reasons")),
        }
    }

    /// The body of a good `/healthz`, which shows strangers no address and no error.
    fn fine(&self) -> serde_json::Value {
        let mut fine = serde_json::json!({ "status": "ok" });
        if let Some(counts) = self.mqtt.read() {
            fine["mqtt"] = if counts.is_connected { "connected" } else { "disconnected" }.into();
        }
        fine
    }

    fn machines(&self, query: Query, now: Moment) -> Result<Response, ApiRefusal> {
        let filter = lists::machine_filter(query)?;
        let threshold = self.settings.get().threshold;
        let rows = self.shared.store.machines(&filter, now)?;
        Ok(json(&lists::list(
            rows,
            filter.limit,
            |row| row.id.0,
            |row| {
                let shared = self.shared.fleet.is_token_shared(row.id, now);
                lists::machine(row, threshold, shared)
            },
        )))
    }

    fn machine(&self, id: MachineId, query: Query, now: Moment) -> Result<Response, ApiRefusal> {
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
        Ok(json(&Detail { machine, latest, latest_at: at }))
    }

    /// The latest payload from memory, which is newer; from the database after a start or if the payload was too long.
    fn latest(&self, id: MachineId) -> Result<Option<(Moment, String)>, StoreError> {
        let newest = self.shared.fleet.newest(id);
        match newest.and_then(|newest| Some((newest.payload_at?, newest.payload?))) {
            Some(latest) => Ok(Some(latest)),
            None => self.shared.store.latest(id),
        }
    }

    fn history(&self, id: MachineId, query: Query, now: Moment) -> Result<Response, ApiRefusal> {
        let span = history::span(query, now)?;
        if self.shared.store.machine(id, now)?.is_none() {
            return Err(NO_MACHINE);
        }
        Ok(json(&history::view(&self.shared.store, &self.shared.fleet, id, &span)?))
    }

    fn cameras(&self, id: MachineId, query: Query, now: Moment) -> Result<Response, ApiRefusal> {
        let days = cameras::days(query)?;
        if self.shared.store.machine(id, now)?.is_none() {
            return Err(NO_MACHINE);
        }
        Ok(json(&cameras::view(self.shared.store.camera_history(id, days, now)?)))
    }

    fn machine_metrics(&self, query: Query, now: Now) -> Result<Response, ApiRefusal> {
        query.end()?;
        if self.shared.registry.get().machines() > self.settings.get().metrics_machines {
            return Err(ApiRefusal::NotFound("there are more machines than [metrics] machines allows"));
        }
        Ok(exposed(machine_metrics::text(self, now)?))
    }

    fn incidents(&self, query: Query) -> Result<Response, ApiRefusal> {
        let Slice { page, limit, machine, is_open, .. } = lists::slice(query, SlicedList::Incidents)?;
        let rows =
            self.shared.store.incidents(&IncidentFilter { page, limit, machine, kind: None, is_open })?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let mut repetitions = self.shared.store.repetitions(&ids)?;
        let view = |row: IncidentRecord| {
            let repeated = repetitions.remove(&row.id).unwrap_or_default();
            incidents::incident(row, repeated)
        };
        Ok(json(&lists::list(rows, limit, |row| row.id, view)))
    }

    fn events(&self, query: Query) -> Result<Response, ApiRefusal> {
        let slice = lists::slice(query, SlicedList::Events)?;
        let rows = self.shared.store.events(slice.page, slice.machine, slice.limit)?;
        Ok(json(&lists::list(rows, slice.limit, |row| row.id, lists::event)))
    }

    fn deliveries(&self, query: Query) -> Result<Response, ApiRefusal> {
        let slice = lists::slice(query, SlicedList::Deliveries)?;
        let rows = self.shared.store.deliveries(slice.page, slice.machine, slice.state, slice.limit)?;
        Ok(json(&lists::list(rows, slice.limit, |row| row.id, lists::delivery)))
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// For a person who opens the server's address, or a device whose URL has no path. Shows nothing about the fleet.
const ABOUT: &str = "\
This is heartbeat-monitor.

Heartbeats     POST /api/v1/heartbeat with the token of a machine (heartbeat-monitor machine add NAME)
Read API       GET /api/v1/machines with a read token (heartbeat-monitor token add NAME)
Health         GET /healthz
Documentation  man heartbeat-monitor, /usr/share/doc/heartbeat-monitor, docs/monitor.md of the source
";

fn route(request: &Request) -> Result<ApiRoute, ApiRefusal> {
    let route = ApiRoute::of(request.path()).ok_or(ApiRefusal::NotFound("no such path"))?;
    if request.method() == Method::Get { Ok(route) } else { Err(ApiRefusal::Method) }
}

const NO_MACHINE: ApiRefusal = ApiRefusal::NotFound("no such machine");

/// Metrics as a response.
fn exposed(text: String) -> Response {
    Response::new(200).body(exposition::CONTENT_TYPE, text.into_bytes())
}

/// A response that must not be cached.
fn json(value: &impl Serialize) -> Response {
    Response::json(200, value).header("Cache-Control", "no-store")
}
