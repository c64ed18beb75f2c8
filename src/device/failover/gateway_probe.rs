//! Gateways: whether the next hop of an uplink answers, probed through the kernel's own neighbour table (ARP,
//! neighbour discovery). A carrier that stays while the router behind the switch has died shows here first.
//!
//! A probe needs CAP_NET_ADMIN; the answers are events that every process may receive (`RTNLGRP_NEIGH`).

use crate::device::os::neighbours::{self, Neighbour, NeighbourState, Retrans};
use crate::device::os::netlink::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::io::Errno;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Between two requests to a gateway. With the kernel's default, 1 s, a failure takes 3.1 s.
const RETRANS: Duration = Duration::from_millis(100);
/// The kernel fails after three requests: 312 ms, measured with ticks of 4 ms.
const LIMIT: Duration = Duration::from_millis(400);
/// Extra time for late kernel timers on a very busy device.
const PATIENCE: Duration = Duration::from_secs(1);
/// The kernel cannot have asked in vain three times before this: the entry was removed.
const TOO_EARLY: Duration = Duration::from_millis(200);
/// Gateways probed at the same time.
const IN_ALL: usize = 32;

/// Why a gateway did not show that it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It did not answer three requests.
    #[error("the gateway does not answer")]
    Silent,
    /// It could not be asked, or not to the end: its entry is fixed, was taken away meanwhile, or the interface
    /// has gone. Says nothing of the gateway.
    #[error("the gateway could not be probed")]
    NotAsked,
}

/// Result of one gateway probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayAnswer {
    pub index: u32,
    pub gateway: IpAddr,
    pub result: Result<(), NoAnswer>,
}

/// All gateways that are being probed, and the interfaces whose time between two requests was changed for it.
/// That is put back when this is dropped.
#[derive(Debug)]
pub struct Gateways {
    /// For requests alone: events come to the loop's own socket.
    socket: Socket,
    asked: Vec<GatewayRequest>,
    done: Vec<(Instant, GatewayAnswer)>,
    tuned: Vec<Retrans>,
    /// Gateways that answered last, and of which no event has said anything else since: they are asked without
    /// reading their entry first, which would cost as much again.
    known: Vec<(u32, IpAddr)>,
}

#[derive(Debug)]
struct GatewayRequest {
    index: u32,
    gateway: IpAddr,
    begun: Instant,
    /// When the kernel is asked what it knows, for want of an event.
    due: Instant,
    /// The kernel was asking already, for another program's packet.
    joined: bool,
}

impl Gateways {
    /// # Errors
    /// `PermissionDenied` without CAP_NET_ADMIN: only TCP probes remain.
    pub fn new() -> io::Result<Gateways> {
        let mut socket = Socket::open(NETLINK_ROUTE)?;
        if !neighbours::has_permission(&mut socket)? {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Gateways { socket, asked: Vec::new(), done: Vec::new(), tuned: Vec::new(), known: Vec::new() })
    }

    /// Probes a gateway; its answer comes from [`Gateways::finished`] within 0.4 s, or 1 s where the kernel is late.
    /// False if a probe is in flight already.
    pub fn start(&mut self, now: Instant, index: u32, gateway: IpAddr) -> bool {
        let same = |asked: &GatewayRequest| asked.index == index && asked.gateway == gateway;
        if self.asked.iter().any(same) || self.asked.len() + self.done.len() >= IN_ALL {
            return false;
        }
        match self.send_request(index, gateway) {
            Ok(joined) => {
                self.asked.push(GatewayRequest { index, gateway, begun: now, due: now + LIMIT, joined })
            }
            Err(error) => {
                log::debug!("gateway {gateway} of interface {index} cannot be probed: {error}");
                self.done.push((now, GatewayAnswer { index, gateway, result: Err(NoAnswer::NotAsked) }));
            }
        }
        true
    }

    /// Returns whether the kernel was probing already.
    fn send_request(&mut self, index: u32, gateway: IpAddr) -> io::Result<bool> {
        self.tune(index, gateway.is_ipv6())?;
        if self.known.contains(&(index, gateway)) {
            match self.with_socket(|socket| neighbours::probe(socket, index, gateway)) {
                Err(error) if is_missing_neighbour(&error) => {}
                result => return result.map(|()| false),
            }
        }
        let state = self.with_socket(|socket| neighbours::read(socket, index, gateway))?;
        match state {
            NeighbourState::Fixed => return Err(io::ErrorKind::Unsupported.into()),
            NeighbourState::None | NeighbourState::Failed => {
                self.with_socket(|socket| neighbours::solicit(socket, index, gateway))?;
            }
            NeighbourState::Incomplete | NeighbourState::Probe => {}
            NeighbourState::Reachable | NeighbourState::Stale | NeighbourState::Delay => {
                let result = self.with_socket(|socket| neighbours::probe(socket, index, gateway));
                match result {
                    // It failed in between.
                    Err(error) if is_missing_neighbour(&error) => {
                        self.with_socket(|socket| neighbours::solicit(socket, index, gateway))?;
                    }
                    result => result?,
                }
            }
        }
        Ok(matches!(state, NeighbourState::Incomplete | NeighbourState::Probe))
    }

