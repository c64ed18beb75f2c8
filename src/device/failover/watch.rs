//! The loop: waits for events, decides, acts.

mod command;
mod probing;

use super::backend::Backend;
use super::context::FailoverContext;
use super::decide::{Uplinks, decide};
use super::decision::{Decision, Fact, FailoverState, Pin, Policy, Seen};
use super::doctor::{not_named, server_not_named, unlisted};
use super::gateway_probe::Gateways;
use super::handle::{FailoverEvent, FailoverMailbox};
use super::journal::Journal;
use super::links::{Kernel, Link};
use super::lock::is_locked;
use super::names::{matches, rank};
use super::routes::is_strict;
use super::targets::Targets;
use super::upstream_probe::Probes;
use crate::clock::remaining;
use crate::device::config;
use crate::device::heartbeat::dial::Uplink;
use crate::device::os::routes::gateway;
use crate::device::os::wait::wait_for;
use rustix::event::{PollFd, PollFlags};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// A wake-up this long after the last look reads the lock file again, even if nothing is to be switched: the published
/// state depends on it.
const LOCK: Duration = Duration::from_secs(5);
/// While another process holds it, a switch may be waiting.
const LOCK_HELD: Duration = Duration::from_secs(1);

/// Interfaces whose warning is remembered; the oldest ones may be warned of again.
const UNLISTED: usize = 16;

/// Why the loop ended.
#[derive(Debug)]
pub enum End {
    Reload(Box<config::Network>),
    Stop,
}

/// Everything between two configurations.
#[derive(Debug)]
pub struct FailoverLoop<'a> {
    config: &'a config::Network,
    context: &'a FailoverContext,
    kernel: Kernel,
    uplinks: Uplinks,
    targets: Targets,
    probes: Probes,
    /// Absent without CAP_NET_ADMIN, or where it is not wanted.
    gateways: Option<Gateways>,
    backend: Backend,
    journal: Journal,
    /// As the heartbeat's dialler has them.
    ranked: Option<Vec<Uplink>>,
    manual_until: Option<Instant>,
    next_due: Option<Instant>,
    /// When the lock file was looked at, and whether it was held.
    lock_seen: Option<(Instant, bool)>,
    /// When the heartbeat's connection was last moved to the active uplink.
    returned: Option<Instant>,
    /// Interfaces that the kernel prefers and `interfaces` does not name, as they were logged; the newest first.
    unlisted: Vec<String>,
    /// Rules of policy routing that the mode does not follow, as they were logged.
    not_covered: Vec<String>,
    /// The first choice cuts no connection: the first heartbeat may be in flight.
    begun: bool,
}

