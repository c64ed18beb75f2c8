//! The loop: what is waited for, and what follows from it.

use super::backend::Backend;
use super::control::{Answer, Request, Server, Status, Told};
use super::decide::{Uplinks, decide};
use super::decision::{Decision, Event, Patience, Policy, Seen, Start, State, UplinkState, Which};
use super::gateway::{Gateways, NoAnswer};
use super::journal::Journal;
use super::links::{Kernel, Link};
use super::lock::is_locked;
use super::names::{matches, rank};
use super::orders::{Inbox, Order};
use super::probe::{Probe, ProbeError, Probes, Target};
use super::routes::is_strict;
use super::targets::Targets;
use super::{Outside, Report};
use crate::device::config;
use crate::device::heartbeat::dial;
use crate::device::os::routes::gateway;
use crate::device::os::wait::wait_for;
use rustix::event::{PollFd, PollFlags};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// A connection takes one round trip; more than this is no uplink to choose.
const UPSTREAM: Duration = Duration::from_secs(1);
/// Two tries end within 2 s, the time that deciding takes included.
const UPSTREAM_SHORT: Duration = Duration::from_millis(800);
/// Below the 500 ms between two looks.
const UPSTREAM_BRIEF: Duration = Duration::from_millis(450);
/// At a wake-up after so long the lock file is looked at, whether or not anything is to be switched: only what is told
/// of the state depends on it then.
const LOCK: Duration = Duration::from_secs(5);
/// While another process holds it, a switch may be waiting.
const LOCK_HELD: Duration = Duration::from_secs(1);
const PORTAL: Duration = Duration::from_secs(3);
/// Between two attempts to bring the heartbeat's connection to the active uplink. One on which connecting takes longer
/// than its head start would lose each race, and each costs a handshake.
const RETURN: Duration = Duration::from_secs(60);

/// Why the loop ended.
#[derive(Debug)]
pub enum End {
    Reload(Box<config::Network>),
    Stop,
}

/// Everything between two configurations.
#[derive(Debug)]
pub struct Watch<'a> {
    config: &'a config::Network,
    outside: &'a Outside,
    kernel: Kernel,
    uplinks: Uplinks,
    targets: Targets,
    probes: Probes,
    /// Absent without CAP_NET_ADMIN, or where it is not wanted.
    gateways: Option<Gateways>,
    backend: Backend,
    control: Option<Server>,
    journal: Journal,
    /// What was told last.
    ranked: Option<Vec<(u32, String)>>,
    told: Option<(Option<String>, State, Vec<UplinkState>)>,
    manual_until: Option<Instant>,
    next_due: Option<Instant>,
    /// When the lock file was looked at, and whether somebody held it.
    lock_seen: Option<(Instant, bool)>,
    /// When the heartbeat's connection was last told to come over the active uplink.
    returned: Option<Instant>,
    /// The first choice cuts no connection: the first heartbeat may be on its way.
    begun: bool,
}

