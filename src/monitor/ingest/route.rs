//! Which paths are ingest's, and what they take.

use crate::http::Method;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'p> {
    /// `/api/v1/heartbeat`
    Heartbeat,
    /// `.../heartbeat.php`, wherever the original was put
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

pub fn route(path: &str) -> Option<Route<'_>> {
    match path {
        "/api/v1/heartbeat" => return Some(Route::Heartbeat),
        "/agent/metrics" => return Some(Route::Metrics),
        _ if path.ends_with("/heartbeat.php") => return Some(Route::Streamer),
        _ => {}
    }
    // A client whose base URL ends in "/api" may add another one.
    let path = path.strip_prefix("/api/api/").or_else(|| path.strip_prefix("/api/"))?;
    let path = path.strip_prefix("devices/")?;
    let (device_key, action) = path.split_once('/').map_or((path, None), |(key, action)| (key, Some(action)));
    match action {
        _ if device_key.is_empty() => None,
        None => Some(Route::Device { device_key }),
        Some("online") => Some(Route::Online { device_key }),
        Some("availability") => Some(Route::Availability { device_key }),
        Some(_) => None,
    }
}

impl<'p> Route<'p> {
    /// The device that a path of the Meeting API names.
    pub fn device_key(&self) -> Option<&'p str> {
        match self {
            Route::Online { device_key }
            | Route::Availability { device_key }
            | Route::Device { device_key } => Some(device_key),
            Route::Heartbeat | Route::Streamer | Route::Metrics => None,
        }
    }

    /// RPI Streamer's takes GET as well.
    pub fn method(&self) -> Method {
        match self {
            Route::Availability { .. } | Route::Device { .. } => Method::Get,
            _ => Method::Post,
        }
    }

    /// For the header `Allow`.
    pub fn allowed(&self) -> &'static str {
        match self {
            Route::Availability { .. } | Route::Device { .. } => "GET, HEAD",
            Route::Streamer => "GET, HEAD, POST",
            _ => "POST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_all_formats_are_known_and_no_others() {
        for (path, expected) in [
            ("/api/v1/heartbeat", Some(Route::Heartbeat)),
            ("/heartbeat.php", Some(Route::Streamer)),
            ("/cams/heartbeat.php", Some(Route::Streamer)),
            ("/api/devices/cam-7/online", Some(Route::Online { device_key: "cam-7" })),
            ("/api/devices/cam-7/availability", Some(Route::Availability { device_key: "cam-7" })),
            ("/agent/metrics", Some(Route::Metrics)),
            ("/", None),
            ("/api/v1/heartbeat/", None),
            ("/heartbeat.phpx", None),
            ("heartbeat.php", None),
            ("/api/devices//online", None),
            ("/api/devices/cam-7", Some(Route::Device { device_key: "cam-7" })),
            ("/api/api/devices/cam-7/online", Some(Route::Online { device_key: "cam-7" })),
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