    /// Has the kernel ask every 100 ms on this interface.
    fn tune(&mut self, index: u32, ipv6: bool) -> io::Result<()> {
        if self.tuned.iter().any(|tuned| (tuned.index, tuned.ipv6) == (index, ipv6)) {
            return Ok(());
        }
        let all = self.with_socket(neighbours::retrans_times)?;
        let time_of = |index| all.iter().find(|r| (r.index, r.ipv6) == (index, ipv6)).map(|r| r.time);
        self.tuned.retain(|tuned| all.iter().any(|now| (now.index, now.ipv6) == (tuned.index, tuned.ipv6)));
        let Some(before) = time_of(index) else { return Err(io::ErrorKind::NotFound.into()) };
        self.with_socket(|socket| neighbours::set_retrans(socket, Retrans { ipv6, index, time: RETRANS }))?;
        // Ours, from a daemon that was killed: what interfaces begin with is the best that is known.
        let before = if before == RETRANS { time_of(0).unwrap_or(before) } else { before };
        self.tuned.push(Retrans { ipv6, index, time: before });
        Ok(())
    }

    /// After an error that is not the kernel's own answer, the socket is a new one: see [`Socket`].
    fn with_socket<T>(&mut self, request: impl FnOnce(&mut Socket) -> io::Result<T>) -> io::Result<T> {
        let result = request(&mut self.socket);
        if let Err(error) = &result {
            if error.raw_os_error().is_none() {
                self.socket = Socket::open(NETLINK_ROUTE)?;
            }
        }
        result
    }

    /// Ends the probes over an interface without an answer: the loss of its carrier is the stronger evidence.
    pub fn abandon(&mut self, index: u32) {
        self.known.retain(|known| known.0 != index);
        self.asked.retain(|asked| asked.index != index);
        self.done.retain(|(_, answer)| answer.index != index);
    }

    /// Takes an event of `RTNLGRP_NEIGH`, of any neighbour at any time; those that wait come before
    /// [`Gateways::finished`].
    pub fn event(&mut self, now: Instant, event: &Neighbour) {
        if !is_confirmed(event.state) {
            self.known.retain(|known| *known != (event.index, event.ip));
        }
        let same = |asked: &GatewayRequest| asked.index == event.index && asked.gateway == event.ip;
        let Some(place) = self.asked.iter().position(same) else { return };
        let Some(result) = judge(&self.asked[place], now, event.state) else { return };
        let GatewayRequest { index, gateway, .. } = self.asked.swap_remove(place);
        let known = (index, gateway);
        if result.is_ok() && self.known.len() < IN_ALL && !self.known.contains(&known) {
            self.known.push(known);
        }
        self.done.push((now, GatewayAnswer { index, gateway, result }));
    }

    /// When [`Gateways::finished`] is to be called at the latest; in the past if answers wait.
    pub fn due(&self) -> Option<Instant> {
        let answered = self.done.iter().map(|(since, _)| *since);
        self.asked.iter().map(|asked| asked.due).chain(answered).min()
    }

    /// The answers since the last call. Where the time is over without an event, the kernel is asked what it
    /// knows: events may be lost.
    pub fn finished(&mut self, now: Instant) -> Vec<GatewayAnswer> {
        if self.due().is_none_or(|due| now < due) {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.asked);
        let (late, asked): (Vec<_>, Vec<_>) = all.into_iter().partition(|asked| now >= asked.due);
        self.asked = asked;
        let mut answers: Vec<_> = self.done.drain(..).map(|(_, answer)| answer).collect();
        for asked in late {
            let GatewayRequest { index, gateway, begun, .. } = asked;
            let state = self.with_socket(|socket| neighbours::read(socket, index, gateway));
            let result = match state.map(|state| judge(&asked, now, state)) {
                Ok(Some(result)) => result,
                Ok(None) if now < begun + PATIENCE => {
                    self.asked.push(GatewayRequest { due: now + RETRANS, ..asked });
                    continue;
                }
                // The kernel is still asking: its timer was reset (a router's advertisement may do that).
                Ok(None) | Err(_) => {
                    self.tuned.retain(|tuned| tuned.index != index);
                    Err(NoAnswer::NotAsked)
                }
            };
            answers.push(GatewayAnswer { index, gateway, result });
        }
        answers
    }
}

