//! From where a page is seen: by whom, in which local time, at which depth of the site.

use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::accounts::visitor::Visitor;
use heartbeat_daemon::monitor::machine::Machine;
use heartbeat_daemon::monitor::zone::{Clock, ZONES, Zone};
use std::path::Path;

/// What the words and links of a page depend on.
#[derive(Debug, Clone)]
pub struct Viewpoint {
    pub visitor: Visitor,
    /// The visitor's local time.
    pub clock: Clock,
    /// The way to the root, for relative links.
    pub root: &'static str,
    pub now: Moment,
}

impl Viewpoint {
    pub fn new(visitor: Visitor, root: &'static str, now: Moment) -> Viewpoint {
        Viewpoint { clock: local_time(visitor.time_zone.as_deref()), visitor, root, now }
    }

    /// Whether a page looks the same from there at the same moment: who looks, only matters by what they may see and do.
    pub fn shows_the_same_as(&self, other: &Viewpoint) -> bool {
        let permissions = |viewpoint: &Viewpoint| (viewpoint.root, viewpoint.visitor.role);
        permissions(self) == permissions(other)
            && self.visitor.time_zone == other.visitor.time_zone
            && self.visitor.scope == other.visitor.scope
    }

    /// Whether a machine is within the visitor's scope.
    pub fn sees(&self, machine: &Machine) -> bool {
        self.visitor.scope.includes(machine.group.as_deref(), &machine.tags)
    }
}

/// UTC if the zone is unknown to this server.
fn local_time(zone: Option<&str>) -> Clock {
    let zone = zone.and_then(|name| Zone::read(Path::new(ZONES), name).ok());
    zone.map_or(Clock::UTC, Clock::Zone)
}
