//! Input and output of `decide`: facts in, states and actions out.

use crate::device::heartbeat::delivery::Evidence;
use crate::device::heartbeat::dial::Uplink;
use crate::wire::{LinkState as Health, Reason};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, Instant};

/// Settings of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub failback_hold: Duration,
    /// Captive portals are looked for.
    pub portals: bool,
}

/// A configured uplink as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub index: u32,
    pub name: String,
    /// In the configured order; 0 is the best.
    pub rank: usize,
    pub carrier: bool,
    /// Has an address that reaches further than the link.
    pub addressed: bool,
    /// There is a gateway, and asking it is allowed.
    pub gateway: bool,
    /// How many places there are to probe, of an address family that the uplink has: 0, 1 or 2.
    pub targets: usize,
}

/// The interface that heartbeats take whatever uplink is chosen, because the kernel's route to the server says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    pub interface: String,
    /// By its default route, over an interface that is not an uplink; otherwise by a more specific route.
    pub by_default: bool,
}

/// Everything that a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// All configured uplinks that there are.
    Links(Vec<Seen>),
    /// An upstream probe's end; `None` says nothing of the uplink.
    Upstream { index: u32, works: Option<bool> },
    /// A gateway probe's end.
    Gateway { index: u32, answers: bool },
    /// A captive portal check's end; `None` says nothing of the network: the page's server has a fault.
    Portal { index: u32, free: Option<bool> },
    /// The page's name has not been looked up yet.
    PortalNotChecked { index: u32 },
    /// The kernel's route to the server leaves no choice, or leaves it again.
    Pinned(Option<Pin>),
    /// A heartbeat was sent over this interface; `copy`: on purpose, to see whether it gets through.
    Heartbeat { interface: String, evidence: Evidence, copy: bool },
    /// Manual override: use this uplink, until then or without end.
    Manual { interface: String, until: Option<Instant> },
    /// Ends the manual override.
    Auto,
    /// Whether another process holds the failover lock.
    Locked(bool),
    /// The device is an access point for others.
    AccessPoint(bool),
}

/// The states that users of the original system know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailoverState {
    /// The first configured uplink is in use.
    Priority(String),
    /// Another one is, and no heartbeat has been acknowledged over it yet.
    FailoverTo(String),
    /// Another one is, and works.
    Active(String),
    NoNetwork,
    Locked,
    ManualOverride,
    ApMode,
}

impl fmt::Display for FailoverState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailoverState::Priority(interface) => write!(f, "{interface}_priority"),
            FailoverState::FailoverTo(interface) => write!(f, "failover_to_{interface}"),
            FailoverState::Active(interface) => write!(f, "{interface}_active"),
            FailoverState::NoNetwork => f.write_str("no_network"),
            FailoverState::Locked => f.write_str("locked"),
            FailoverState::ManualOverride => f.write_str("manual_override"),
            FailoverState::ApMode => f.write_str("ap_mode"),
        }
    }
}

/// The target that an upstream probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetChoice {
    /// The heartbeat's server, if it is known.
    First,
    /// `connectivity_check`, if there is one.
    Last,
}

/// How long an upstream probe may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeTimeout {
    Normal,
    /// A second try, while another uplink could take over: a slow answer is as bad as no answer.
    Short,
    /// Nothing works: the next probe begins before this one's first packet would be repeated.
    Brief,
}

/// A probe to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Upstream {
        index: u32,
        which: TargetChoice,
        timeout: ProbeTimeout,
    },
    Gateway {
        index: u32,
    },
    Portal {
        index: u32,
    },
    /// A copy of the last heartbeat over this uplink alone.
    Copy {
        index: u32,
    },
}

/// From one interface to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    pub from: Option<String>,
    /// How the old one is now.
    pub because: Option<Health>,
    pub to: Option<String>,
}

/// A configured uplink and its health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkState {
    pub interface: String,
    pub state: Health,
}

/// The actions and the new state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The uplink that is chosen.
    pub active: Option<String>,
    /// The interface that heartbeats take: the chosen uplink, unless the kernel's route to the server says otherwise.
    pub path: Option<String>,
    pub state: FailoverState,
    /// The active one first, then other usable ones, then those that are down.
    pub ranked: Vec<Uplink>,
    /// All configured uplinks, in their order.
    pub uplinks: Vec<UplinkState>,
    /// Set in the decision that changes `path`.
    pub switch: Option<Switch>,
    /// A heartbeat is wanted at once.
    pub trigger: Option<Reason>,
    pub probes: Vec<Start>,
    /// When to decide again if nothing happens.
    pub next_due: Option<Instant>,
}