impl<'a> Watch<'a> {
    /// # Errors
    /// No netlink: no descriptor is left, or the unit forbids it.
    pub fn start(config: &'a config::Network, outside: &'a Outside) -> io::Result<Watch<'a>> {
        let gateways = config.gateway_probe.then(Gateways::new).and_then(|made| match made {
            Ok(gateways) => Some(gateways),
            Err(error) => {
                log::info!("failover: gateways are not asked: {error}; TCP probes tell alone");
                None
            }
        });
        let control = Server::bind(&outside.runtime_dir)
            .inspect_err(|error| {
                log::warn!("failover: no control socket: {error}; the command line cannot ask")
            })
            .ok();
        let policy =
            Policy { failback_hold: config.failback_hold, portals: config.captive_portal_check.is_some() };
        let mut kernel = Kernel::open(gateways.is_some())?;
        kernel.read_if_due(Instant::now())?;
        let mut watch = Watch {
            config,
            outside,
            kernel,
            uplinks: Uplinks::new(policy),
            targets: Targets::new(config, outside.line.clone(), outside.names.clone()),
            probes: Probes::default(),
            gateways,
            // Removes what a killed daemon left, which the reading above has seen: read again soon.
            backend: Backend::choose(config.mode, Path::new("/")),
            control,
            journal: Journal::default(),
            ranked: None,
            told: None,
            manual_until: None,
            next_due: None,
            lock_seen: None,
            returned: None,
            begun: false,
        };
        watch.kernel.doubt();
        watch.warn_of_strict_filters();
        watch.learn_links(Instant::now());
        Ok(watch)
    }

    fn warn_of_strict_filters(&self) {
        let uplinks = self.kernel.table().links().filter(|link| self.rank(&link.name).is_some());
        let strict: Vec<&str> =
            uplinks.map(|link| link.name.as_str()).filter(|name| is_strict(Path::new("/"), name)).collect();
        if !strict.is_empty() {
            log::warn!(
                "failover: rp_filter=1 on {}: the kernel drops what comes back over a standby; \
                 set net.ipv4.conf.all.rp_filter=2",
                strict.join(", ")
            );
        }
    }

    /// # Errors
    /// A socket of the loop's own is broken.
    pub fn run(&mut self, inbox: &Inbox) -> io::Result<End> {
        loop {
            let now = Instant::now();
            if let Some(end) = self.take_orders(inbox) {
                return Ok(end);
            }
            if self.must_decide(now) {
                self.act(now, inbox);
            }
            // After acting: what it finds out acts at the next turn, without waiting.
            if self.kernel.read_if_due(now).unwrap_or_else(|error| self.unread(&error)) {
                self.learn_links(now);
                continue;
            }
            self.wait(inbox)?;
        }
    }

    /// The gateways' answers wake the thread some times a second, and nearly all of them tell what was known.
    fn must_decide(&self, now: Instant) -> bool {
        let is_past = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        self.uplinks.have_news()
            || self.next_due.is_none()
            || is_past(self.next_due)
            || is_past(self.backend.due())
    }

    fn unread(&self, error: &io::Error) -> bool {
        log::debug!("links cannot be read: {error}");
        false
    }

    fn take_orders(&mut self, inbox: &Inbox) -> Option<End> {
        loop {
            match inbox.next() {
                Some(Order::Acknowledged { interface, at }) => {
                    self.uplinks.learn(Event::Acknowledged { interface }, at);
                }
                Some(Order::Reload(network)) => return Some(End::Reload(network)),
                Some(Order::Stop) => return Some(End::Stop),
                None => return None,
            }
        }
    }

    /// Waits for the first thing that happens, and learns it.
    fn wait(&mut self, inbox: &Inbox) -> io::Result<()> {
        let dues = [self.next_due, self.kernel.due(), self.probes.due(), self.backend.due()];
        let gateways = self.gateways.as_ref().and_then(Gateways::due);
        let due = dues.into_iter().flatten().chain(gateways).min();
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let mut fds = vec![PollFd::new(&self.kernel, PollFlags::IN), PollFd::new(inbox, PollFlags::IN)];
        fds.extend(self.control.as_ref().map(|control| PollFd::new(control, PollFlags::IN)));
        self.probes.fds(&mut fds);
        wait_for(&mut fds, left)?;
        let happened: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);

        let now = Instant::now();
        if happened[0] {
            self.hear_kernel(now)?;
        }
        if happened[1] {
            inbox.quiet();
        }
        self.hear_probes(now);
        if self.control.is_some() && happened[2] {
            self.hear_people(now, inbox)?;
        }
        if self.targets.have_moved() {
            self.learn_links(now);
        }
        Ok(())
    }

    fn hear_kernel(&mut self, now: Instant) -> io::Result<()> {
        let gateways = &mut self.gateways;
        let changed = self.kernel.receive(|event| {
            gateways.iter_mut().for_each(|gateways| gateways.event(now, event));
        })?;
        if changed {
            self.learn_links(now);
        }
        Ok(())
    }

    fn hear_probes(&mut self, now: Instant) {
        for answer in self.probes.finished(now) {
            let index = answer.index;
            log::trace!("probe over {index}: {answer:?}");
            let event = match (&answer.target, &answer.result) {
                (Target::Tcp(_), Ok(_)) => Event::Upstream { index, works: Some(true) },
                (Target::Tcp(_), Err(error)) => {
                    Event::Upstream { index, works: error.is_the_uplinks().then_some(false) }
                }
                (Target::Portal(_), Ok(_)) => Event::Portal { index, free: Some(true) },
                (Target::Portal(_), Err(ProbeError::Portal)) => Event::Portal { index, free: Some(false) },
                (Target::Portal(_), Err(_)) => Event::Portal { index, free: None },
            };
            if let Event::Upstream { index, works: Some(true) } = event {
                self.bring_back(index, now);
            }
            self.uplinks.learn(event, now);
        }
        let answers = self.gateways.as_mut().map(|gateways| gateways.finished(now)).unwrap_or_default();
        for answer in answers {
            let answers = match answer.result {
                Ok(()) => true,
                Err(NoAnswer::Silent) => false,
                Err(NoAnswer::NotAsked) => continue,
            };
            self.uplinks.learn(Event::Gateway { index: answer.index, answers }, now);
        }
    }

    /// A standby that won a race keeps the connection, and may be metered: once the active uplink is seen to work, the
    /// next heartbeat is dialled over it.
    fn bring_back(&mut self, works: u32, now: Instant) {
        let Some((active, name)) = self.ranked.as_ref().and_then(|ranked| ranked.first()) else { return };
        let elsewhere = self.outside.line.over().is_some_and(|over| over != *name);
        if *active == works && elsewhere && self.returned.is_none_or(|returned| now >= returned + RETURN) {
            self.returned = Some(now);
            self.outside.line.renew();
        }
    }

    fn hear_people(&mut self, now: Instant, inbox: &Inbox) -> io::Result<()> {
        let Some(control) = &self.control else { return Ok(()) };
        for (request, client) in control.requests()? {
            let answer = self.obey(request, now, inbox);
            self.control.iter().for_each(|control| control.answer(&client, &answer));
        }
        Ok(())
    }

    fn obey(&mut self, request: Option<Request>, now: Instant, inbox: &Inbox) -> Answer {
        match request {
            None => return Err("this is no request".into()),
            Some(Request::Status) => {}
            Some(Request::Auto) => {
                log::info!("failover: override ended by command");
                self.manual_until = None;
                self.uplinks.learn(Event::Auto, now);
            }
            Some(Request::Manual { interface, limit }) => {
                if self.rank(&interface).is_none() {
                    return Err(format!(
                        "{interface} is none of the configured uplinks ({})",
                        self.config.interfaces.join(", ")
                    ));
                }
                log::info!("failover: override by command: {interface}");
                let until = limit.map(|limit| now + limit);
                self.manual_until = until;
                self.uplinks.learn(Event::Manual { interface, until }, now);
            }
        }
        let decision = self.act(now, inbox);
        // An override may have got another end, which changes nothing else.
        self.tell(&decision);
        Ok(self.status(&decision).at(now))
    }

    fn status(&self, decision: &Decision) -> Told {
        let status = Status {
            active: decision.active.clone(),
            state: decision.state.to_string(),
            backend: self.backend.name().into(),
            manual_s: None,
            uplinks: decision.uplinks.clone(),
        };
        Told::new(status, self.manual_until.filter(|_| decision.state == State::ManualOverride))
    }

    fn tell(&self, decision: &Decision) {
        self.outside.told.put(Some(self.status(decision)));
    }

    /// Place in the configured order; `None` is no uplink.
    fn rank(&self, name: &str) -> Option<usize> {
        rank(self.config, name)
    }

    /// Tells `uplinks` what the kernel's table says.
    fn learn_links(&mut self, now: Instant) {
        let (config, table) = (self.config, self.kernel.table());
        self.targets.sort_out(table, |name| rank(config, name).is_some());
        let seen = |link: &Link| {
            Some(Seen {
                index: link.index,
                name: link.name.clone(),
                rank: rank(config, &link.name)?,
                carrier: link.carrier,
                addressed: !link.addresses.is_empty(),
                gateway: self.gateways.is_some() && gateway(table.routes(), link.index).is_some(),
                targets: self.targets.over(link).len(),
            })
        };
        let all: Vec<Seen> = table.links().filter_map(seen).collect();
        let is_ap =
            |link: &Link| link.carrier && config.ap_interfaces.iter().any(|name| matches(name, &link.name));
        let access_point = table.links().any(is_ap);
        for unusable in all.iter().filter(|seen| !seen.carrier || !seen.addressed) {
            self.probes.abandon(unusable.index);
            self.gateways.iter_mut().for_each(|gateways| gateways.abandon(unusable.index));
        }
        self.uplinks.learn(Event::Links(all), now);
        self.uplinks.learn(Event::AccessPoint(access_point), now);
    }

    /// Decides, and does what was decided: the heartbeat's way first, everything else after it.
    fn act(&mut self, now: Instant, inbox: &Inbox) -> Decision {
        self.look_at_the_lock(now);
        let decision = decide(&mut self.uplinks, now);
        if self.ranked.as_ref() != Some(&decision.ranked) {
            let ranked = decision.ranked.iter().cloned();
            self.outside.line.use_uplinks(ranked.map(|(index, name)| dial::Uplink { index, name }).collect());
            self.ranked = Some(decision.ranked.clone());
        }
        let table = self.kernel.table();
        if self.backend.follow(decision.active.as_deref(), &decision.uplinks, table, now) {
            self.kernel.doubt();
        }
        if decision.switch.is_some() {
            if self.begun {
                self.outside.line.cut();
            }
            self.begun = true;
        }
        self.report(&decision);
        // After the report: the heartbeat that this calls for says what has just been done.
        if let Some(reason) = decision.trigger {
            self.outside.trigger.fire(reason);
        }
        self.start_probes(&decision, now);
        self.journal.note(&decision);
        inbox.settle(decision.active.as_deref().filter(|_| !self.uplinks.awaits_acknowledgement()));
        self.next_due = decision.next_due;
        decision
    }

    /// Before a switch, and now and then.
    fn look_at_the_lock(&mut self, now: Instant) {
        let recent =
            self.lock_seen.is_some_and(|(seen, held)| now < seen + if held { LOCK_HELD } else { LOCK });
        if recent && !self.uplinks.would_switch(now) {
            return;
        }
        let held = is_locked(&self.config.lock_file);
        self.lock_seen = Some((now, held));
        self.uplinks.learn(Event::Locked(held), now);
    }

    fn report(&mut self, decision: &Decision) {
        let told = self.told.as_ref().is_some_and(|(active, state, uplinks)| {
            (active, state, uplinks) == (&decision.active, &decision.state, &decision.uplinks)
        });
        if told {
            return;
        }
        self.tell(decision);
        let Decision { active, state, uplinks, .. } = decision.clone();
        let links = uplinks.iter().map(|uplink| (uplink.interface.clone(), uplink.state)).collect();
        self.outside.reports.put(Some(Report { active: active.clone(), state: state.to_string(), links }));
        self.told = Some((active, state, uplinks));
    }

    fn start_probes(&mut self, decision: &Decision, now: Instant) {
        for start in &decision.probes {
            match *start {
                Start::Upstream { index, which, patience } => self.ask_upstream(index, which, patience, now),
                Start::Gateway { index } => {
                    let ip = gateway(self.kernel.table().routes(), index);
                    if let (Some(gateways), Some(ip)) = (&mut self.gateways, ip) {
                        gateways.start(now, index, ip);
                    }
                }
                Start::Portal { index } => {
                    let link = self.kernel.table().links().find(|link| link.index == index);
                    let page = link.and_then(|link| Some((link.name.clone(), self.targets.page(link)?)));
                    match page {
                        Some((name, page)) => {
                            let target = Target::Portal(page);
                            self.probes.start(now, Probe { index, name, target, timeout: PORTAL });
                        }
                        None => self.uplinks.learn(Event::PortalNotAsked { index }, now),
                    }
                }
            }
        }
    }

    fn ask_upstream(&mut self, index: u32, which: Which, patience: Patience, now: Instant) {
        let Some(link) = self.kernel.table().links().find(|link| link.index == index) else { return };
        let targets = self.targets.over(link);
        let target = match which {
            Which::First => targets.first(),
            Which::Last => targets.last(),
        };
        let Some(&address) = target else { return };
        let timeout = match patience {
            Patience::Normal if self.targets.is_check(address) => self.config.connectivity_timeout,
            Patience::Normal => UPSTREAM,
            Patience::Short => UPSTREAM_SHORT,
            Patience::Brief => UPSTREAM_BRIEF,
        };
        let name = link.name.clone();
        self.probes.start(now, Probe { index, name, target: Target::Tcp(address), timeout });
    }
}

impl Drop for Watch<'_> {
    /// What is decided no longer holds; the kernel decides.
    fn drop(&mut self) {
        self.outside.line.use_uplinks(Vec::new());
    }
}
