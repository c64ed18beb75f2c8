//! Starts the probes that were decided, and applies their results.

use super::FailoverLoop;
use crate::device::failover::decision::{Decision, Fact, ProbeTimeout, Start, TargetChoice};
use crate::device::failover::gateway_probe::NoAnswer;
use crate::device::failover::handle::FailoverMailbox;
use crate::device::failover::upstream_probe::{Probe, ProbeError, ProbeTarget};
use crate::device::heartbeat::delivery::TOO_MANY;
use crate::device::heartbeat::dial::Uplink;
use crate::device::os::routes::gateway;
use std::time::{Duration, Instant};

/// A connection takes one round trip; more than this is no uplink to choose.
const UPSTREAM: Duration = Duration::from_secs(1);
/// Two tries end within 2 s, the time that deciding takes included.
const UPSTREAM_SHORT: Duration = Duration::from_millis(800);
/// Below the 500 ms between two looks.
const UPSTREAM_BRIEF: Duration = Duration::from_millis(450);
const PORTAL: Duration = Duration::from_secs(3);
/// Between two attempts to bring the heartbeat's connection to the active uplink. One on which connecting takes longer
/// than its head start would lose each race, and each costs a handshake.
const RETURN: Duration = Duration::from_secs(60);

impl FailoverLoop<'_> {
    pub(super) fn handle_probe_results(&mut self, mailbox: &FailoverMailbox, now: Instant) {
        for answer in self.probes.finished(now) {
            let index = answer.index;
            log::trace!("probe over {index}: {answer:?}");
            let event = match (&answer.target, &answer.result) {
                (ProbeTarget::Tcp(_), Ok(_)) => Fact::Upstream { index, works: Some(true) },
                (ProbeTarget::Tcp(_), Err(error)) => {
                    Fact::Upstream { index, works: error.is_the_uplinks().then_some(false) }
                }
                (ProbeTarget::Portal(_), Ok(_)) => Fact::Portal { index, free: Some(true) },
                (ProbeTarget::Portal(_), Err(ProbeError::Portal)) => {
                    Fact::Portal { index, free: Some(false) }
                }
                (ProbeTarget::Portal(_), Err(_)) => Fact::Portal { index, free: None },
            };
            if let Fact::Upstream { index, works: Some(true) } = event {
                self.bring_back_after_probe(index, now);
            }
            let passed = matches!(
                event,
                Fact::Upstream { works: Some(true), .. } | Fact::Portal { free: Some(true), .. }
            );
            self.uplinks.apply(event, now);
            // A portal accepts connections too, but such an uplink is not valid.
            if let Some(name) = self.uplinks.valid(index).filter(|_| passed) {
                mailbox.note_proof(name, now);
            }
        }
        let answers = self.gateways.as_mut().map(|gateways| gateways.finished(now)).unwrap_or_default();
        for answer in answers {
            let answers = match answer.result {
                Ok(()) => true,
                Err(NoAnswer::Silent) => false,
                Err(NoAnswer::NotProbed) => continue,
            };
            self.uplinks.apply(Fact::Gateway { index: answer.index, answers }, now);
        }
    }

    /// A standby that won a race keeps the connection, and may be metered: once the active uplink is seen to work, the
    /// next heartbeat is dialled over it.
    fn bring_back_after_probe(&mut self, works: u32, now: Instant) {
        let Some(active) = self.ranked.as_ref().and_then(|ranked| ranked.first()) else { return };
        let delivers = self.context.dialer.undelivered(Some(&active.name)) < TOO_MANY;
        let recently = self.returned.is_some_and(|returned| now < returned + RETURN);
        if active.index == works && delivers && !recently && self.bring_back(&active.name) {
            self.returned = Some(now);
        }
    }

    /// The next heartbeat is dialled over the active uplink if that is `works`. True if it would have gone elsewhere.
    pub(super) fn bring_back(&self, works: &str) -> bool {
        let active = self.ranked.as_ref().and_then(|ranked| ranked.first());
        let is_active = active.is_some_and(|active| active.name == works);
        let elsewhere = self.context.dialer.last_interface().is_some_and(|took| took != works);
        let is_wanted = is_active && elsewhere && self.uplinks.is_chosen_from();
        if is_wanted {
            self.context.dialer.renew();
        }
        is_wanted
    }

    pub(super) fn start_probes(&mut self, decision: &Decision, now: Instant) {
        for start in &decision.probes {
            match *start {
                Start::Upstream { index, which, timeout } => {
                    self.start_upstream_probe(index, which, timeout, now)
                }
                Start::Gateway { index } => {
                    let ip = gateway(self.kernel.table().routes(), index);
                    if let (Some(gateways), Some(ip)) = (&mut self.gateways, ip) {
                        gateways.start(now, index, ip);
                    }
                }
                Start::Copy { index } => {
                    if let Some(link) = self.kernel.table().links().find(|link| link.index == index) {
                        let uplink = Uplink { index, name: link.name.clone(), usable: true };
                        // Full: the request is repeated later.
                        let _ = self.context.copies.try_send(uplink);
                    }
                }
                Start::Portal { index } => {
                    let link = self.kernel.table().links().find(|link| link.index == index);
                    let page = link.and_then(|link| Some((link.name.clone(), self.targets.page(link)?)));
                    match page {
                        Some((name, page)) => {
                            let target = ProbeTarget::Portal(page);
                            self.probes.start(now, Probe { index, name, target, timeout: PORTAL });
                        }
                        None => self.uplinks.apply(Fact::PortalNotChecked { index }, now),
                    }
                }
            }
        }
    }

    fn start_upstream_probe(&mut self, index: u32, which: TargetChoice, timeout: ProbeTimeout, now: Instant) {
        let Some(link) = self.kernel.table().links().find(|link| link.index == index) else { return };
        let targets = self.targets.over(link);
        let target = match which {
            TargetChoice::First => targets.first(),
            TargetChoice::Last => targets.last(),
        };
        let Some(&address) = target else { return };
        let timeout = match timeout {
            ProbeTimeout::Normal if self.targets.is_check(address) => self.config.connectivity_timeout,
            ProbeTimeout::Normal => UPSTREAM,
            ProbeTimeout::Short => UPSTREAM_SHORT,
            ProbeTimeout::Brief => UPSTREAM_BRIEF,
        };
        let name = link.name.clone();
        self.probes.start(now, Probe { index, name, target: ProbeTarget::Tcp(address), timeout });
    }
}
