//! The list of cameras: where they come from, which source wins, and which one is checked next.

use super::arp::Neighbours;
use super::camera::{CameraInfo, CameraOrigin, DhcpAction, DhcpEvent, NewCamera, Status};
use super::check::{CameraCheck, CameraKey, CheckResult};
use super::leases::Lease;
use super::pattern::matches;
use super::problem::Problem;
use super::tracked::{StatusChange, TrackedCamera};
use crate::clock::Now;
use crate::device::config::{self, ConfiguredCamera, MOST_CAMERAS};
use crate::mac::Mac;
use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Changes since the last [`Roster::drain_changes`].
#[derive(Debug, Default)]
pub struct RosterChanges {
    /// Cameras were added, removed or renamed, or have another address.
    pub set: bool,
    /// A status has changed, or is camera for the first time.
    pub status: bool,
    /// Any field of the public list has changed.
    pub shown: bool,
    /// Cameras that changed between connected and disconnected.
    pub reported: Vec<CameraKey>,
    /// A second check in a row has failed: the server is to know, whatever the status is.
    pub second_failure: bool,
}

#[derive(Debug)]
pub struct Roster {
    /// Its `cameras` are empty: they are in the list.
    config: config::Cameras,
    cameras: BTreeMap<CameraKey, Box<TrackedCamera>>,
    /// [`TrackedCamera::number`] of the next camera that is added.
    next: u64,
    changes: RosterChanges,
    /// The list was full; logged once.
    full: bool,
    /// A camera is not on this LAN; logged once.
    foreign: bool,
}

impl Roster {
    /// Starts with the cameras of an earlier run.
    pub fn new(config: config::Cameras, saved: Vec<(Mac, TrackedCamera)>, now: Now) -> Roster {
        let mut cameras: BTreeMap<_, _> =
            saved.into_iter().map(|(mac, camera)| (CameraKey::Mac(mac), Box::new(camera))).collect();
        let mut next = 0;
        for camera in cameras.values_mut() {
            camera.number = next;
            next += 1;
        }
        let changes = RosterChanges { shown: true, ..RosterChanges::default() };
        let mut roster = Roster { config, cameras, next, changes, full: false, foreign: false };
        roster.configure(now);
        roster
    }

    pub fn reload(&mut self, config: config::Cameras, now: Now) {
        self.config = config;
        self.full = false;
        self.configure(now);
    }

    /// Applies the configuration: adds and changes its cameras, and removes those that it no longer names.
    fn configure(&mut self, now: Now) {
        let configured = std::mem::take(&mut self.config.cameras);
        let keys: Vec<CameraKey> = configured.iter().map(|camera| self.key_of(camera)).collect();
        let before = self.cameras.len();
        self.cameras.retain(|key, camera| camera.origin != CameraOrigin::Config || keys.contains(key));
        self.changes.set |= self.cameras.len() != before;
        let due = self.config.enabled.then_some(now.monotonic);
        for camera in self.cameras.values_mut() {
            camera.plan = self.config.plan.clone();
            (camera.fixed_ip, camera.fixed_hostname, camera.due) = (false, false, due);
        }
        for (key, wanted) in keys.into_iter().zip(&configured) {
            let Some(camera) = self.get_or_insert(key, CameraOrigin::Config, now.monotonic) else { continue };
            camera.origin = CameraOrigin::Config;
            camera.plan = wanted.plan.clone();
            (camera.fixed_ip, camera.fixed_hostname) = (wanted.address.is_some(), wanted.hostname.is_some());
            camera.ip = wanted.address.or(camera.ip);
            if wanted.hostname.is_some() {
                camera.hostname.clone_from(&wanted.hostname);
            }
        }
        self.changes.shown = true;
    }

    /// The MAC; if only the address is configured, the MAC that it had in an earlier run.
    fn key_of(&self, camera: &ConfiguredCamera) -> CameraKey {
        match (camera.mac, camera.address) {
            (Some(mac), _) => CameraKey::Mac(mac),
            (None, Some(ip)) => {
                let mut cameras = self.cameras.iter();
                let same = cameras
                    .find(|(_, camera)| camera.origin == CameraOrigin::Config && camera.ip == Some(ip));
                same.map_or(CameraKey::Address(ip), |(key, _)| *key)
            }
            // The configuration check excludes this.
            (None, None) => CameraKey::Address(IpAddr::from([0; 4])),
        }
    }

    /// `None` if the list is full and no camera may be evicted.
    fn get_or_insert(
        &mut self,
        key: CameraKey,
        origin: CameraOrigin,
        due: Instant,
    ) -> Option<&mut TrackedCamera> {
        if !self.cameras.contains_key(&key) {
            if self.cameras.len() >= MOST_CAMERAS && !self.evict() {
                return None;
            }
            let mut new = TrackedCamera::new(origin, self.config.plan.clone(), due);
            new.due = self.config.enabled.then_some(due);
            new.number = self.next;
            self.next += 1;
            self.cameras.insert(key, Box::new(new));
            (self.changes.set, self.changes.shown) = (true, true);
        }
        self.cameras.get_mut(&key).map(|camera| &mut **camera)
    }

