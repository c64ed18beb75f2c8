//! The list of cameras: who tells of one, who is believed, and which one is checked next.

use super::arp::Neighbours;
use super::camera::{Camera, DhcpAction, DhcpEvent, NewCamera, Origin, Status};
use super::checks::{Answer, Question};
use super::known::{Effect, Known, Moment};
use super::leases::Lease;
use super::pattern::matches;
use super::problem::Problem;
use crate::device::config::{self, ConfiguredCamera, MOST_CAMERAS};
use crate::device::host::Mac;
use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What a camera is called by in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Mac(Mac),
    /// Of the configuration, until the neighbour table tells its MAC; not shown to others before.
    Address(IpAddr),
}

/// What others have to hear, since they heard last.
#[derive(Debug, Default)]
pub struct News {
    /// Cameras came, went, or are known by something else.
    pub set: bool,
    /// A status is another one.
    pub status: bool,
    /// Anything at all is another.
    pub shown: bool,
    /// Connected to disconnected, or back.
    pub changes: Vec<Key>,
}

#[derive(Debug)]
pub struct Roster {
    /// Without its cameras, which are in the list.
    config: config::Cameras,
    known: BTreeMap<Key, Box<Known>>,
    news: News,
    /// Said once.
    full: bool,
    foreign: bool,
}

impl Roster {
    /// With the cameras of an earlier run.
    pub fn new(config: config::Cameras, saved: Vec<(Mac, Known)>, now: Moment) -> Roster {
        let known = saved.into_iter().map(|(mac, known)| (Key::Mac(mac), Box::new(known))).collect();
        let news = News { shown: true, ..News::default() };
        let mut roster = Roster { config, known, news, full: false, foreign: false };
        roster.configure(now);
        roster
    }

    pub fn reload(&mut self, config: config::Cameras, now: Moment) {
        self.config = config;
        self.full = false;
        self.configure(now);
    }

    /// Has the list agree with the configuration: what it says anew, and what it does not say any more.
    fn configure(&mut self, now: Moment) {
        let configured = std::mem::take(&mut self.config.cameras);
        let keys: Vec<Key> = configured.iter().map(|camera| self.key_of(camera)).collect();
        let before = self.known.len();
        self.known.retain(|key, known| known.origin != Origin::Config || keys.contains(key));
        self.news.set |= self.known.len() != before;
        let due = self.config.enabled.then_some(now.at);
        for known in self.known.values_mut() {
            known.plan = self.config.plan.clone();
            (known.fixed_ip, known.fixed_hostname, known.due) = (false, false, due);
        }
        for (key, camera) in keys.into_iter().zip(&configured) {
            let Some(known) = self.get_or_insert(key, Origin::Config, now.at) else { continue };
            known.origin = Origin::Config;
            known.plan = camera.plan.clone();
            (known.fixed_ip, known.fixed_hostname) = (camera.address.is_some(), camera.hostname.is_some());
            known.ip = camera.address.or(known.ip);
            if camera.hostname.is_some() {
                known.hostname.clone_from(&camera.hostname);
            }
        }
        self.news.shown = true;
    }

    /// Where only its address is given: the MAC that it had in an earlier run.
    fn key_of(&self, camera: &ConfiguredCamera) -> Key {
        match (camera.mac, camera.address) {
            (Some(mac), _) => Key::Mac(mac),
            (None, Some(ip)) => {
                let mut known = self.known.iter();
                let same = known.find(|(_, known)| known.origin == Origin::Config && known.ip == Some(ip));
                same.map_or(Key::Address(ip), |(key, _)| *key)
            }
            // The configuration is checked for it.
            (None, None) => Key::Address(IpAddr::from([0; 4])),
        }
    }

