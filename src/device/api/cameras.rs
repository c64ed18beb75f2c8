//! PumaGuard's half of the API: cameras, and dnsmasq's events about them.

use super::call::{Call, Handled};
use crate::clock::Moment;
use crate::device::cameras::{CameraInfo, CameraOrigin, DhcpEvent, Mac, NewCamera};
use crate::device::heartbeat::payload::rounded;
use crate::http::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A camera as it is shown; the first five fields are the original's.
#[derive(Debug, Serialize)]
pub struct CameraView {
    pub mac_address: String,
    pub hostname: Option<String>,
    pub ip_address: Option<String>,
    pub status: String,
    pub last_seen: Option<String>,
    pub reachable: Option<bool>,
    /// Since when it has its status.
    pub since: Option<String>,
    pub latency_ms: Option<f64>,
    /// Percent of the last 24 hours.
    pub uptime_24h: Option<f64>,
    pub method: String,
    pub port: u16,
    /// `config`, `api` or `dhcp`.
    pub origin: String,
    pub problem: Option<String>,
}

impl CameraView {
    pub fn of(camera: &CameraInfo) -> CameraView {
        CameraView {
            mac_address: camera.mac.to_string(),
            hostname: camera.hostname.clone(),
            ip_address: camera.ip.map(|ip| ip.to_string()),
            status: camera.status.as_str().into(),
            last_seen: camera.last_seen.and_then(Moment::rfc_3339),
            reachable: camera.reachable,
            since: camera.since.and_then(Moment::rfc_3339),
            latency_ms: camera.latency.map(|latency| rounded(latency.as_secs_f64() * 1000.0, 3)),
            uptime_24h: camera.uptime_24h.map(|percent| rounded(percent, 1)),
            method: camera.method.as_str().into(),
            port: camera.port,
            origin: camera.origin.as_str().into(),
            problem: camera.problem.clone(),
        }
    }
}

pub fn list(call: &Call) -> Handled {
    let cameras: Vec<CameraView> = call.context.cameras.list().iter().map(CameraView::of).collect();
    let count = cameras.len();
    Response::json(200, &json!({ "cameras": cameras, "count": count })).into()
}

pub fn one(call: &Call) -> Handled {
    with_named(call, |camera| Response::json(200, &CameraView::of(camera)).into())
}

/// The original's stream of server-sent events is not here: a reader would hold a connection for ever.
pub fn no_events(_: &Call) -> Handled {
    Response::error(404, "there is no event stream; poll GET /api/dhcp/cameras").into()
}

/// A camera of the configuration would be back at the next reload.
pub fn remove_one(call: &Call) -> Handled {
    with_named(call, |camera| {
        if camera.origin == CameraOrigin::Config {
            let problem = "this camera is in the configuration: remove it there";
            return Response::error(409, problem).into();
        }
        if !call.context.cameras.remove(Some(camera.mac)) {
            return busy();
        }
        let mac = camera.mac.to_string();
        Response::json(200, &json!({ "status": "success", "message": "Camera removed", "mac_address": mac }))
            .into()
    })
}

/// All but those of the configuration.
pub fn remove_all(call: &Call) -> Handled {
    let cameras = call.context.cameras.list();
    let count = cameras.iter().filter(|camera| camera.origin != CameraOrigin::Config).count();
    if !call.context.cameras.remove(None) {
        return busy();
    }
    let message = format!("Cleared {count} camera record(s)");
    Response::json(200, &json!({ "status": "success", "message": message })).into()
}

/// The answer about the camera whose MAC address the path names; 404 if there is none.
fn with_named(call: &Call, answer: impl FnOnce(&CameraInfo) -> Handled) -> Handled {
    let named = percent_encoding::percent_decode_str(call.rest).decode_utf8_lossy().to_ascii_lowercase();
    let mac = Mac::parse(&named);
    match call.context.cameras.list().iter().find(|camera| Some(camera.mac) == mac) {
        Some(camera) => answer(camera),
        None => {
            let mac = mac.map_or(named, |mac| mac.to_string());
            Response::json(404, &json!({ "error": "Camera not found", "mac_address": mac })).into()
        }
    }
}

/// The fields of a request; others are ignored.
#[derive(Deserialize)]
struct CameraBody {
    action: Option<String>,
    mac_address: Option<String>,
    ip_address: Option<String>,
    hostname: Option<String>,
}

/// The address may be left out: the kernel may know it.
pub fn add(call: &Call) -> Handled {
    let body: CameraBody = match call.json() {
        Ok(body) => body,
        Err(refusal) => return refusal.into(),
    };
    let Some(mac) = body.mac_address else { return missing("mac_address") };
    let new = match NewCamera::new(&mac, body.hostname.as_deref(), body.ip_address.as_deref()) {
        Ok(new) => new,
        Err(problem) => return Response::error(400, &problem).into(),
    };
    let known = call.context.cameras.list().iter().find(|camera| camera.mac == new.mac).map(CameraView::of);
    let camera = json!({
        "mac_address": new.mac.to_string(),
        "hostname": new.hostname,
        "ip_address": new.ip.map(|ip| ip.to_string()),
        "status": known.as_ref().map_or("unknown", |camera| &camera.status),
        "last_seen": known.as_ref().and_then(|camera| camera.last_seen.clone()),
    });
    if !call.context.cameras.add(new) {
        return busy();
    }
    let message = "Camera added successfully";
    Response::json(201, &json!({ "status": "success", "message": message, "camera": camera })).into()
}

/// From dnsmasq's `dhcp-script`.
pub fn event(call: &Call) -> Handled {
    let body: CameraBody = match call.json() {
        Ok(body) => body,
        Err(refusal) => return refusal.into(),
    };
    let (Some(action), Some(mac)) = (&body.action, &body.mac_address) else {
        return missing("action, mac_address");
    };
    let (ip, hostname) = (body.ip_address.as_deref(), body.hostname.as_deref());
    let event = match DhcpEvent::new(action, mac, ip, hostname) {
        Ok(event) => event,
        Err(problem) => return Response::error(400, &problem).into(),
    };
    if !call.context.cameras.dhcp(event) {
        return busy();
    }
    let data = json!({ "action": action, "mac_address": mac, "ip_address": ip, "hostname": hostname });
    Response::json(200, &json!({ "status": "success", "message": "DHCP event processed", "data": data }))
        .into()
}

/// Answers after the check.
pub fn check(_: &Call) -> Handled {
    Handled::Deferred(Box::new(|context, mut pending| {
        pending.otherwise = Response::error(500, "Failed to perform heartbeat check");
        context.cameras.check(Box::new(move |cameras| pending.send(checked(&cameras))));
    }))
}

fn checked(cameras: &[CameraInfo]) -> Response {
    let result = |camera: &CameraInfo| {
        let CameraView { mac_address, hostname, ip_address, reachable, status, last_seen, .. } =
            CameraView::of(camera);
        let result = json!({
            "hostname": hostname,
            "ip_address": ip_address,
            "reachable": reachable,
            "status": status,
            "last_seen": last_seen,
        });
        (mac_address, result)
    };
    let cameras: Map<String, Value> = cameras.iter().map(result).collect();
    let message = "Heartbeat check completed";
    Response::json(200, &json!({ "status": "success", "message": message, "cameras": cameras }))
}

fn missing(fields: &str) -> Handled {
    Response::error(400, &format!("Missing required fields: {fields}")).into()
}

fn busy() -> Handled {
    let response = Response::error(503, "the camera thread has too much to do; try again");
    response.header("Retry-After", "1").into()
}