    /// Removes the oldest camera from DHCP that has never answered a check; false if there is none. Any host on the LAN
    /// can ask for leases under the names of cameras that do not exist.
    fn evict(&mut self) -> bool {
        if !self.full {
            log::warn!(
                "cameras: the list is full ({MOST_CAMERAS}); new cameras replace those from DHCP that never answered"
            );
        }
        self.full = true;
        let never_answered =
            self.cameras.iter().filter(|(_, camera)| camera.origin == CameraOrigin::Dhcp && !camera.answered);
        let oldest = never_answered.min_by_key(|(_, camera)| camera.number).map(|(key, _)| *key);
        oldest.is_some_and(|key| self.cameras.remove(&key).is_some())
    }

    /// Adds a camera, or changes the name or address of a camera one.
    pub fn add(&mut self, new: NewCamera, origin: CameraOrigin, now: Now) {
        let NewCamera { mac, hostname, ip } = new;
        let Some(camera) = self.get_or_insert(CameraKey::Mac(mac), origin, now.monotonic) else { return };
        let other_name = hostname.is_some() && camera.hostname != hostname && !camera.fixed_hostname;
        if other_name {
            camera.hostname = hostname;
        }
        let other_ip = ip.filter(|ip| camera.ip != Some(*ip) && !camera.fixed_ip);
        if let Some(ip) = other_ip {
            camera.ip = Some(ip);
            // It is checked there at once, unless checks are disabled.
            camera.due = camera.due.map(|_| now.monotonic);
            self.clear_address_of_others(mac, ip);
        }
        let changed = other_name || other_ip.is_some();
        self.changes.set |= changed;
        self.changes.shown |= changed;
    }

    /// Removes one camera, or all; those of the configuration stay.
    pub fn remove(&mut self, removed: Option<Mac>) {
        let before = self.cameras.len();
        self.cameras.retain(|key, camera| {
            camera.origin == CameraOrigin::Config || removed.is_some_and(|mac| *key != CameraKey::Mac(mac))
        });
        let changed = self.cameras.len() != before;
        self.full &= !changed;
        self.changes.set |= changed;
        self.changes.shown |= changed;
    }

    /// Clears an address that another camera had: that one would be found alive there.
    fn clear_address_of_others(&mut self, mac: Mac, ip: IpAddr) {
        for (key, camera) in &mut self.cameras {
            if *key != CameraKey::Mac(mac) && camera.ip == Some(ip) && !camera.fixed_ip {
                camera.ip = None;
            }
        }
    }

    /// Applies a DHCP event. An unknown client is a camera if its name matches a pattern.
    pub fn apply_dhcp(&mut self, event: DhcpEvent, now: Now) {
        let DhcpEvent { action, mac, ip, hostname } = event;
        let key = CameraKey::Mac(mac);
        let is_new = !self.cameras.contains_key(&key);
        if is_new && (action == DhcpAction::Del || !self.is_camera(hostname.as_deref())) {
            return;
        }
        if action != DhcpAction::Del {
            self.add(NewCamera { mac, hostname, ip }, CameraOrigin::Dhcp, now);
        }
        let Some(camera) = self.cameras.get_mut(&key) else { return };
        let change = match action {
            DhcpAction::Add | DhcpAction::Old => camera.set_connected(now),
            DhcpAction::Del => camera.set_disconnected(now),
        };
        self.record(key, change);
    }

    /// Takes addresses from leases. A lease does not prove that the client is connected.
    pub fn apply_leases(&mut self, leases: impl Iterator<Item = Lease>, now: Now) {
        for Lease { mac, ip, hostname } in leases {
            if self.cameras.contains_key(&CameraKey::Mac(mac)) || self.is_camera(hostname.as_deref()) {
                self.add(NewCamera { mac, hostname, ip: Some(ip) }, CameraOrigin::Dhcp, now);
            }
        }
    }

    fn is_camera(&self, hostname: Option<&str>) -> bool {
        let patterns = &self.config.hostname_patterns;
        hostname.is_some_and(|name| patterns.iter().any(|pattern| matches(pattern, name)))
    }

    /// When the next check is due.
    pub fn due(&self) -> Option<Instant> {
        self.cameras.values().filter_map(|camera| camera.next_check()).min()
    }

    /// Makes a check of every camera due now.
    pub fn make_all_due(&mut self, now: Instant) {
        // A running check has just begun.
        self.cameras.values_mut().filter(|camera| !camera.checking).for_each(|camera| camera.due = Some(now));
    }

