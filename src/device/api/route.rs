//! Which handler answers what; 404 and 405 come out of the table by themselves.

use super::call::{Call, Handled};
use super::guard::{self, Permission};
use super::state::{ApiContext, ApiSettings};
use super::{
    cameras, document, failover, health, last_hour, meeting, metrics, page, settings as camera_settings,
};
use crate::clock::Now;
use crate::http::{Counters, Method, Request, Response};

type Handler = fn(&Call) -> Handled;

/// A path, whose last part may be `*`, and what may be done with it.
struct Endpoint {
    path: &'static str,
    method: Method,
    permission: Permission,
    handler: Handler,
}

const fn get(path: &'static str, handler: Handler) -> Endpoint {
    Endpoint { path, method: Method::Get, permission: Permission::Read, handler }
}

const fn post(path: &'static str, handler: Handler) -> Endpoint {
    Endpoint { path, method: Method::Post, permission: Permission::Change, handler }
}

const fn switch(path: &'static str, handler: Handler) -> Endpoint {
    Endpoint { path, method: Method::Post, permission: Permission::Switch, handler }
}

const fn delete(path: &'static str, handler: Handler) -> Endpoint {
    Endpoint { path, method: Method::Delete, permission: Permission::Change, handler }
}

const fn configure(method: Method, path: &'static str, handler: Handler) -> Endpoint {
    Endpoint { path, method, permission: Permission::Configure, handler }
}

/// The first one that fits counts.
const ROUTES: [Endpoint; 30] = [
    get("/", page::page),
    get("/healthz", health::healthz),
    get("/metrics", metrics::metrics),
    get("/api/status", document::status),
    get("/api/last-hour", last_hour::last_hour),
    get("/api/heartbeat", document::heartbeat),
    post("/api/heartbeat", meeting::trigger),
    get("/api/failover", failover::show),
    switch("/api/failover/manual", failover::manual),
    switch("/api/failover/auto", failover::auto),
    get("/api/meeting/status", meeting::status),
    post("/api/meeting/heartbeat", meeting::trigger),
    get("/api/dhcp/cameras", cameras::list),
    post("/api/dhcp/cameras", cameras::add),
    post("/api/dhcp/cameras/heartbeat", cameras::check),
    delete("/api/dhcp/cameras", cameras::remove_all),
    get("/api/dhcp/cameras/events", cameras::no_events),
    get("/api/dhcp/cameras/*", cameras::one),
    delete("/api/dhcp/cameras/*", cameras::remove_one),
    post("/api/dhcp/event", cameras::event),
    get("/api/settings", camera_settings::show),
    configure(Method::Put, "/api/settings", camera_settings::change),
    configure(Method::Delete, "/api/settings", camera_settings::reset),
    get("/api/cameras", cameras::list),
    post("/api/cameras", cameras::add),
    post("/api/cameras/heartbeat", cameras::check),
    delete("/api/cameras", cameras::remove_all),
    get("/api/cameras/*", cameras::one),
    delete("/api/cameras/*", cameras::remove_one),
    post("/api/cameras/event", cameras::event),
];

/// The text at the `*`; `None` if the path is another one.
fn fits<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.strip_prefix(prefix).filter(|rest| !rest.is_empty() && !rest.contains('/')),
        None => (pattern == path).then_some(""),
    }
}

/// The response, or the work to do before it. Pure except for the handlers' messages to other threads.
pub fn answer(
    request: &Request,
    context: &ApiContext,
    settings: &ApiSettings,
    counters: &Counters,
    now: Now,
) -> Handled {
    let path = request.path();
    let routes = || ROUTES.iter().filter_map(|route| Some((route, fits(route.path, path)?)));
    let found = routes().find(|(route, _)| route.method == request.method());
    // A client without read access must not discover paths.
    let permission = found.map_or(Permission::Read, |(route, _)| route.permission);
    let trust = match guard::check(request, permission, settings.token.as_ref(), &context.hostname()) {
        Ok(trust) => trust,
        Err(refusal) => return refusal.into(),
    };
    match found {
        Some((route, rest)) => {
            (route.handler)(&Call { request, rest, trust, context, settings, counters, now })
        }
        None if routes().next().is_some() => not_allowed(routes().map(|(route, _)| route.method)).into(),
        None => Response::error(404, "there is nothing here").into(),
    }
}

fn not_allowed(methods: impl Iterator<Item = Method>) -> Response {
    let mut allowed = Vec::new();
    for method in methods {
        let words: &[&str] = match method {
            Method::Get => &["GET", "HEAD"],
            Method::Delete => &["DELETE"],
            Method::Put => &["PUT"],
            _ => &["POST"],
        };
        allowed.extend(words.iter().filter(|word| !allowed.contains(*word)).copied().collect::<Vec<_>>());
    }
    let allowed = allowed.join(", ");
    Response::error(405, &format!("only {allowed} here")).header("Allow", allowed)
}
