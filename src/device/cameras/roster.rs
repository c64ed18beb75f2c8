//! The list of cameras: who tells of one, who is believed, and which one is checked next.

use super::arp::Neighbours;
use super::camera::{Camera, DhcpAction, DhcpEvent, NewCamera, Origin, Status};
use super::checks::{Answer, Question};
use super::known::{Effect, Known};
use super::leases::Lease;
use super::pattern::matches;
use super::problem::Problem;
use crate::clock::Now;
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
    /// [`Known::number`] of the next camera that is added.
    next: u64,
    news: News,
    /// Logged once.
    full: bool,
    foreign: bool,
}

impl Roster {
    /// With the cameras of an earlier run.
    pub fn new(config: config::Cameras, saved: Vec<(Mac, Known)>, now: Now) -> Roster {
        let mut known: BTreeMap<_, _> =
            saved.into_iter().map(|(mac, known)| (Key::Mac(mac), Box::new(known))).collect();
        let mut next = 0;
        for known in known.values_mut() {
            known.number = next;
            next += 1;
        }
        let news = News { shown: true, ..News::default() };
        let mut roster = Roster { config, known, next, news, full: false, foreign: false };
        roster.configure(now);
        roster
    }

    pub fn reload(&mut self, config: config::Cameras, now: Now) {
        self.config = config;
        self.full = false;
        self.configure(now);
    }

