//! The paths of the pages. Everything below the root that is not here belongs to the API.

use heartbeat_daemon::monitor::accounts::visitor::UserId;
use heartbeat_daemon::monitor::incidents::table::IncidentId;
use heartbeat_daemon::monitor::machine::{MachineId, id_in_path};
use heartbeat_daemon::monitor::notify::channel::ChannelId;
use heartbeat_daemon::monitor::notify::chat_search::SearchId;

/// The meaning of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageRoute {
    Fleet,
    /// The fleet for a screen on the wall.
    Wall,
    MachineAdd,
    /// Suppresses notifications about a machine for two hours.
    MachineMute(MachineId),
    /// Takes on all open incidents of a machine.
    MachineAcknowledge(MachineId),
    Machine(MachineId),
    MachineForm(MachineId, MachineForm),
    Incidents,
    Incident(IncidentId),
    IncidentAcknowledge(IncidentId),
    IncidentRelease(IncidentId),
    IncidentComment(IncidentId),
    /// A link in a message, with which its incidents are acknowledged.
    AcknowledgeLink,
    /// Recipients and their channels.
    People,
    /// A new channel.
    Channels,
    ChannelForm(ChannelId, ChannelForm),
    /// A new search for a Telegram chat.
    Chats,
    Chat(SearchId),
    /// Name and password, then the second factor.
    Login,
    Logout,
    /// A link with which a user sets a password.
    Welcome,
    /// The way to everything that can be set.
    Settings,
    /// Machines about which nobody is notified for a while.
    Maintenance,
    Conditions,
    /// Read tokens and enrolment keys.
    Keys,
    /// Who changed what.
    Audit,
    /// All users, and a new one.
    Users,
    User(UserId),
    /// The visitor's own password, second factor, time zone and sessions.
    Account,
    /// The page of a group for people without an account.
    StatusPage,
    /// Which groups have such a page.
    StatusSettings,
    StatusBadge,
    /// Long polling of an open page.
    Live,
    Asset,
}

/// A form of a machine's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineForm {
    Pause,
    Resume,
    Settings,
    /// A new token.
    Token,
    Remove,
}

/// A button of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelForm {
    /// Another address, with its secret.
    Address,
    Enable,
    Disable,
    Remove,
    Test,
}

impl PageRoute {
    /// Parses a path; `None` for one that is not a page's.
    pub fn of(path: &str) -> Option<PageRoute> {
        match path.strip_prefix('/')? {
            "" => Some(PageRoute::Fleet),
            "wall" => Some(PageRoute::Wall),
            "live" => Some(PageRoute::Live),
            "login" => Some(PageRoute::Login),
            "logout" => Some(PageRoute::Logout),
            "welcome" => Some(PageRoute::Welcome),
            "account" => Some(PageRoute::Account),
            "settings" => Some(PageRoute::Settings),
            "settings/users" => Some(PageRoute::Users),
            "settings/conditions" => Some(PageRoute::Conditions),
            "settings/keys" => Some(PageRoute::Keys),
            "settings/maintenance" => Some(PageRoute::Maintenance),
            "settings/status" => Some(PageRoute::StatusSettings),
            "settings/audit" => Some(PageRoute::Audit),
            "people" => Some(PageRoute::People),
            "channels" => Some(PageRoute::Channels),
            "chats" => Some(PageRoute::Chats),
            "machines/add" => Some(PageRoute::MachineAdd),
            "incidents" => Some(PageRoute::Incidents),
            rest if rest.starts_with("settings/users/") => user_route(rest),
            rest => match rest.split_once('/')? {
                ("chats", id) => Some(PageRoute::Chat(id.parse().ok()?)),
                ("machines", rest) => machine_route(rest),
                ("incidents", rest) => incident_route(rest),
                ("channels", rest) => channel_route(rest),
                ("status", rest) => status_route(rest),
                ("acknowledge", token) if !token.is_empty() => Some(PageRoute::AcknowledgeLink),
                ("assets", _) => Some(PageRoute::Asset),
                _ => None,
            },
        }
    }
}

fn machine_route(rest: &str) -> Option<PageRoute> {
    let (id, action) = rest.split_once('/').map_or((rest, None), |(id, action)| (id, Some(action)));
    let id = MachineId(id_in_path(id)?);
    let form = match action {
        None => return Some(PageRoute::Machine(id)),
        Some("mute") => return Some(PageRoute::MachineMute(id)),
        Some("acknowledge") => return Some(PageRoute::MachineAcknowledge(id)),
        Some("pause") => MachineForm::Pause,
        Some("resume") => MachineForm::Resume,
        Some("settings") => MachineForm::Settings,
        Some("token") => MachineForm::Token,
        Some("remove") => MachineForm::Remove,
        Some(_) => return None,
    };
    Some(PageRoute::MachineForm(id, form))
}

