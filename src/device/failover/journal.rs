//! Log lines: those that users of the original system look for, and our own.

use super::decision::{Decision, FailoverState, Switch, UplinkState};
use crate::device::burst::Burst;
use crate::wire::{LinkState, Reason};
use std::time::{Duration, Instant};

/// Changes that are logged in a row, and later ones one in 10 s: a cable that flaps must not fill the disk.
const LOGGED: Burst = Burst::new(20, Duration::from_secs(10));

/// State of the log: the last logged decision.
#[derive(Debug)]
pub struct Journal {
    /// The first choice is no failover.
    begun: bool,
    state: Option<FailoverState>,
    uplinks: Vec<UplinkState>,
    logged: Burst,
    /// Changes that were not logged since the last one that was.
    suppressed: u64,
}

impl Default for Journal {
    fn default() -> Journal {
        Journal { begun: false, state: None, uplinks: Vec::new(), logged: LOGGED, suppressed: 0 }
    }
}

impl Journal {
    pub fn note(&mut self, decision: &Decision, now: Instant) {
        for uplink in &decision.uplinks {
            let before = self.uplinks.iter().find(|known| known.interface == uplink.interface);
            let before = before.map_or(LinkState::Absent, |known| known.state);
            if before != uplink.state {
                log::debug!("uplink {}: {} -> {}", uplink.interface, before.as_str(), uplink.state.as_str());
            }
        }
        let first = !self.begun && matches!(&decision.switch, Some(Switch { to: Some(_), .. }));
        self.begun |= first;
        let changed = self.state.as_ref() != Some(&decision.state);
        if (decision.switch.is_some() || decision.trigger.is_some() || changed) && self.may_log(now) {
            log_change(decision, first, changed);
        }
        if changed {
            self.state = Some(decision.state.clone());
        }
        if self.uplinks != decision.uplinks {
            self.uplinks.clone_from(&decision.uplinks);
        }
    }

    fn may_log(&mut self, now: Instant) -> bool {
        if self.logged.allow(now).is_err() {
            self.suppressed += 1;
            return false;
        }
        match std::mem::take(&mut self.suppressed) {
            0 => {}
            count => log::warn!("[Failover] uplinks are flapping: {count} changes were not logged"),
        }
        true
    }
}

fn log_change(decision: &Decision, first: bool, changed: bool) {
    match &decision.switch {
        Some(Switch { to: Some(to), .. }) if first => log::debug!("begins with {to}"),
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
    if changed {
        log::info!("uplinks: {}{}", decision.state, standbys(decision));
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

/// The other uplinks and their states.
fn standbys(decision: &Decision) -> String {
    let others = decision.uplinks.iter().filter(|uplink| Some(&uplink.interface) != decision.path.as_ref());
    let others: Vec<String> =
        others.map(|uplink| format!("{} {}", uplink.interface, uplink.state.as_str())).collect();
    if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) }
}