/// The kernel says EINVAL where it knows no hardware address, ENOENT where it knows no such neighbour.
fn is_missing_neighbour(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::NOENT))
}

/// It has answered, and its hardware address is known.
fn is_confirmed(state: NeighbourState) -> bool {
    matches!(state, NeighbourState::Reachable | NeighbourState::Stale | NeighbourState::Delay)
}

/// Result for a gateway whose neighbour entry is in `state`; `None` while the probe is in progress.
fn judge(asked: &GatewayRequest, now: Instant, state: NeighbourState) -> Option<Result<(), NoAnswer>> {
    match state {
        NeighbourState::Incomplete | NeighbourState::Probe => None,
        // Heard from, if not by an answer to the question: a gateway with a new hardware address says so.
        state if is_confirmed(state) => Some(Ok(())),
        NeighbourState::Failed if !asked.joined && now.saturating_duration_since(asked.begun) < TOO_EARLY => {
            Some(Err(NoAnswer::NotAsked))
        }
        NeighbourState::Failed => Some(Err(NoAnswer::Silent)),
        _ => Some(Err(NoAnswer::NotAsked)),
    }
}

impl Drop for Gateways {
    fn drop(&mut self) {
        let tuned = std::mem::take(&mut self.tuned);
        let now = self.with_socket(neighbours::retrans_times).unwrap_or_default();
        // Only where it is still ours.
        let ours = |before: &Retrans| now.contains(&Retrans { time: RETRANS, ..*before });
        for before in tuned.into_iter().filter(ours) {
            // An interface may go at any moment, and its time with it.
            let _ = self.with_socket(|socket| neighbours::set_retrans(socket, before));
        }
    }
}

/// After a daemon that was killed: gives every interface that still has our time between two questions the one
/// that interfaces begin with. Tells how many.
///
/// # Errors
/// `PermissionDenied` without CAP_NET_ADMIN, if there is anything to do.
pub fn cleanup() -> io::Result<usize> {
    let mut socket = Socket::open(NETLINK_ROUTE)?;
    let all = neighbours::retrans_times(&mut socket)?;
    let default = |ipv6| all.iter().find(|r| (r.index, r.ipv6) == (0, ipv6)).map(|r| r.time);
    let mut count = 0;
    for ours in all.iter().filter(|retrans| retrans.index != 0 && retrans.time == RETRANS) {
        if let Some(time) = default(ours.ipv6).filter(|time| *time != RETRANS) {
            neighbours::set_retrans(&mut socket, Retrans { time, ..*ours })?;
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_tells_alive_silent_still_being_asked_or_nothing() {
        let begun = Instant::now();
        let asked = |joined| GatewayRequest {
            index: 3,
            gateway: [10, 0, 0, 1].into(),
            begun,
            due: begun + LIMIT,
            joined,
        };
        let later = begun + Duration::from_millis(312);
        for (state, result) in [
            (NeighbourState::Probe, None),
            (NeighbourState::Incomplete, None),
            (NeighbourState::Reachable, Some(Ok(()))),
            (NeighbourState::Stale, Some(Ok(()))),
            (NeighbourState::Delay, Some(Ok(()))),
            (NeighbourState::Failed, Some(Err(NoAnswer::Silent))),
            (NeighbourState::None, Some(Err(NoAnswer::NotAsked))),
            (NeighbourState::Fixed, Some(Err(NoAnswer::NotAsked))),
        ] {
            assert_eq!(judge(&asked(false), later, state), result, "{state:?}");
        }
    }

    #[test]
    fn a_failure_that_comes_too_early_is_not_the_gateways_unless_the_kernel_was_asking_before() {
        let begun = Instant::now();
        let asked = |joined| GatewayRequest {
            index: 3,
            gateway: [10, 0, 0, 1].into(),
            begun,
            due: begun + LIMIT,
            joined,
        };
        let early = begun + Duration::from_millis(5);
        assert_eq!(judge(&asked(false), early, NeighbourState::Failed), Some(Err(NoAnswer::NotAsked)));
        assert_eq!(judge(&asked(true), early, NeighbourState::Failed), Some(Err(NoAnswer::Silent)));
    }
}