impl<'a> FailoverLoop<'a> {
    /// # Errors
    /// No netlink: no descriptor is left, or the unit forbids it.
    pub fn start(config: &'a config::Network, context: &'a FailoverContext) -> io::Result<FailoverLoop<'a>> {
        let gateways = config.gateway_probe.then(Gateways::new).and_then(|made| match made {
            Ok(gateways) => Some(gateways),
            Err(error) => {
                log::info!("failover: gateway probes disabled ({error}); using TCP probes only");
                None
            }
        });
        let policy =
            Policy { failback_hold: config.failback_hold, portals: config.captive_portal_check.is_some() };
        let mut kernel = Kernel::open(gateways.is_some())?;
        kernel.read_if_due(Instant::now())?;
        let mut watch = FailoverLoop {
            config,
            context,
            kernel,
            uplinks: Uplinks::new(policy),
            targets: Targets::new(config, context.dialer.clone(), context.names.clone()),
            probes: Probes::default(),
            gateways,
            // Removes what a killed daemon left, which the reading above has seen: read again soon.
            backend: Backend::choose(config.mode, Path::new("/")),
            journal: Journal::default(),
            ranked: None,
            manual_until: None,
            next_due: None,
            lock_seen: None,
            returned: None,
            unlisted: Vec::new(),
            not_covered: Vec::new(),
            begun: false,
        };
        watch.kernel.doubt();
        watch.warn_of_strict_filters();
        watch.update_links(Instant::now());
        Ok(watch)
    }

    fn warn_of_strict_filters(&self) {
        let uplinks = self.kernel.table().links().filter(|link| self.rank(&link.name).is_some());
        let strict: Vec<&str> =
            uplinks.map(|link| link.name.as_str()).filter(|name| is_strict(Path::new("/"), name)).collect();
        if !strict.is_empty() {
            log::warn!(
                "failover: rp_filter=1 on {}: the kernel drops answers that arrive over a standby; \
                 set net.ipv4.conf.all.rp_filter=2",
                strict.join(", ")
            );
        }
    }

    /// # Errors
    /// A socket of the loop's own is broken.
    pub fn run(&mut self, mailbox: &FailoverMailbox) -> io::Result<End> {
        loop {
            let now = Instant::now();
            if let Some(end) = self.handle_events(mailbox) {
                return Ok(end);
            }
            if self.must_decide(now) {
                self.act(now, mailbox);
            }
            // After acting: what it finds out acts at the next turn, without waiting.
            if self.kernel.read_if_due(now).unwrap_or_else(|error| self.unread(&error)) {
                self.update_links(now);
                continue;
            }
            self.wait(mailbox)?;
        }
    }

    /// Gateway answers wake the thread several times a second, and nearly all of them change nothing.
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

    fn handle_events(&mut self, mailbox: &FailoverMailbox) -> Option<End> {
        loop {
            match mailbox.next() {
                Some(FailoverEvent::Heartbeat { interface, evidence, copy, at }) => {
                    if copy && evidence.proves_uplink() {
                        self.bring_back(&interface);
                    }
                    self.uplinks.apply(Fact::Heartbeat { interface, evidence, copy }, at);
                }
                Some(FailoverEvent::Command(command, done)) => {
                    done(self.execute(command, Instant::now(), mailbox));
                }
                Some(FailoverEvent::Reload(network)) => return Some(End::Reload(network)),
                Some(FailoverEvent::Stop) => return Some(End::Stop),
                None => return None,
            }
        }
    }

    /// Waits for the first event and applies it.
    fn wait(&mut self, mailbox: &FailoverMailbox) -> io::Result<()> {
        let dues = [self.next_due, self.kernel.due(), self.probes.due(), self.backend.due()];
        let gateways = self.gateways.as_ref().and_then(Gateways::due);
        let due = dues.into_iter().flatten().chain(gateways).min();
        let left = due.map(remaining);
        let mut fds = vec![PollFd::new(&self.kernel, PollFlags::IN), PollFd::new(mailbox, PollFlags::IN)];
        self.probes.fds(&mut fds);
        let polled = wait_for(&mut fds, mailbox.park(left));
        let happened: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        mailbox.unpark(happened[1]);
        polled?;

        let now = Instant::now();
        if happened[0] {
            self.handle_kernel_events(now)?;
        }
        self.handle_probe_results(mailbox, now);
        if self.targets.have_moved() {
            self.update_links(now);
        }
        Ok(())
    }

    fn handle_kernel_events(&mut self, now: Instant) -> io::Result<()> {
        let gateways = &mut self.gateways;
        let changed = self.kernel.receive(|event| {
            gateways.iter_mut().for_each(|gateways| gateways.event(now, event));
        })?;
        if changed {
            self.update_links(now);
        }
        Ok(())
    }

    /// Place in the configured order; `None` is no uplink.
    fn rank(&self, name: &str) -> Option<usize> {
        rank(self.config, name)
    }

    /// Logs which packets of the machine do not follow the uplink, when that changes.
    fn note_policy_routing(&mut self) {
        let not_covered = self.backend.not_covered(self.kernel.table());
        if not_covered == self.not_covered {
            return;
        }
        match not_covered.as_slice() {
            [] => log::info!("failover: policy routing has ended; all traffic follows the uplink"),
            rules => log::info!(
                "failover: policy routing sends some packets to other tables ({}); they do not follow the uplink",
                rules.join(", ")
            ),
        }
        self.not_covered = not_covered;
    }

    /// Warns once of each interface that the kernel prefers and the configuration does not name.
    fn note_unlisted(&mut self, pin: Option<&Pin>) {
        let by_default =
            unlisted(self.config, self.kernel.table()).into_iter().map(|name| (not_named(&name), name));
        // A default route of another table, or a more specific route.
        let pin = pin.map(|pin| &pin.interface).filter(|name| self.rank(name).is_none());
        let to_server = pin.map(|name| (server_not_named(name), name.clone()));
        let is_new = |(_, name): &(String, String)| !self.unlisted.contains(name);
        let Some((warning, name)) = by_default.chain(to_server).find(is_new) else { return };
        log::warn!("failover: {warning}");
        self.unlisted.truncate(UNLISTED - 1);
        self.unlisted.insert(0, name);
    }

    /// Applies the kernel's table to `uplinks`.
    fn update_links(&mut self, now: Instant) {
        self.note_policy_routing();
        let (config, table) = (self.config, self.kernel.table());
        let is_uplink = |name: &str| rank(config, name).is_some();
        self.targets.sort_out(table, is_uplink);
        let pin = self.targets.pin(table, is_uplink);
        self.note_unlisted(pin.as_ref());
        let table = self.kernel.table();
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
        self.uplinks.apply(Fact::Links(all), now);
        self.uplinks.apply(Fact::AccessPoint(access_point), now);
        self.uplinks.apply(Fact::Pinned(pin), now);
    }

    /// Decides, and does what was decided: the heartbeat's way first, everything else after it.
    fn act(&mut self, now: Instant, mailbox: &FailoverMailbox) -> Decision {
        self.check_lock(now);
        let decision = decide(&mut self.uplinks, now);
        if self.ranked.as_ref() != Some(&decision.ranked) {
            self.context.dialer.use_uplinks(decision.ranked.clone());
            self.ranked = Some(decision.ranked.clone());
        }
        self.context.dialer.set_chosen(decision.state == FailoverState::ManualOverride);
        let table = self.kernel.table();
        if self.backend.follow(decision.active.as_deref(), &decision.uplinks, table, now) {
            self.kernel.doubt();
        }
        if decision.switch.is_some() {
            if self.begun {
                self.context.dialer.cut();
            }
            self.begun = true;
        }
        self.publish(&decision);
        // After publishing: the heartbeat that this requests reports what has just been done.
        if let Some(reason) = decision.trigger {
            self.context.trigger.fire(reason);
        }
        self.start_probes(&decision, now);
        self.journal.note(&decision, now);
        mailbox.settle(decision.path.as_deref().filter(|_| !self.uplinks.awaits_acknowledgement()));
        self.next_due = decision.next_due;
        decision
    }

    /// Before a switch, and now and then.
    fn check_lock(&mut self, now: Instant) {
        let recent =
            self.lock_seen.is_some_and(|(seen, held)| now < seen + if held { LOCK_HELD } else { LOCK });
        if recent && !self.uplinks.would_switch(now) {
            return;
        }
        let held = is_locked(&self.config.lock_file);
        self.lock_seen = Some((now, held));
        self.uplinks.apply(Fact::Locked(held), now);
    }
}

impl Drop for FailoverLoop<'_> {
    /// Decisions no longer hold; the kernel decides.
    fn drop(&mut self) {
        self.context.dialer.use_uplinks(Vec::new());
    }
}
