//! What the log says: the lines that users of the original system look for, and what came of them.

use super::decision::{Decision, State, Switch, UplinkState};
use crate::wire::{LinkState, Reason};

/// Remembers what was said.
#[derive(Debug, Default)]
pub struct Journal {
    /// The first choice is no failover.
    begun: bool,
    state: Option<State>,
    uplinks: Vec<UplinkState>,
}

impl Journal {
    pub fn note(&mut self, decision: &Decision) {
        for uplink in &decision.uplinks {
            let before = self.uplinks.iter().find(|known| known.interface == uplink.interface);
            let before = before.map_or(LinkState::Absent, |known| known.state);
            if before != uplink.state {
                log::debug!("uplink {}: {} -> {}", uplink.interface, before.as_str(), uplink.state.as_str());
            }
        }
        match &decision.switch {
            Some(Switch { to: Some(to), .. }) if !self.begun => {
                self.begun = true;
                log::debug!("begins with {to}");
            }
            Some(switch) => note_switch(switch),
            None => {}
        }
        match decision.trigger {
            Some(Reason::ConnectivityRestored) => {
                log::info!("[Meeting] Connectivity restored, sending immediate heartbeat");
            }
            Some(_) => log::info!("[Network] Triggering immediate heartbeat: {}", decision.state),
            None => {}
        }
        if self.state.as_ref() != Some(&decision.state) {
            log::info!("uplinks: {}{}", decision.state, standbys(decision));
            self.state = Some(decision.state.clone());
        }
        if self.uplinks != decision.uplinks {
            self.uplinks.clone_from(&decision.uplinks);
        }
    }
}

fn note_switch(switch: &Switch) {
    if let Some(from) = &switch.from {
        match switch.because {
            Some(LinkState::Down | LinkState::Absent) | None => log::info!("[Failover] {from} disconnected"),
            Some(LinkState::NoAddress) => {
                log::info!("[Failover] {from} disconnected: it has lost its address")
            }
            Some(LinkState::Dead) => log::info!("[Failover] {from} disconnected: nothing comes through"),
            Some(LinkState::Portal) => {
                log::info!("[Failover] {from} disconnected: its network asks for a login")
            }
            Some(_) => log::debug!("{from} is left for a better one"),
        }
    }
    match &switch.to {
        Some(to) => log::info!("[Failover] Connecting to {to}"),
        None => log::warn!("[Failover] No uplink is left"),
    }
}

/// The others, for whoever wonders what is left.
fn standbys(decision: &Decision) -> String {
    let others = decision.uplinks.iter().filter(|uplink| Some(&uplink.interface) != decision.active.as_ref());
    let others: Vec<String> =
        others.map(|uplink| format!("{} {}", uplink.interface, uplink.state.as_str())).collect();
    if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) }
}