    /// `None` if the list is full.
    fn get_or_insert(&mut self, key: Key, origin: Origin, due: Instant) -> Option<&mut Known> {
        if !self.known.contains_key(&key) {
            if self.known.len() >= MOST_CAMERAS {
                if !self.full {
                    log::warn!("cameras: there are {MOST_CAMERAS} already; more are not taken");
                }
                self.full = true;
                return None;
            }
            let mut new = Known::new(origin, self.config.plan.clone());
            new.due = self.config.enabled.then_some(due);
            self.known.insert(key, Box::new(new));
            (self.news.set, self.news.shown) = (true, true);
        }
        self.known.get_mut(&key).map(|known| &mut **known)
    }

    /// Somebody adds a camera, or tells what is new of it.
    pub fn add(&mut self, new: NewCamera, origin: Origin, now: Moment) {
        let NewCamera { mac, hostname, ip } = new;
        let Some(known) = self.get_or_insert(Key::Mac(mac), origin, now.at) else { return };
        let other_name = hostname.is_some() && known.hostname != hostname && !known.fixed_hostname;
        if other_name {
            known.hostname = hostname;
        }
        let other_ip = ip.filter(|ip| known.ip != Some(*ip) && !known.fixed_ip);
        if let Some(ip) = other_ip {
            known.ip = Some(ip);
            // It is looked for there at once, unless nobody looks at all.
            known.due = known.due.map(|_| now.at);
            self.take_from_others(mac, ip);
        }
        let news = other_name || other_ip.is_some();
        self.news.set |= news;
        self.news.shown |= news;
    }

    /// An address belongs to whom it was given last: another camera that had it would be found alive there.
    fn take_from_others(&mut self, mac: Mac, ip: IpAddr) {
        for (key, known) in &mut self.known {
            if *key != Key::Mac(mac) && known.ip == Some(ip) && !known.fixed_ip {
                known.ip = None;
            }
        }
    }

    /// Unknown clients are cameras if their names say so.
    pub fn dhcp(&mut self, event: DhcpEvent, now: Moment) {
        let DhcpEvent { action, mac, ip, hostname } = event;
        let key = Key::Mac(mac);
        let is_new = !self.known.contains_key(&key);
        if is_new && (action == DhcpAction::Del || !self.is_camera(hostname.as_deref())) {
            return;
        }
        if action != DhcpAction::Del {
            self.add(NewCamera { mac, hostname, ip }, Origin::Dhcp, now);
        }
        let Some(known) = self.known.get_mut(&key) else { return };
        let effect = match action {
            DhcpAction::Add | DhcpAction::Old => known.is_there(now),
            DhcpAction::Del => known.is_gone(now),
        };
        self.note(key, effect);
    }

    /// A lease says where a client is, not that it is there.
    pub fn leases(&mut self, leases: impl Iterator<Item = Lease>, now: Moment) {
        for Lease { mac, ip, hostname } in leases {
            if self.known.contains_key(&Key::Mac(mac)) || self.is_camera(hostname.as_deref()) {
                self.add(NewCamera { mac, hostname, ip: Some(ip) }, Origin::Dhcp, now);
            }
        }
    }

    fn is_camera(&self, hostname: Option<&str>) -> bool {
        let patterns = &self.config.hostname_patterns;
        hostname.is_some_and(|name| patterns.iter().any(|pattern| matches(pattern, name)))
    }

    /// When the next camera is to be checked.
    pub fn due(&self) -> Option<Instant> {
        self.known.values().filter(|known| !known.checking).filter_map(|known| known.due).min()
    }

    /// Has every camera checked as soon as possible.
    pub fn make_all_due(&mut self, now: Instant) {
        self.known.values_mut().for_each(|known| known.due = Some(now));
    }

