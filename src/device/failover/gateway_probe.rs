//! Gateways: whether the next hop of an uplink responds, probed through the kernel's own neighbour table (ARP,
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

/// Interval of requests to a gateway. With the kernel's default, 1 s, a failure is found after 3.1 s.
const RETRANS: Duration = Duration::from_millis(100);
/// The kernel fails after three requests: 312 ms, measured with ticks of 4 ms.
const LIMIT: Duration = Duration::from_millis(400);
/// Extra time for late kernel timers on a very busy device.
const PATIENCE: Duration = Duration::from_secs(1);
/// Before this the kernel cannot have sent three requests in vain: the entry was removed.
const TOO_EARLY: Duration = Duration::from_millis(200);
/// Gateways probed at the same time.
const IN_ALL: usize = 32;

/// Why a probe gave no proof that the gateway is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It did not answer three requests.
    #[error("the gateway does not answer")]
    Silent,
    /// The probe was not sent or not finished: the entry is fixed or was removed, or the interface has gone. This is no
    /// evidence about the gateway.
    #[error("the gateway could not be probed")]
    NotProbed,
}

/// Result of one gateway probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayAnswer {
    pub index: u32,
    pub gateway: IpAddr,
    pub result: Result<(), NoAnswer>,
}

/// The gateway probes in flight, and the interfaces whose request interval was changed for them. The intervals are restored
/// when this is dropped.
#[derive(Debug)]
pub struct Gateways {
    /// For requests alone: events come to the loop's own socket.
    socket: Socket,
    in_flight: Vec<GatewayRequest>,
    done: Vec<(Instant, GatewayAnswer)>,
    tuned: Vec<Retrans>,
    /// Gateways that responded to the latest probe, without another event since. Their entry is not read before the next
    /// probe, which would double its cost.
    known: Vec<(u32, IpAddr)>,
}

#[derive(Debug)]
struct GatewayRequest {
    index: u32,
    gateway: IpAddr,
    begun: Instant,
    /// When the kernel's entry is read, because no event has come.
    due: Instant,
    /// The kernel was sending requests already, for another program's packet.
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
        Ok(Gateways { socket, in_flight: Vec::new(), done: Vec::new(), tuned: Vec::new(), known: Vec::new() })
    }

    /// Probes a gateway; its answer comes from [`Gateways::finished`] within 0.4 s, or 1 s where the kernel is late.
    /// False if a probe is in flight already.
    pub fn start(&mut self, now: Instant, index: u32, gateway: IpAddr) -> bool {
        let same = |request: &GatewayRequest| request.index == index && request.gateway == gateway;
        if self.in_flight.iter().any(same) || self.in_flight.len() + self.done.len() >= IN_ALL {
            return false;
        }
        match self.send_request(index, gateway) {
            Ok(joined) => {
                self.in_flight.push(GatewayRequest { index, gateway, begun: now, due: now + LIMIT, joined })
            }
            Err(error) => {
                log::debug!("gateway {gateway} of interface {index} cannot be probed: {error}");
                self.done.push((now, GatewayAnswer { index, gateway, result: Err(NoAnswer::NotProbed) }));
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

    /// Sets the kernel's request interval on this interface to 100 ms.
    fn tune(&mut self, index: u32, ipv6: bool) -> io::Result<()> {
        if self.tuned.iter().any(|tuned| (tuned.index, tuned.ipv6) == (index, ipv6)) {
            return Ok(());
        }
        let all = self.with_socket(neighbours::retrans_times)?;
        let time_of = |index| all.iter().find(|r| (r.index, r.ipv6) == (index, ipv6)).map(|r| r.time);
        self.tuned.retain(|tuned| all.iter().any(|now| (now.index, now.ipv6) == (tuned.index, tuned.ipv6)));
        let Some(before) = time_of(index) else { return Err(io::ErrorKind::NotFound.into()) };
        self.with_socket(|socket| neighbours::set_retrans(socket, Retrans { ipv6, index, time: RETRANS }))?;
        // Set by a daemon that was killed: the interface's own interval is lost, so its default is restored.
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
        self.in_flight.retain(|request| request.index != index);
        self.done.retain(|(_, answer)| answer.index != index);
    }

    /// Applies an event of `RTNLGRP_NEIGH` about any neighbour. Pending events are applied before [`Gateways::finished`].
    pub fn event(&mut self, now: Instant, event: &Neighbour) {
        if !is_confirmed(event.state) {
            self.known.retain(|known| *known != (event.index, event.ip));
        }
        let same = |request: &GatewayRequest| request.index == event.index && request.gateway == event.ip;
        let Some(place) = self.in_flight.iter().position(same) else { return };
        let Some(result) = judge(&self.in_flight[place], now, event.state) else { return };
        let GatewayRequest { index, gateway, .. } = self.in_flight.swap_remove(place);
        let known = (index, gateway);
        if result.is_ok() && self.known.len() < IN_ALL && !self.known.contains(&known) {
            self.known.push(known);
        }
        self.done.push((now, GatewayAnswer { index, gateway, result }));
    }

    /// Deadline of the next call of [`Gateways::finished`]; in the past if results are pending.
    pub fn due(&self) -> Option<Instant> {
        let answered = self.done.iter().map(|(since, _)| *since);
        self.in_flight.iter().map(|request| request.due).chain(answered).min()
    }

    /// The results since the last call. The kernel's entry is read for each probe that is due without an event, because
    /// events can be lost.
    pub fn finished(&mut self, now: Instant) -> Vec<GatewayAnswer> {
        if self.due().is_none_or(|due| now < due) {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.in_flight);
        let (late, in_flight): (Vec<_>, Vec<_>) = all.into_iter().partition(|request| now >= request.due);
        self.in_flight = in_flight;
        let mut answers: Vec<_> = self.done.drain(..).map(|(_, answer)| answer).collect();
        for request in late {
            let GatewayRequest { index, gateway, begun, .. } = request;
            let state = self.with_socket(|socket| neighbours::read(socket, index, gateway));
            let result = match state.map(|state| judge(&request, now, state)) {
                Ok(Some(result)) => result,
                Ok(None) if now < begun + PATIENCE => {
                    self.in_flight.push(GatewayRequest { due: now + RETRANS, ..request });
                    continue;
                }
                // The kernel is still probing: its timer was reset (a router's advertisement may do that).
                Ok(None) | Err(_) => {
                    self.tuned.retain(|tuned| tuned.index != index);
                    Err(NoAnswer::NotProbed)
                }
            };
            answers.push(GatewayAnswer { index, gateway, result });
        }
        answers
    }
}

/// The kernel returns EINVAL for an entry without a hardware address, ENOENT without an entry.
fn is_missing_neighbour(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::NOENT))
}

