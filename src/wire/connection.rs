//! The part of a heartbeat about the network: links, addresses, uplinks, modem, position.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The device's network connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// The interface that the default route uses.
    pub active: Option<String>,
    /// State of failover.
    pub state: Option<String>,
    pub ethernet: Option<Ethernet>,
    pub wifi: Option<Wifi>,
    #[serde(rename = "4g")]
    pub cellular: Option<Cellular>,
    pub gps: Option<Gps>,
    pub ip_addresses: Vec<Address>,
    /// By interface, since the interface appeared.
    pub traffic: BTreeMap<String, Traffic>,
    /// All configured uplinks in the configured order, including standbys: a dead one shows before it is needed.
    /// Absent while failover is off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uplinks: Vec<UplinkReport>,
}

/// A configured uplink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkReport {
    pub interface: String,
    /// Any state but `up`: uplinks are probed.
    pub health: LinkState,
    /// Whole seconds since it delivered an acknowledged heartbeat or passed an upstream probe; `null` if it has done
    /// neither since the daemon started.
    pub proven_s: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ethernet {
    pub interface: String,
    pub state: LinkState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wifi {
    pub interface: String,
    pub state: LinkState,
    pub ssid: Option<String>,
    pub signal_dbm: Option<i32>,
    pub signal_percent: Option<u8>,
}

/// State of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// There is no interface of that name.
    Absent,
    /// No carrier, or switched off.
    Down,
    /// Carrier, but no usable address.
    NoAddress,
    /// Carrier and address; not probed.
    Up,
    /// Carrier and address; the first probe has not ended yet.
    Unverified,
    /// A probe reached the far side.
    Valid,
    /// The last probe failed, or the gateway missed one.
    Suspect,
    /// Probes fail.
    Dead,
    /// A captive portal intercepts connections.
    Portal,
}

impl LinkState {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkState::Absent => "absent",
            LinkState::Down => "down",
            LinkState::NoAddress => "no_address",
            LinkState::Up => "up",
            LinkState::Unverified => "unverified",
            LinkState::Valid => "valid",
            LinkState::Suspect => "suspect",
            LinkState::Dead => "dead",
            LinkState::Portal => "portal",
        }
    }

    /// Whether packets may get through.
    pub fn is_connected(self) -> bool {
        matches!(self, LinkState::Up | LinkState::Unverified | LinkState::Valid | LinkState::Suspect)
    }
}

/// A modem, as ModemManager knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cellular {
    /// ModemManager's word: `connected`, `registered`, `searching`, `failed` ...
    pub state: String,
    pub operator: Option<String>,
    /// Access technologies, joined by commas: `lte`, `5gnr`.
    pub technology: Option<String>,
    pub signal_percent: Option<u8>,
}

/// gpsd's last fix. The position is sent only if configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gps {
    pub fix: GpsFix,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpsFix {
    #[serde(rename = "none")]
    None,
    #[serde(rename = "2d")]
    TwoD,
    #[serde(rename = "3d")]
    ThreeD,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Address {
    pub interface: String,
    pub ip: IpAddr,
    #[serde(rename = "type")]
    pub kind: LinkKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LinkKind {
    #[serde(rename = "ethernet")]
    Ethernet,
    #[serde(rename = "wifi")]
    Wifi,
    #[serde(rename = "4g")]
    Cellular,
    #[serde(rename = "other")]
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub rx_bytes: u64,
    pub tx_bytes: u64,
}
