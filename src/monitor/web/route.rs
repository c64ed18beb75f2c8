//! The paths, except those of ingest. All are read with GET, or HEAD, which arrives as GET.

use crate::monitor::machine::MachineId;

/// The meaning of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebRoute {
    /// A description of this server, for people with a browser.
    Root,
    Health,
    Metrics,
    MachineMetrics,
    Machines,
    Machine(MachineId),
    History(MachineId),
    Cameras(MachineId),
    Incidents,
    Conditions,
    Events,
    Deliveries,
}

impl WebRoute {
    /// Parses a path; `None` for an unknown one.
    pub fn of(path: &str) -> Option<WebRoute> {
        match path {
            "/" => return Some(WebRoute::Root),
            "/healthz" => return Some(WebRoute::Health),
            "/metrics" => return Some(WebRoute::Metrics),
            "/metrics/machines" => return Some(WebRoute::MachineMetrics),
            _ => {}
        }
        match path.strip_prefix("/api/v1/")? {
            "machines" => Some(WebRoute::Machines),
            "incidents" => Some(WebRoute::Incidents),
            "conditions" => Some(WebRoute::Conditions),
            "events" => Some(WebRoute::Events),
            "deliveries" => Some(WebRoute::Deliveries),
            rest => {
                let rest = rest.strip_prefix("machines/")?;
                match rest.split_once('/') {
                    None => number(rest).map(WebRoute::Machine),
                    Some((id, "history")) => number(id).map(WebRoute::History),
                    Some((id, "cameras")) => number(id).map(WebRoute::Cameras),
                    Some(_) => None,
                }
            }
        }
    }
}

/// One spelling for each machine: no sign, no leading zero.
fn number(text: &str) -> Option<MachineId> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten().map(MachineId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_means_one_thing_or_nothing() {
        for (path, route) in [
            ("/healthz", Some(WebRoute::Health)),
            ("/metrics", Some(WebRoute::Metrics)),
            ("/metrics/machines", Some(WebRoute::MachineMetrics)),
            ("/metrics/machines/7", None),
            ("/api/v1/machines", Some(WebRoute::Machines)),
            ("/api/v1/machines/7", Some(WebRoute::Machine(MachineId(7)))),
            ("/api/v1/machines/7/history", Some(WebRoute::History(MachineId(7)))),
            ("/api/v1/machines/7/cameras", Some(WebRoute::Cameras(MachineId(7)))),
            ("/api/v1/incidents", Some(WebRoute::Incidents)),
            ("/api/v1/incidents/7", None),
            ("/api/v1/conditions", Some(WebRoute::Conditions)),
            ("/api/v1/events", Some(WebRoute::Events)),
            ("/api/v1/deliveries", Some(WebRoute::Deliveries)),
            ("/api/v1/enroll", None),
            ("/", Some(WebRoute::Root)),
            ("", None),
            ("//", None),
            ("/api/v1/", None),
            ("/api/v1/machines/", None),
            ("/api/v1/machines/07", None),
            ("/api/v1/machines/+7", None),
            ("/api/v1/machines/7/", None),
            ("/api/v1/machines/7/history/", None),
            ("/api/v1/machines/99999999999999999999", None),
            ("/api/v1/machines//history", None),
            ("/healthz/", None),
            ("//healthz", None),
            ("/api/v2/machines", None),
        ] {
            assert_eq!(WebRoute::of(path), route, "{path}");
        }
    }
}