/// It has responded, and its hardware address is known.
fn is_confirmed(state: NeighbourState) -> bool {
    matches!(state, NeighbourState::Reachable | NeighbourState::Stale | NeighbourState::Delay)
}

/// Result for a gateway whose neighbour entry is in `state`; `None` while the probe is in progress.
fn judge(request: &GatewayRequest, now: Instant, state: NeighbourState) -> Option<Result<(), NoAnswer>> {
    match state {
        NeighbourState::Incomplete | NeighbourState::Probe => None,
        // Also without a response to the request: a gateway announces a new hardware address.
        state if is_confirmed(state) => Some(Ok(())),
        NeighbourState::Failed
            if !request.joined && now.saturating_duration_since(request.begun) < TOO_EARLY =>
        {
            Some(Err(NoAnswer::NotProbed))
        }
        NeighbourState::Failed => Some(Err(NoAnswer::Silent)),
        _ => Some(Err(NoAnswer::NotProbed)),
    }
}

impl Drop for Gateways {
    fn drop(&mut self) {
        let tuned = std::mem::take(&mut self.tuned);
        let now = self.with_socket(neighbours::retrans_times).unwrap_or_default();
        // Only intervals that are still ours.
        let ours = |before: &Retrans| now.contains(&Retrans { time: RETRANS, ..*before });
        for before in tuned.into_iter().filter(ours) {
            // The interface may be gone.
            let _ = self.with_socket(|socket| neighbours::set_retrans(socket, before));
        }
    }
}

/// Cleans up after a daemon that was killed: sets the default request interval on every interface that still has ours.
/// Returns their number.
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
    fn a_state_means_alive_silent_in_progress_or_nothing() {
        let begun = Instant::now();
        let request = |joined| GatewayRequest {
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
            (NeighbourState::None, Some(Err(NoAnswer::NotProbed))),
            (NeighbourState::Fixed, Some(Err(NoAnswer::NotProbed))),
        ] {
            assert_eq!(judge(&request(false), later, state), result, "{state:?}");
        }
    }

    #[test]
    fn a_failure_that_comes_too_early_is_not_the_gateways_unless_the_kernel_was_probing_before() {
        let begun = Instant::now();
        let request = |joined| GatewayRequest {
            index: 3,
            gateway: [10, 0, 0, 1].into(),
            begun,
            due: begun + LIMIT,
            joined,
        };
        let early = begun + Duration::from_millis(5);
        assert_eq!(judge(&request(false), early, NeighbourState::Failed), Some(Err(NoAnswer::NotProbed)));
        assert_eq!(judge(&request(true), early, NeighbourState::Failed), Some(Err(NoAnswer::Silent)));
    }
}
