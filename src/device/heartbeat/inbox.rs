//! What reaches the thread: readings, uplinks, calls for a heartbeat, a new configuration.

use super::delivery::Evidence;
use super::dial::Uplink;
use super::sender::Sender;
use crate::device::config;
use crate::device::metrics::Metrics;
use crate::ticker::Ticker;
use crate::wire::{self, LinkState, Reason};
use crossbeam_channel::{Receiver, Sender as ChannelSender, TrySendError, bounded};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Calls for a heartbeat at once.
#[derive(Debug, Clone)]
pub struct Trigger(ChannelSender<Reason>);

impl Trigger {
    /// At most one call waits: false if there is one already, which will do for both.
    pub fn fire(&self, reason: Reason) -> bool {
        !matches!(self.0.try_send(reason), Err(TrySendError::Full(_)))
    }
}

/// A trigger, and the end of it that the heartbeat thread holds.
pub fn trigger() -> (Trigger, Receiver<Reason>) {
    let (sender, receiver) = bounded(1);
    (Trigger(sender), receiver)
}

/// All that can reach the thread, apart from the ticker.
#[derive(Debug)]
pub struct Inbox {
    /// The newest reading. Looked at when a heartbeat is due: one that came wakes nobody.
    pub metrics: Receiver<Metrics>,
    /// Empty where failover is off; disconnected where none runs.
    pub uplinks: Receiver<Option<Uplinks>>,
    pub triggers: Receiver<Reason>,
    /// Uplinks over which a copy of the last heartbeat is to be tried.
    pub copies: Receiver<Uplink>,
    /// Its other end dropped: say farewell and return.
    pub control: Receiver<Reload>,
}

/// What the failover thread tells of the uplinks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uplinks {
    pub active: Option<String>,
    /// The name of what failover is doing: `eth0_priority`, `failover_to_wlan0` ...
    pub state: String,
    pub links: BTreeMap<String, LinkState>,
}

impl Uplinks {
    /// Failover probes, and so it knows the links better than the metrics do.
    pub fn tell(&self, connection: &mut wire::Connection) {
        connection.active.clone_from(&self.active);
        connection.state = Some(self.state.clone());
        let known = |name: &str| self.links.get(name).copied();
        if let Some(ethernet) = &mut connection.ethernet {
            ethernet.state = known(&ethernet.interface).unwrap_or(ethernet.state);
        }
        if let Some(wifi) = &mut connection.wifi {
            wifi.state = known(&wifi.interface).unwrap_or(wifi.state);
        }
        connection.uplinks.clone_from(&self.links);
    }
}

/// Called for each heartbeat that was sent over an uplink, with what it says of the uplink, and whether it was a copy:
/// one that gets through stands for a probe.
pub type Delivered = Arc<dyn Fn(&str, Evidence, bool) + Send + Sync>;

/// A new configuration, with everything that was made from it.
#[derive(Debug)]
pub struct Reload {
    pub config: config::Heartbeat,
    pub sender: Option<Sender>,
    /// Absent while the interval stays as it is: then the schedule does too.
    pub ticker: Option<Ticker>,
}
