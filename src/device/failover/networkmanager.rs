//! The backend `networkmanager`: makes it connect an uplink that is down, off the hot path.
//!
//! Never `nmcli device disconnect`: it would keep the device from reconnecting until a person acts.

use crate::device::os::program::output;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// NetworkManager retries too, and a Wi-Fi that is out of reach stays out of reach.
const AGAIN: Duration = Duration::from_secs(60);
/// It does not wait for the connection (`-w 0`), only for NetworkManager's word.
const LIMIT: Duration = Duration::from_secs(10);

/// Makes at most one request a minute for each uplink, and one at a time.
///
/// nmcli may hang as long as the system bus does, so it runs on a thread of its own, which ends with it; a longer
/// life would cost memory for something that hardly ever happens.
#[derive(Debug, Default)]
pub struct Repair {
    requested: HashMap<String, Instant>,
    busy: Arc<AtomicBool>,
    /// There is no nmcli: said once.
    missing: Arc<AtomicBool>,
}

impl Repair {
    /// Requests `interface` unless that was done within the last minute.
    pub fn connect(&mut self, interface: &str, now: Instant) {
        self.forget(now);
        if self.requested.contains_key(interface)
            || self.missing.load(Ordering::Relaxed)
            || self.busy.swap(true, Ordering::AcqRel)
        {
            return;
        }
        self.requested.insert(interface.to_owned(), now);
        let (busy, missing, interface) = (self.busy.clone(), self.missing.clone(), interface.to_owned());
        let started = thread::Builder::new().name("nmcli".into()).spawn(move || {
            if connect(&interface).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                missing.store(true, Ordering::Relaxed);
                log::warn!("failover: nmcli is not installed; uplinks that are down are not reconnected");
            }
            busy.store(false, Ordering::Release);
        });
        if started.is_err() {
            self.busy.store(false, Ordering::Release);
        }
    }

    /// Allows a new request for interfaces whose last request is more than a minute old.
    pub fn forget(&mut self, now: Instant) {
        self.requested.retain(|_, requested| now < *requested + AGAIN);
    }

    /// When an uplink that stays down may be requested again.
    pub fn due(&self) -> Option<Instant> {
        self.requested.values().min().map(|requested| *requested + AGAIN)
    }
}

fn connect(interface: &str) -> io::Result<()> {
    let said = output(Path::new("nmcli"), &["-w", "0", "device", "connect", interface], LIMIT)?;
    match said.status.success() {
        true => log::info!("failover: NetworkManager connects {interface}"),
        false => log::debug!("nmcli cannot connect {interface}: {}", said.status),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_uplink_is_requested_once_a_minute() {
        let (mut repair, now) = (Repair::default(), Instant::now());
        // As if there were no nmcli: nothing is started.
        repair.missing.store(true, Ordering::Relaxed);
        repair.connect("wlan0", now);
        assert_eq!(repair.due(), None);
        repair.requested.insert("wlan0".into(), now);
        assert_eq!(repair.due(), Some(now + AGAIN));
        repair.connect("eth0", now + AGAIN);
        assert_eq!(repair.due(), None, "forgotten after a minute");
    }
}
