//! `/settings`: the way to everything that can be set.

use super::context::PageContext;
use super::frame::{Frame, Section};
use super::page::html;
use super::refusal::PageRefusal;
use super::visit::Visit;
use askama::Template;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::visitor::Role;
use heartbeat_daemon::monitor::instances::words::row;

/// A line of the page.
struct SettingsEntry {
    /// Below the root.
    path: &'static str,
    name: &'static str,
    what: &'static str,
    needs: Role,
}

const ENTRIES: &[SettingsEntry] = &[
    SettingsEntry {
        path: "account",
        name: "Your account",
        what: "Password, second factor, time zone, and where you are signed in.",
        needs: Role::Viewer,
    },
    SettingsEntry {
        path: "settings/conditions",
        name: "Conditions",
        what: "What counts as an incident besides silence: thresholds and hold times.",
        needs: Role::Viewer,
    },
    SettingsEntry {
        path: "settings/maintenance",
        name: "Maintenance",
        what: "Machines about which nobody is notified for a while.",
        needs: Role::Viewer,
    },
    SettingsEntry {
        path: "settings/keys",
        name: "Tokens and keys",
        what: "For programs that read the API, and for devices that enrol themselves.",
        needs: Role::Owner,
    },
    SettingsEntry {
        path: "settings/status",
        name: "Status pages",
        what: "What people without an account may see of a group.",
        needs: Role::Owner,
    },
    SettingsEntry {
        path: "settings/users",
        name: "Users",
        what: "Who can sign in here, and what they may do.",
        needs: Role::Owner,
    },
    SettingsEntry {
        path: "settings/audit",
        name: "Audit log",
        what: "Who changed what, when, and from where.",
        needs: Role::Owner,
    },
];

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    frame: Frame,
    entries: Vec<&'static SettingsEntry>,
    /// Empty where the database can have only one.
    monitors: Vec<[String; 6]>,
}

/// `GET /settings`: what the visitor's role permits, and the monitors of the database.
pub fn page(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    let entries = ENTRIES.iter().filter(|entry| visit.visitor().may(entry.needs)).collect();
    let store = &context.shared.store;
    let monitors = match store.process() {
        Some(_) => store.instances()?.iter().map(|instance| row(instance, visit.now.wall)).collect(),
        None => Vec::new(),
    };
    let frame = Frame::new(&visit.viewpoint, Section::Settings, "Settings");
    Ok(html(200, &SettingsPage { frame, entries, monitors }))
}
