//! A monitor, a receiver of its webhooks, and a daemon that beats.

use crate::support::daemon::{Daemon, Setup};
use crate::support::monitor::{Monitor, Plan};
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use crate::support::{eventually, lateness};
use serde_json::Value;
use std::time::Duration;

/// A recipient of all events of machines, with a webhook.
pub struct WebhookReceiver {
    pub receiver: Server,
}

impl WebhookReceiver {
    /// Adds the recipient before the monitor is started.
    pub fn of(plan: &Plan) -> WebhookReceiver {
        WebhookReceiver::by(plan, Server::always(Reply::ok()))
    }

    /// The same by way of this receiver.
    pub fn by(plan: &Plan, receiver: Server) -> WebhookReceiver {
        lateness::watch();
        let secret = plan.scratch().file("webhook-secret", "hunter2-hunter2\n");
        plan.says(&["recipient", "add", "me", "--events", "offline,online,stopped"]);
        plan.says(&[
            "channel",
            "add",
            "webhook",
            &receiver.url("/hook"),
            "--recipient",
            "me",
            "--secret-file",
            &secret,
        ]);
        WebhookReceiver { receiver }
    }

    /// The next notification.
    #[track_caller]
    pub fn next(&self) -> Request {
        self.receiver.request()
    }

    /// The next one says this of the machine.
    #[track_caller]
    pub fn says(&self, event: &str, machine: &str) -> Request {
        let request = self.next();
        let body = request.json();
        assert_eq!((text(&body["event"]), text(&body["machine"]["name"])), (event, machine), "{body}");
        request
    }

    /// Fails if a notification arrives within `time`.
    #[track_caller]
    pub fn nothing_for(&self, time: Duration) {
        let requests = self.receiver.requests_during(time);
        assert!(requests.is_empty(), "{requests:?}");
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A daemon that beats each second at this monitor.
pub fn daemon(monitor: &Monitor, token: &str) -> Daemon {
    Setup::new().to(&monitor.url("/api/v1/heartbeat")).token(token).start()
}

/// Waits until the monitor has this status of the machine.
#[track_caller]
pub fn becomes(monitor: &Monitor, reader: &str, machine: u32, status: &str) {
    eventually(&format!("machine {machine} is {status}"), || {
        let machine = monitor.get_as(reader, &format!("/api/v1/machines/{machine}")).json();
        text(&machine["status"]) == status
    });
}