    /// The checks that are to begin now. All cameras that are checked equally often are checked in the same moment:
    /// one wake-up for all, and a handful of packets is no burst.
    pub fn ask(
        &mut self,
        now: Moment,
        neighbours: impl FnOnce() -> Neighbours,
        mut begin: impl FnMut(Question),
    ) {
        // Read once, and only if somebody has to be looked up.
        let neighbours = LazyCell::new(neighbours);
        let mut lost = Vec::new();
        for (key, known) in &mut self.known {
            if known.checking || known.due.is_none_or(|due| now.at < due) {
                continue;
            }
            known.due = self.config.enabled.then_some(now.at + known.plan.interval);
            if let (None, Key::Mac(mac)) = (known.ip, *key) {
                known.ip = neighbours.address_of(mac);
                self.news.set |= known.ip.is_some();
            }
            match known.ip {
                Some(ip) => {
                    known.checking = true;
                    begin(Question { key: *key, ip, plan: known.plan.clone() });
                }
                None => lost.push(*key),
            }
        }
        for key in lost {
            self.take(key, Err(Problem::NoAddress), now);
        }
    }

    /// Cameras whose check has not ended.
    pub fn being_checked(&self) -> impl Iterator<Item = Key> + '_ {
        self.known.iter().filter(|(_, known)| known.checking).map(|(key, _)| *key)
    }

    /// Takes the answer of a camera.
    pub fn learn(&mut self, answer: Answer, now: Moment, neighbours: impl FnOnce() -> Neighbours) {
        let Some(known) = self.known.get_mut(&answer.key) else { return };
        known.checking = false;
        if known.ip != Some(answer.ip) {
            // It has moved meanwhile.
            known.due = known.due.map(|_| now.at);
            return;
        }
        self.take(answer.key, answer.result, now);
        if let (Key::Address(ip), Ok(_)) = (answer.key, answer.result) {
            match neighbours().mac_of(ip) {
                Some(mac) => self.rename(ip, mac),
                None if !self.foreign => {
                    log::warn!(
                        "cameras: {ip} answers, but is no neighbour of this device, so that its MAC address cannot be \
                         learnt: give mac in [[cameras.camera]] to have it listed"
                    );
                    self.foreign = true;
                }
                None => {}
            }
        }
    }

    fn take(&mut self, key: Key, result: Result<Duration, Problem>, now: Moment) {
        let Some(known) = self.known.get_mut(&key) else { return };
        let effect = known.learn(result, now);
        self.news.shown = true;
        self.note(key, effect);
    }

    fn note(&mut self, key: Key, effect: Effect) {
        self.news.shown = true;
        self.news.status |= effect != Effect::Nothing;
        if effect == Effect::Changed {
            self.news.changes.push(key);
        }
    }

    /// A camera of the configuration has told its MAC; what was known under that before is the same camera.
    fn rename(&mut self, ip: IpAddr, mac: Mac) {
        let Some(mut known) = self.known.remove(&Key::Address(ip)) else { return };
        if let Some(before) = self.known.remove(&Key::Mac(mac)) {
            let newer = std::mem::replace(&mut known.history, before.history);
            newer.transitions().for_each(|(second, status)| known.history.note(second, status));
            if known.hostname.is_none() {
                known.hostname = before.hostname;
            }
        }
        self.known.insert(Key::Mac(mac), known);
        (self.news.set, self.news.shown) = (true, true);
    }

    pub fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// All that have a MAC, in its order.
    pub fn known(&self) -> impl Iterator<Item = (Mac, &Known)> + '_ {
        self.known.iter().filter_map(|(key, known)| match key {
            Key::Mac(mac) => Some((*mac, &**known)),
            Key::Address(_) => None,
        })
    }

    pub fn view(&self, now: Moment) -> Vec<Camera> {
        let mut cameras = Vec::with_capacity(self.known.len());
        cameras.extend(self.known().map(|(mac, known)| known.view(mac, now)));
        cameras
    }

    /// What the log says of a camera; `None` if it is gone.
    pub fn sentence(&self, key: Key) -> Option<String> {
        let known = self.known.get(&key)?;
        let id = match key {
            Key::Mac(mac) => mac.to_string(),
            Key::Address(ip) => ip.to_string(),
        };
        let name = known.hostname.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
        let why = known.problem.filter(|_| known.status == Status::Disconnected);
        let why = why.map(|problem| format!(": {problem}")).unwrap_or_default();
        Some(format!("camera {name}({id}) {}{why}", known.status.as_str()))
    }
}
