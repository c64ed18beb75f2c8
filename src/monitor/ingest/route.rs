//! The paths of ingest and their methods.

use crate::http::Method;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestRoute<'p> {
    /// `/api/v1/heartbeat`
    Heartbeat,
    /// `.../heartbeat.php`, below any path
    Streamer,
    /// `/api/devices/{device_key}/online`
    Online { device_key: &'p str },
    /// `/api/devices/{device_key}/availability`
    Availability { device_key: &'p str },
    /// `/api/devices/{device_key}`
    Device { device_key: &'p str },
    /// `/agent/metrics`
    Metrics,
}

pub fn route(path: &str) -> Option<IngestRoute<'_>> {
    match path {
        "/api/v1/heartbeat" => return Some(IngestRoute::Heartbeat),
        "/agent/metrics" => return Some(IngestRoute::Metrics),
        _ if path.ends_with("/heartbeat.php") => return Some(IngestRoute::Streamer),
        _ => {}
    }
    // A client whose base URL ends in "/api" may add "/api" again.
    let path = path.strip_prefix("/api/api/").or_else(|| path.strip_prefix("/api/"))?;
    let path = path.strip_prefix("devices/")?;
    let (device_key, action) = path.split_once('/').map_or((path, None), |(key, action)| (key, Some(action)));
    match action {
        _ if device_key.is_empty() => None,
        None => Some(IngestRoute::Device { device_key }),
        Some("online") => Some(IngestRoute::Online { device_key }),
        Some("availability") => Some(IngestRoute::Availability { device_key }),
        Some(_) => None,
    }
}

impl<'p> IngestRoute<'p> {
    /// The device key in a path of the Meeting API.
    pub fn device_key(&self) -> Option<&'p str> {
        match self {
            IngestRoute::Online { device_key }
            | IngestRoute::Availability { device_key }
            | IngestRoute::Device { device_key } => Some(device_key),
            IngestRoute::Heartbeat | IngestRoute::Streamer | IngestRoute::Metrics => None,
        }
    }

    /// The main method; RPI Streamer's path also accepts GET.
    pub fn method(&self) -> Method {
        match self {
            IngestRoute::Availability { .. } | IngestRoute::Device { .. } => Method::Get,
            _ => Method::Post,
        }
    }

    /// The header `Allow`.
    pub fn allowed(&self) -> &'static str {
        match self {
            IngestRoute::Availability { .. } | IngestRoute::Device { .. } => "GET, HEAD",
            IngestRoute::Streamer => "GET, HEAD, POST",
            _ => "POST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_paths_of_the_formats_are_known() {
        for (path, expected) in [
            ("/api/v1/heartbeat", Some(IngestRoute::Heartbeat)),
            ("/heartbeat.php", Some(IngestRoute::Streamer)),
            ("/cams/heartbeat.php", Some(IngestRoute::Streamer)),
            ("/api/devices/cam-7/online", Some(IngestRoute::Online { device_key: "cam-7" })),
            ("/api/devices/cam-7/availability", Some(IngestRoute::Availability { device_key: "cam-7" })),
            ("/agent/metrics", Some(IngestRoute::Metrics)),
            ("/", None),
            ("/api/v1/heartbeat/", None),
            ("/heartbeat.phpx", None),
            ("heartbeat.php", None),
            ("/api/devices//online", None),
            ("/api/devices/cam-7", Some(IngestRoute::Device { device_key: "cam-7" })),
            ("/api/api/devices/cam-7/online", Some(IngestRoute::Online { device_key: "cam-7" })),
            ("/api/api/api/devices/cam-7/online", None),
            ("/api/devices/", None),
            ("/api/devices/cam-7/", None),
            ("/api/devices/a/b/online", None),
            ("/api/v1/machines", None),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}
