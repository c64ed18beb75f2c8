//! Which paths there are, beside those of ingest. All of them are read: GET, and HEAD, which comes as GET.

use crate::monitor::machine::MachineId;

/// What a path means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// What this server is, for a person who opens it in a browser.
    Root,
    Health,
    Metrics,
    Machines,
    Machine(MachineId),
    History(MachineId),
    Events,
    Deliveries,
}

impl Route {
    /// `None` where there is nothing.
    pub fn of(path: &str) -> Option<Route> {
        match path {
            "/" => return Some(Route::Root),
            "/healthz" => return Some(Route::Health),
            "/metrics" => return Some(Route::Metrics),
            _ => {}
        }
        match path.strip_prefix("/api/v1/")? {
            "machines" => Some(Route::Machines),
            "events" => Some(Route::Events),
            "deliveries" => Some(Route::Deliveries),
            rest => {
                let rest = rest.strip_prefix("machines/")?;
                match rest.split_once('/') {
                    None => number(rest).map(Route::Machine),
                    Some((id, "history")) => number(id).map(Route::History),
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
            ("/healthz", Some(Route::Health)),
            ("/metrics", Some(Route::Metrics)),
            ("/api/v1/machines", Some(Route::Machines)),
            ("/api/v1/machines/7", Some(Route::Machine(MachineId(7)))),
            ("/api/v1/machines/7/history", Some(Route::History(MachineId(7)))),
            ("/api/v1/events", Some(Route::Events)),
            ("/api/v1/deliveries", Some(Route::Deliveries)),
            ("/api/v1/enroll", None),
            ("/", Some(Route::Root)),
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
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