    /// Has the list agree with the configuration: what it says anew, and what it does not say any more.
    fn configure(&mut self, now: Now) {
        let configured = std::mem::take(&mut self.config.cameras);
        let keys: Vec<Key> = configured.iter().map(|camera| self.key_of(camera)).collect();
        let before = self.known.len();
        self.known.retain(|key, known| known.origin != Origin::Config || keys.contains(key));
        self.news.set |= self.known.len() != before;
        let due = self.config.enabled.then_some(now.monotonic);
        for known in self.known.values_mut() {
            known.plan = self.config.plan.clone();
            (known.fixed_ip, known.fixed_hostname, known.due) = (false, false, due);
        }
        for (key, camera) in keys.into_iter().zip(&configured) {
            let Some(known) = self.get_or_insert(key, Origin::Config, now.monotonic) else { continue };
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

    /// `None` if the list is full of cameras that are worth keeping.
    fn get_or_insert(&mut self, key: Key, origin: Origin, due: Instant) -> Option<&mut Known> {
        if !self.known.contains_key(&key) {
            if self.known.len() >= MOST_CAMERAS && !self.evict() {
                return None;
            }
            let mut new = Known::new(origin, self.config.plan.clone(), due);
            new.due = self.config.enabled.then_some(due);
            new.number = self.next;
            self.next += 1;
            self.known.insert(key, Box::new(new));
            (self.news.set, self.news.shown) = (true, true);
        }
        self.known.get_mut(&key).map(|known| &mut **known)
    }

    /// Removes the camera that was learnt from DHCP the longest ago and has never answered a check; false if there is
    /// none. Any host on the LAN can ask for leases under the names of cameras that do not exist.
    fn evict(&mut self) -> bool {
        if !self.full {
            log::warn!(
                "cameras: the list is full ({MOST_CAMERAS}); new ones replace those learnt from DHCP that never answered"
            );
        }
        self.full = true;
        let never_answered =
            self.known.iter().filter(|(_, known)| known.origin == Origin::Dhcp && !known.answered);
        let oldest = never_answered.min_by_key(|(_, known)| known.number).map(|(key, _)| *key);
        oldest.is_some_and(|key| self.known.remove(&key).is_some())
    }

    /// Adds a camera, or changes the name or address of a known one.
    pub fn add(&mut self, new: NewCamera, origin: Origin, now: Now) {
        let NewCamera { mac, hostname, ip } = new;
        let Some(known) = self.get_or_insert(Key::Mac(mac), origin, now.monotonic) else { return };
        let other_name = hostname.is_some() && known.hostname != hostname && !known.fixed_hostname;
        if other_name {
            known.hostname = hostname;
        }
        let other_ip = ip.filter(|ip| known.ip != Some(*ip) && !known.fixed_ip);
        if let Some(ip) = other_ip {
            known.ip = Some(ip);
            // It is looked for there at once, unless nobody looks at all.
            known.due = known.due.map(|_| now.monotonic);
            self.take_from_others(mac, ip);
        }
        let news = other_name || other_ip.is_some();
        self.news.set |= news;
        self.news.shown |= news;
    }

    /// Removes one camera, or all; those of the configuration stay.
    pub fn remove(&mut self, camera: Option<Mac>) {
        let before = self.known.len();
        self.known.retain(|key, known| {
            known.origin == Origin::Config || camera.is_some_and(|mac| *key != Key::Mac(mac))
        });
        let removed = self.known.len() != before;
        self.full &= !removed;
        self.news.set |= removed;
        self.news.shown |= removed;
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
    pub fn dhcp(&mut self, event: DhcpEvent, now: Now) {
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
    pub fn leases(&mut self, leases: impl Iterator<Item = Lease>, now: Now) {
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
        // What is being checked has just begun.
        self.known.values_mut().filter(|known| !known.checking).for_each(|known| known.due = Some(now));
    }

    /// The checks that are to begin now. All cameras that are checked equally often are checked in the same moment:
    /// one wake-up for all, and a handful of packets is no burst.
    pub fn ask(
        &mut self,
        now: Now,
        neighbours: impl FnOnce() -> Neighbours,
        mut begin: impl FnMut(Question),
    ) {
        // Read once, and only if somebody has to be looked up.
        let neighbours = LazyCell::new(neighbours);
        let mut lost = Vec::new();
        for (key, known) in &mut self.known {
            if known.checking || known.due.is_none_or(|due| now.monotonic < due) {
                continue;
            }
            known.due = self.config.enabled.then_some(now.monotonic + known.plan.interval);
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
    pub fn learn(&mut self, answer: Answer, now: Now, neighbours: impl FnOnce() -> Neighbours) {
        let Some(known) = self.known.get_mut(&answer.key) else { return };
        known.checking = false;
        if known.ip != Some(answer.ip) {
            // It has moved meanwhile.
            known.due = known.due.map(|_| now.monotonic);
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

    fn take(&mut self, key: Key, result: Result<Duration, Problem>, now: Now) {
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
            known.history.append(&newer);
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

    pub fn view(&self, now: Now) -> Vec<Camera> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use std::path::Path;

    fn roster(text: &str) -> (Roster, Now) {
        let config = config::Config::from_source(&Source::new("test", text), &|_| None).expect(text);
        let now = Now::read();
        (Roster::new(config.cameras, Vec::new(), now), now)
    }

    fn mac(number: u16) -> Mac {
        let [high, low] = number.to_be_bytes();
        format!("02:00:00:00:{high:02x}:{low:02x}").parse().expect("a MAC")
    }

    fn nobody() -> Neighbours {
        Neighbours::read(Path::new("/nowhere"))
    }

    fn asked(roster: &mut Roster, now: Now) -> Vec<Question> {
        let mut questions = Vec::new();
        roster.ask(now, nobody, |question| questions.push(question));
        questions
    }

    #[test]
    fn there_are_no_more_cameras_than_allowed() {
        let (mut roster, now) = roster("");
        for number in 0..=u16::try_from(MOST_CAMERAS).expect("few") {
            roster.add(NewCamera { mac: mac(number), hostname: None, ip: None }, Origin::Api, now);
        }
        assert_eq!((roster.known().count(), roster.full), (MOST_CAMERAS, true));
    }

    #[test]
    fn cameras_are_removed_one_or_all_but_those_of_the_configuration_stay() {
        let (mut roster, now) = roster("[[cameras.camera]]\nmac = \"02:00:00:00:00:01\"");
        for number in [2, 3, 4] {
            roster.add(NewCamera { mac: mac(number), hostname: None, ip: None }, Origin::Api, now);
        }
        roster.take_news();
        let macs = |roster: &Roster| roster.known().map(|(mac, _)| mac).collect::<Vec<_>>();
        roster.remove(Some(mac(3)));
        assert_eq!(macs(&roster), [1, 2, 4].map(mac));
        assert!(roster.take_news().set, "the state file follows");
        roster.remove(Some(mac(1)));
        roster.remove(Some(mac(9)));
        assert!(!roster.take_news().set);
        roster.remove(None);
        assert_eq!(macs(&roster), [mac(1)]);
    }

    #[test]
    fn invented_dhcp_clients_neither_fill_the_list_nor_displace_a_camera_that_answered() {
        let (mut roster, now) = roster("[cameras]\nhostname_patterns = [\"cam-*\"]");
        let event = |number: u16| DhcpEvent {
            action: DhcpAction::Add,
            mac: mac(number),
            ip: Some([192, 0, 2, 1].into()),
            hostname: Some("cam-gate".into()),
        };
        roster.dhcp(event(1), now);
        let question = asked(&mut roster, now).pop().expect("one");
        roster.learn(question.answer(Ok(Duration::ZERO)), now, nobody);
        let added = NewCamera { mac: mac(2), hostname: None, ip: None };
        roster.add(added, Origin::Api, now);
        let most = u16::try_from(MOST_CAMERAS).expect("few");
        for number in 3..2 * most {
            roster.dhcp(event(number), now);
        }
        roster.add(NewCamera { mac: mac(u16::MAX), hostname: None, ip: None }, Origin::Api, now);
        let macs: Vec<_> = roster.known().map(|(mac, _)| mac).collect();
        assert_eq!(macs.len(), MOST_CAMERAS);
        for kept in [1, 2, 2 * most - 1, u16::MAX] {
            assert!(macs.contains(&mac(kept)), "camera {kept} is listed");
        }
        assert!(!macs.contains(&mac(3)), "the oldest invented one is gone");
    }

    #[test]
    fn an_answer_from_an_address_that_is_no_longer_the_cameras_is_none_and_it_is_asked_again() {
        let (mut roster, now) = roster("");
        let at = |last| NewCamera { mac: mac(1), hostname: None, ip: Some([192, 0, 2, last].into()) };
        roster.add(at(1), Origin::Api, now);
        let question = asked(&mut roster, now).pop().expect("one");
        roster.add(at(2), Origin::Api, now);
        assert!(asked(&mut roster, now).is_empty(), "it is being checked");
        roster.learn(question.answer(Ok(Duration::ZERO)), now, nobody);
        assert_eq!(roster.view(now)[0].status, Status::Unknown);
        assert_eq!(asked(&mut roster, now).pop().map(|question| question.ip), Some([192, 0, 2, 2].into()));
    }

    #[test]
    fn a_problem_of_this_machine_says_nothing_of_a_camera() {
        let (mut roster, now) = roster("");
        let ip = Some([192, 0, 2, 1].into());
        roster.add(NewCamera { mac: mac(1), hostname: None, ip }, Origin::Api, now);
        let question = asked(&mut roster, now).pop().expect("one");
        roster.learn(question.answer(Ok(Duration::ZERO)), now, nobody);
        for problem in [Problem::NotAllowed, Problem::IcmpForbidden, Problem::Own(std::io::ErrorKind::Other)]
        {
            roster.take(Key::Mac(mac(1)), Err(problem), now);
            let camera = roster.view(now).pop().expect("one");
            assert_eq!((camera.status, camera.reachable), (Status::Connected, None));
            assert_eq!(camera.problem, Some(problem.to_string()));
        }
        assert!(roster.take_news().changes.is_empty());
        roster.take(Key::Mac(mac(1)), Err(Problem::NoRoute), now);
        assert_eq!(roster.take_news().changes, [Key::Mac(mac(1))]);
    }

    #[test]
    fn a_check_of_all_does_not_ask_twice_what_is_being_asked() {
        let (mut roster, now) =
            roster("[[cameras.camera]]\naddress = \"192.0.2.1\"\nmac = \"02:00:00:00:00:01\"");
        assert_eq!(asked(&mut roster, now).len(), 1);
        roster.make_all_due(now.monotonic);
        assert!(asked(&mut roster, now).is_empty());
        assert_eq!(roster.due(), None, "nothing to wake up for but its answer");
    }
}
