//! `doctor`'s report on cameras, without the running daemon.

use super::camera::Method;
use super::{ping, state};
use crate::device::config;
use std::path::Path;

/// `5 known, 4 connected; ICMP is allowed`, or the obstacle.
pub fn examine(config: &config::Cameras, state_dir: &Path) -> Result<String, String> {
    let counted =
        state::count(state_dir).map_err(|error| format!("{error}; the daemon sets it aside at its start"))?;
    let known = match counted {
        Some((known, connected)) => format!("{known} known, {connected} connected when it was saved"),
        None => format!("none known yet, {} in the configuration", config.cameras.len()),
    };
    let mut plans = config.cameras.iter().map(|camera| &camera.plan).chain([&config.plan]);
    let pings = plans.any(|plan| matches!(plan.method, Method::Icmp | Method::Both));
    match ping::allowed() {
        Ok(()) => Ok(format!("{known}; ICMP is allowed")),
        Err(_) if !pings => Ok(format!("{known}; ICMP is not allowed, and not needed")),
        Err(error) => Err(format!(
            "{known}; no ICMP: {error}; the sysctl net.ipv4.ping_group_range must cover a group of the user"
        )),
    }
}
