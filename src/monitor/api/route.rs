//! The paths, except those of ingest. All are read with GET, or HEAD, which arrives as GET.

use crate::monitor::machine::{MachineId, id_in_path};

/// The meaning of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiRoute {
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
    /// Plans of recurring maintenance.
    Maintenance,
}

impl ApiRoute {
    /// Parses a path; `None` for an unknown one.
    pub fn of(path: &str) -> Option<ApiRoute> {
        match path {
            "/" => return Some(ApiRoute::Root),
            "/healthz" => return Some(ApiRoute::Health),
            "/metrics" => return Some(ApiRoute::Metrics),
            "/metrics/machines" => return Some(ApiRoute::MachineMetrics),
            _ => {}
        }
        match path.strip_prefix("/api/v1/")? {
            "machines" => Some(ApiRoute::Machines),
            "incidents" => Some(ApiRoute::Incidents),
            "conditions" => Some(ApiRoute::Conditions),
            "events" => Some(ApiRoute::Events),
            "deliveries" => Some(ApiRoute::Deliveries),
            "maintenance" => Some(ApiRoute::Maintenance),
            rest => {
                let rest = rest.strip_prefix("machines/")?;
                match rest.split_once('/') {
                    None => machine(rest).map(ApiRoute::Machine),
                    Some((id, "history")) => machine(id).map(ApiRoute::History),
                    Some((id, "cameras")) => machine(id).map(ApiRoute::Cameras),
                    Some(_) => None,
                }
            }
        }
    }
}

fn machine(text: &str) -> Option<MachineId> {
    id_in_path(text).map(MachineId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_means_one_thing_or_nothing() {
        for (path, route) in [
            ("/healthz", Some(ApiRoute::Health)),
            ("/metrics", Some(ApiRoute::Metrics)),
            ("/metrics/machines", Some(ApiRoute::MachineMetrics)),
            ("/metrics/machines/7", None),
            ("/api/v1/machines", Some(ApiRoute::Machines)),
            ("/api/v1/machines/7", Some(ApiRoute::Machine(MachineId(7)))),
            ("/api/v1/machines/7/history", Some(ApiRoute::History(MachineId(7)))),
            ("/api/v1/machines/7/cameras", Some(ApiRoute::Cameras(MachineId(7)))),
            ("/api/v1/incidents", Some(ApiRoute::Incidents)),
            ("/api/v1/incidents/7", None),
            ("/api/v1/conditions", Some(ApiRoute::Conditions)),
            ("/api/v1/events", Some(ApiRoute::Events)),
            ("/api/v1/deliveries", Some(ApiRoute::Deliveries)),
            ("/api/v1/maintenance", Some(ApiRoute::Maintenance)),
            ("/api/v1/maintenance/1", None),
            ("/api/v1/enroll", None),
            ("/", Some(ApiRoute::Root)),
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
            assert_eq!(ApiRoute::of(path), route, "{path}");
        }
    }
}