fn user_route(rest: &str) -> Option<PageRoute> {
    let id = id_in_path(rest.strip_prefix("settings/users/")?)?;
    Some(PageRoute::User(UserId(id)))
}

fn channel_route(rest: &str) -> Option<PageRoute> {
    let (id, action) = rest.split_once('/')?;
    let form = match action {
        "address" => ChannelForm::Address,
        "enable" => ChannelForm::Enable,
        "disable" => ChannelForm::Disable,
        "remove" => ChannelForm::Remove,
        "test" => ChannelForm::Test,
        _ => return None,
    };
    Some(PageRoute::ChannelForm(ChannelId(id_in_path(id)?), form))
}

fn status_route(rest: &str) -> Option<PageRoute> {
    match rest.split_once('/') {
        None if !rest.is_empty() => Some(PageRoute::StatusPage),
        Some((key, "badge.svg")) if !key.is_empty() => Some(PageRoute::StatusBadge),
        _ => None,
    }
}

fn incident_route(rest: &str) -> Option<PageRoute> {
    let (id, action) = rest.split_once('/').map_or((rest, None), |(id, action)| (id, Some(action)));
    let id = IncidentId(id_in_path(id)?);
    match action {
        None => Some(PageRoute::Incident(id)),
        Some("acknowledge") => Some(PageRoute::IncidentAcknowledge(id)),
        Some("release") => Some(PageRoute::IncidentRelease(id)),
        Some("comment") => Some(PageRoute::IncidentComment(id)),
        Some(_) => None,
    }
}

/// The way from a page back to the root, for relative links: they work under any path that a proxy adds.
pub fn to_root(path: &str) -> &'static str {
    const UP: [&str; 5] = ["./", "../", "../../", "../../../", "../../../../"];
    let depth = path.bytes().skip(1).filter(|byte| *byte == b'/').count();
    UP[depth.min(UP.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_means_one_thing_or_nothing() {
        for (path, route) in [
            ("/", Some(PageRoute::Fleet)),
            ("/wall", Some(PageRoute::Wall)),
            ("/live", Some(PageRoute::Live)),
            ("/login", Some(PageRoute::Login)),
            ("/logout", Some(PageRoute::Logout)),
            ("/welcome", Some(PageRoute::Welcome)),
            ("/account", Some(PageRoute::Account)),
            ("/settings/users", Some(PageRoute::Users)),
            ("/settings/users/7", Some(PageRoute::User(UserId(7)))),
            ("/settings/users/", None),
            ("/login/", None),
            ("/assets/x/style.css", Some(PageRoute::Asset)),
            ("/machines/add", Some(PageRoute::MachineAdd)),
            ("/machines/7/mute", Some(PageRoute::MachineMute(MachineId(7)))),
            ("/machines/7", Some(PageRoute::Machine(MachineId(7)))),
            ("/machines/7/remove", Some(PageRoute::MachineForm(MachineId(7), MachineForm::Remove))),
            ("/machines/7/", None),
            ("/machines/x", None),
            ("/machines/07/mute", None),
            ("/machines/7/acknowledge", Some(PageRoute::MachineAcknowledge(MachineId(7)))),
            ("/incidents", Some(PageRoute::Incidents)),
            ("/incidents/", None),
            ("/incidents/7", Some(PageRoute::Incident(IncidentId(7)))),
            ("/incidents/7/comment", Some(PageRoute::IncidentComment(IncidentId(7)))),
            ("/incidents/7/remove", None),
            ("/people", Some(PageRoute::People)),
            ("/channels/7/test", Some(PageRoute::ChannelForm(ChannelId(7), ChannelForm::Test))),
            ("/channels/7", None),
            ("/settings/status", Some(PageRoute::StatusSettings)),
            ("/status/barn", Some(PageRoute::StatusPage)),
            ("/status/barn/badge.svg", Some(PageRoute::StatusBadge)),
            ("/status", None),
            ("/status/", None),
            ("/status//badge.svg", None),
            ("/status/barn/", None),
            ("/acknowledge/pAAAA", Some(PageRoute::AcknowledgeLink)),
            ("/acknowledge/", None),
            ("/assets", None),
            ("/wall/", None),
            ("//", None),
            ("", None),
            ("/api/v1/machines", None),
            ("/healthz", None),
            ("/metrics", None),
        ] {
            assert_eq!(PageRoute::of(path), route, "{path}");
        }
    }

    #[test]
    fn the_way_to_the_root_follows_from_the_depth_of_the_path() {
        for (path, up) in [("/", "./"), ("/wall", "./"), ("/machines/7", "../"), ("/a/b/c", "../../")] {
            assert_eq!(to_root(path), up, "{path}");
        }
    }
}
