//! Changes to the machine that follow a decision, besides the heartbeat's own connections.

use super::decision::UplinkState;
use super::links::LinkTable;
use super::networkmanager::Repair;
use super::routes::{Keeper, is_allowed};
use crate::device::config::Mode;
use crate::device::os::rules::Rule;
use crate::wire::LinkState;
use std::io;
use std::path::Path;
use std::time::Instant;

/// The chosen backend.
#[derive(Debug)]
pub enum Backend {
    Observe,
    Routes(Keeper),
    NetworkManager(Repair),
}

impl Backend {
    /// Logs once which one was chosen, and why.
    pub fn choose(mode: Mode, root: &Path) -> Backend {
        let allowed = is_allowed(root);
        match mode {
            Mode::NetworkManager => {
                log::info!(
                    "failover mode networkmanager: heartbeats take the best uplink, nmcli connects what is down"
                );
                Backend::NetworkManager(Repair::default())
            }
            Mode::Auto | Mode::Routes if allowed => Backend::routes().unwrap_or_else(|error| {
                log::warn!("failover mode observe: routes cannot be changed: {error}");
                Backend::Observe
            }),
            Mode::Routes => {
                log::warn!(
                    "failover mode observe: \"routes\" needs CAP_NET_ADMIN, which this process does not have"
                );
                Backend::Observe
            }
            Mode::Auto => {
                log::info!(
                    "failover mode observe (auto): no CAP_NET_ADMIN; only heartbeats take the best uplink"
                );
                Backend::Observe
            }
            Mode::Observe | Mode::Off => {
                log::info!("failover mode observe: only heartbeats take the best uplink");
                Backend::Observe
            }
        }
    }

    fn routes() -> io::Result<Backend> {
        let keeper = Keeper::new()?;
        log::info!("failover mode routes: with CAP_NET_ADMIN, all traffic follows the best uplink");
        Ok(Backend::Routes(keeper))
    }

    pub fn name(&self) -> &'static str {
        match self {
            Backend::Observe => "observe",
            Backend::Routes(_) => "routes",
            Backend::NetworkManager(_) => "networkmanager",
        }
    }

    /// Traffic of the machine that does not follow the uplink, because policy routing sends it elsewhere.
    pub fn not_covered(&self, table: &LinkTable) -> Vec<String> {
        match self {
            Backend::Routes(_) => table.rules().iter().map(Rule::to_string).collect(),
            Backend::Observe | Backend::NetworkManager(_) => Vec::new(),
        }
    }

    /// Follows a decision. True if routes were changed.
    pub fn follow(
        &mut self,
        active: Option<&str>,
        uplinks: &[UplinkState],
        table: &LinkTable,
        now: Instant,
    ) -> bool {
        match self {
            Backend::Observe => false,
            Backend::Routes(keeper) => {
                let is_uplink = |name: &str| uplinks.iter().any(|uplink| uplink.interface == name);
                keeper.keep(active, is_uplink, table)
            }
            Backend::NetworkManager(repair) => {
                repair.forget(now);
                let down = uplinks.iter().filter(|uplink| uplink.state == LinkState::Down);
                down.for_each(|uplink| repair.connect(&uplink.interface, now));
                false
            }
        }
    }

    pub fn due(&self) -> Option<Instant> {
        match self {
            Backend::NetworkManager(repair) => repair.due(),
            Backend::Observe | Backend::Routes(_) => None,
        }
    }
}