    /// Starts the checks that are due. Cameras with the same interval are checked at the same moment: one wake-up for all,
    /// and their few packets are not a burst.
    pub fn start_due(
        &mut self,
        now: Now,
        neighbours: impl FnOnce() -> Neighbours,
        mut start: impl FnMut(CameraCheck),
    ) {
        // Read once, and only if an address has to be looked up.
        let neighbours = LazyCell::new(neighbours);
        let mut without_address = Vec::new();
        for (key, camera) in &mut self.cameras {
            if camera.next_check().is_none_or(|due| now.monotonic < due) {
                continue;
            }
            camera.schedule_next(now.monotonic, self.config.enabled);
            if let (None, CameraKey::Mac(mac)) = (camera.ip, *key) {
                camera.ip = neighbours.address_of(mac);
                self.changes.set |= camera.ip.is_some();
            }
            match camera.ip {
                Some(ip) => {
                    camera.checking = true;
                    start(CameraCheck { key: *key, ip, plan: camera.plan.clone() });
                }
                None => without_address.push(*key),
            }
        }
        for key in without_address {
            self.apply_result(key, Err(Problem::NoAddress), now);
        }
    }

    /// Cameras whose check is running.
    pub fn being_checked(&self) -> impl Iterator<Item = CameraKey> + '_ {
        self.cameras.iter().filter(|(_, camera)| camera.checking).map(|(key, _)| *key)
    }

    /// Applies the result of a check.
    pub fn finish(&mut self, result: CheckResult, now: Now, neighbours: impl FnOnce() -> Neighbours) {
        let Some(camera) = self.cameras.get_mut(&result.key) else { return };
        camera.checking = false;
        if camera.ip != Some(result.ip) {
            // It has got another address meanwhile.
            camera.due = camera.due.map(|_| now.monotonic);
            return;
        }
        self.apply_result(result.key, result.result, now);
        if let (CameraKey::Address(ip), Ok(_)) = (result.key, result.result) {
            match neighbours().mac_of(ip) {
                Some(mac) => self.set_mac(ip, mac),
                None if !self.foreign => {
                    log::warn!(
                        "cameras: {ip} answers, but its MAC address is unknown because it is not on this device's LAN: set mac \
                         in [[cameras.camera]] to list it"
                    );
                    self.foreign = true;
                }
                None => {}
            }
        }
    }

    fn apply_result(&mut self, key: CameraKey, result: Result<Duration, Problem>, now: Now) {
        let Some(camera) = self.cameras.get_mut(&key) else { return };
        let before = camera.failed;
        let change = camera.apply_result(result, now);
        self.changes.second_failure |= camera.failed == Some(2) && before == Some(1);
        self.record(key, change);
    }

    fn record(&mut self, key: CameraKey, change: StatusChange) {
        self.changes.shown = true;
        self.changes.status |= change != StatusChange::None;
        if change == StatusChange::Changed {
            self.changes.reported.push(key);
        }
    }

    /// The MAC of a configured camera became camera. A camera that had this MAC before is the same one.
    fn set_mac(&mut self, ip: IpAddr, mac: Mac) {
        let Some(mut camera) = self.cameras.remove(&CameraKey::Address(ip)) else { return };
        if let Some(before) = self.cameras.remove(&CameraKey::Mac(mac)) {
            let newer = std::mem::replace(&mut camera.history, before.history);
            camera.history.append(&newer);
            if camera.hostname.is_none() {
                camera.hostname = before.hostname;
            }
        }
        self.cameras.insert(CameraKey::Mac(mac), camera);
        (self.changes.set, self.changes.shown) = (true, true);
    }

    pub fn drain_changes(&mut self) -> RosterChanges {
        std::mem::take(&mut self.changes)
    }

    /// All cameras with a MAC, in its order.
    pub fn cameras(&self) -> impl Iterator<Item = (Mac, &TrackedCamera)> + '_ {
        self.cameras.iter().filter_map(|(key, camera)| match key {
            CameraKey::Mac(mac) => Some((*mac, &**camera)),
            CameraKey::Address(_) => None,
        })
    }

    /// The public list.
    pub fn list(&self, now: Now) -> Vec<CameraInfo> {
        let mut cameras = Vec::with_capacity(self.cameras.len());
        cameras.extend(self.cameras().map(|(mac, camera)| camera.info(mac, now)));
        cameras
    }

    /// The log line about a camera; `None` if it was removed.
    pub fn log_line(&self, key: CameraKey) -> Option<String> {
        let camera = self.cameras.get(&key)?;
        let id = match key {
            CameraKey::Mac(mac) => mac.to_string(),
            CameraKey::Address(ip) => ip.to_string(),
        };
        let name = camera.hostname.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
        let why = camera.problem.filter(|_| camera.status == Status::Disconnected);
        let why = why.map(|problem| format!(": {problem}")).unwrap_or_default();
        Some(format!("camera {name}({id}) {}{why}", camera.status.as_str()))
    }
}

#[cfg(test)]
mod tests;
