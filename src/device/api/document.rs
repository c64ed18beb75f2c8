//! `/api/status`: everything that the page and the command line show, in one document; and `/api/heartbeat`.

use super::call::{Call, Handled};
use super::cameras::CameraView;
use super::guard::Trust;
use crate::device::failover::status::FailoverStatus;
use crate::device::heartbeat::payload::rounded;
use crate::device::heartbeat::status::{Counts, ServerReport};
use crate::device::heartbeat::{local_body, server_name};
use crate::http::Response;
use crate::wire::Heartbeat;
use serde::{Deserialize, Serialize};

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Document {
    pub version: String,
    pub hostname: String,
    /// This machine's wall clock, ISO 8601.
    pub time: Option<String>,
    /// Since the daemon began.
    pub daemon_uptime_s: u64,
    pub server: ServerStatus,
    /// `null`: failover is off.
    pub failover: Option<FailoverStatus>,
    pub cameras: Vec<CameraView>,
    /// The latest heartbeat, in the wire format; `null` before the first.
    pub heartbeat: Option<Heartbeat>,
    /// Whether the client may also change something, as far as is known in advance.
    pub trusted: bool,
    /// Whether a token is configured that a client could send to become trusted.
    pub accepts_token: bool,
}

/// How the heartbeats go.
#[derive(Debug, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Host and port; `null` where none is configured.
    pub name: Option<String>,
    pub interval_s: f64,
    /// Whether it took the last heartbeat; `null` before the first.
    pub connected: Option<bool>,
    /// The last result as a sentence.
    pub result: String,
    /// When it took one last, ISO 8601.
    pub last_accepted: Option<String>,
    pub last_accepted_ago_s: Option<f64>,
    pub scheduled: u64,
    pub immediate: u64,
    pub retried: u64,
    pub failed: u64,
    /// Whether the loop that sends comes around.
    pub moves: bool,
    /// In order of preference; absent with fewer than two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerReport>,
}

pub fn status(call: &Call) -> Handled {
    let (context, now) = (call.context, call.now);
    let heartbeat =
        context.heartbeat_status.record().heartbeat.as_deref().map(|heartbeat| shown(heartbeat, call.trust));
    let document = Document {
        version: env!("CARGO_PKG_VERSION").into(),
        hostname: context.hostname(),
        time: now.wall.rfc_3339(),
        daemon_uptime_s: now.since(context.heartbeat_status.begin()).as_secs(),
        server: server(call),
        failover: context.failover_status(now.monotonic),
        cameras: context.cameras.list().iter().map(CameraView::of).collect(),
        heartbeat,
        trusted: call.trust == Trust::Full,
        accepts_token: call.settings.token.is_some(),
    };
    Response::json(200, &document).into()
}

fn server(call: &Call) -> ServerStatus {
    let (config, heartbeat_status, now) =
        (&call.settings.heartbeat, &call.context.heartbeat_status, call.now);
    let record = heartbeat_status.record();
    let Counts { scheduled, immediate, retried, failed } = record.counts;
    let in_use = record.servers.iter().find(|server| server.in_use).map(|server| server.name.clone());
    ServerStatus {
        name: in_use.or_else(|| config.url.is_some().then(|| server_name(config))),
        interval_s: config.interval.as_secs_f64(),
        connected: record.works,
        result: record.result.clone(),
        last_accepted: record.accepted.and_then(|accepted| accepted.wall.rfc_3339()),
        last_accepted_ago_s: record
            .accepted
            .map(|accepted| rounded(now.since(accepted.monotonic).as_secs_f64(), 3)),
        scheduled,
        immediate,
        retried,
        failed,
        moves: call.settings.is_loop_alive(heartbeat_status.stalled_for(now.monotonic)),
        servers: record.servers.clone(),
    }
}

/// What RPI Streamer wrote into a file for its web page: the latest stats, in the form that is sent.
pub fn heartbeat(call: &Call) -> Handled {
    match &call.context.heartbeat_status.record().heartbeat {
        Some(heartbeat) => {
            let body = local_body(&shown(heartbeat, call.trust), call.settings.heartbeat.format);
            Response::new(200).body("application/json", body).into()
        }
        None => Response::error(503, "no heartbeat yet").into(),
    }
}

/// Where this machine stands and how its files are called is not for everybody on its network.
fn shown(heartbeat: &Heartbeat, trust: Trust) -> Heartbeat {
    let mut heartbeat = heartbeat.clone();
    if trust != Trust::Full {
        heartbeat.recording_file_path = None;
        heartbeat.file_systems.retain(|file_system| file_system.path == "/");
        if let Some(gps) = &mut heartbeat.connection.gps {
            (gps.latitude, gps.longitude) = (None, None);
        }
    }
    heartbeat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn a_reader_without_trust_gets_neither_position_nor_file() {
        let mut heartbeat: Heartbeat = serde_json::from_str(wire::SAMPLE).expect("the sample");
        let gps = wire::Gps { fix: wire::GpsFix::ThreeD, latitude: Some(52.1), longitude: Some(13.2) };
        heartbeat.connection.gps = Some(gps);
        assert_eq!(shown(&heartbeat, Trust::Full), heartbeat);
        let text = serde_json::to_string(&shown(&heartbeat, Trust::Reader)).expect("JSON");
        assert!(!text.contains("52.1") && !text.contains("13.2") && !text.contains("/data/rec"), "{text}");
        assert!(text.contains("\"fix\":\"3d\""), "{text}");
    }
}
