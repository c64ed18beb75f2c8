//! Evidence from a heartbeat's result for the uplink and the server address that it took, and the undelivered heartbeats of
//! each: pure.
//!
//! A TCP connection is evidence of reachability, not of delivery: a login page, a filter, an MTU hole and a server that
//! hangs all accept connections.

use std::net::SocketAddr;

/// Undelivered heartbeats in a row after which another uplink is tried first. One alone may be a server's restart, and
/// each may cost the whole `timeout`.
pub const TOO_MANY: u32 = 2;

/// Bounds of [`Deliveries`]. A device has three or four uplinks, and 8 addresses of a name are kept.
const UPLINKS: usize = 16;
const ADDRESSES: usize = 32;

/// Kind of answer to a heartbeat that was sent over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// Nothing in time, a reset, a TLS failure, or something that is not HTTP.
    Nothing,
    Redirect,
    /// 511, which only a network on the way sends (RFC 6585).
    LoginRequired,
    /// 2xx; `ours`: with heartbeat-monitor's JSON.
    Success {
        ours: bool,
    },
    Other,
}

/// Conclusion from an [`AnswerKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The server has answered.
    Delivered,
    /// The server has answered over verified TLS, but it did not take the heartbeat: a redirect, or a page.
    Misdirected,
    /// Something answered in the server's place: probably a login page.
    Intercepted,
    /// No answer.
    Lost,
}

impl Evidence {
    pub fn is_undelivered(self) -> bool {
        self != Evidence::Delivered
    }

    /// Whether a heartbeat gets through over this uplink.
    pub fn proves_uplink(self) -> bool {
        matches!(self, Evidence::Delivered | Evidence::Misdirected)
    }
}

/// The conclusion from `answer`. `expects_ours`: the server has answered with heartbeat-monitor's JSON before, or its path is
/// heartbeat-monitor's; other servers may answer with any 2xx. `verified`: the answer came over TLS.
pub fn evidence(answer: AnswerKind, expects_ours: bool, verified: bool) -> Evidence {
    let undelivered = match answer {
        AnswerKind::Nothing => return Evidence::Lost,
        AnswerKind::Redirect | AnswerKind::LoginRequired => true,
        AnswerKind::Success { ours } => expects_ours && !ours,
        AnswerKind::Other => false,
    };
    match (undelivered, verified) {
        (false, _) => Evidence::Delivered,
        (true, true) => Evidence::Misdirected,
        (true, false) => Evidence::Intercepted,
    }
}

/// Undelivered heartbeats in a row, of each uplink and of each server address.
#[derive(Debug, Default, Clone)]
pub struct Deliveries {
    /// By name; `None` is the way that the kernel chooses.
    uplinks: Vec<(Option<String>, u32)>,
    addresses: Vec<(SocketAddr, u32)>,
    /// The address that answered last.
    last: Option<SocketAddr>,
}

impl Deliveries {
    /// A heartbeat was sent to `address` over `uplink`.
    pub fn record(&mut self, uplink: Option<&str>, address: SocketAddr, evidence: Evidence) {
        self.record_uplink(uplink, evidence);
        match evidence.is_undelivered() {
            true => self.record_silence(address),
            false => {
                self.addresses.retain(|(known, _)| *known != address);
                self.last = Some(address);
            }
        }
    }

    pub fn record_uplink(&mut self, uplink: Option<&str>, evidence: Evidence) {
        let place = self.uplinks.iter().position(|(name, _)| name.as_deref() == uplink);
        match (place, evidence.proves_uplink()) {
            (Some(place), true) => _ = self.uplinks.swap_remove(place),
            (None, true) => {}
            (Some(place), false) => self.uplinks[place].1 = self.uplinks[place].1.saturating_add(1),
            (None, false) => {
                self.uplinks.truncate(UPLINKS - 1);
                self.uplinks.insert(0, (uplink.map(str::to_owned), 1));
            }
        }
    }

    /// `address` did not answer, or could not be connected to.
    pub fn record_silence(&mut self, address: SocketAddr) {
        match self.addresses.iter_mut().find(|(known, _)| *known == address) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => {
                self.addresses.truncate(ADDRESSES - 1);
                self.addresses.insert(0, (address, 1));
            }
        }
    }

    /// Undelivered heartbeats in a row over `uplink`; `None` is the way that the kernel chooses.
    pub fn undelivered(&self, uplink: Option<&str>) -> u32 {
        self.uplinks.iter().find(|(name, _)| name.as_deref() == uplink).map_or(0, |(_, count)| *count)
    }

    /// Sort key of an uplink, the best first. Uplinks over which nothing is delivered take turns, [`TOO_MANY`]
    /// heartbeats each.
    pub fn rank(&self, uplink: Option<&str>) -> u32 {
        self.undelivered(uplink) / TOO_MANY
    }

    /// The fewest failures first; among equals the address that answered last, then the resolver's order.
    pub fn sort(&self, addresses: &mut [SocketAddr]) {
        let failures = |address: &SocketAddr| {
            self.addresses.iter().find(|(known, _)| known == address).map_or(0, |(_, count)| *count)
        };
        addresses.sort_by_key(|address| (failures(address), self.last != Some(*address)));
    }

    /// `uplink` was chosen again: its old count does not apply.
    pub fn forget_uplink(&mut self, uplink: &str) {
        self.uplinks.retain(|(name, _)| name.as_deref() != Some(uplink));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Evidence::{Delivered, Intercepted, Lost, Misdirected};

    #[test]
    fn what_each_answer_proves() {
        let page = AnswerKind::Success { ours: false };
        let ours = AnswerKind::Success { ours: true };
        // Answer, whether our JSON is expected, evidence over HTTP, evidence over HTTPS.
        for (answer, expects_ours, plain, tls) in [
            (AnswerKind::Nothing, false, Lost, Lost),
            (AnswerKind::Nothing, true, Lost, Lost),
            (AnswerKind::Redirect, false, Intercepted, Misdirected),
            (AnswerKind::Redirect, true, Intercepted, Misdirected),
            (AnswerKind::LoginRequired, false, Intercepted, Misdirected),
            (page, false, Delivered, Delivered),
            (page, true, Intercepted, Misdirected),
            (ours, false, Delivered, Delivered),
            (ours, true, Delivered, Delivered),
            // 401, 404, 500, 503: the server is there.
            (AnswerKind::Other, false, Delivered, Delivered),
            (AnswerKind::Other, true, Delivered, Delivered),
        ] {
            assert_eq!(evidence(answer, expects_ours, false), plain, "{answer:?} {expects_ours}");
            assert_eq!(evidence(answer, expects_ours, true), tls, "{answer:?} {expects_ours} over TLS");
        }
        let says = |e: Evidence| (e.is_undelivered(), e.proves_uplink());
        assert_eq!(
            [Delivered, Misdirected, Intercepted, Lost].map(says),
            [(false, true), (true, true), (true, false), (true, false)]
        );
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 443))
    }

    fn sorted(deliveries: &Deliveries) -> Vec<u16> {
        let mut addresses = [1, 2, 3].map(address);
        deliveries.sort(&mut addresses);
        let last = |address: &SocketAddr| match address {
            SocketAddr::V4(v4) => u16::from(v4.ip().octets()[3]),
            SocketAddr::V6(_) => 0,
        };
        addresses.iter().map(last).collect()
    }

    #[test]
    fn the_address_that_answered_last_is_first_and_a_silent_one_is_last() {
        let mut deliveries = Deliveries::default();
        assert_eq!(sorted(&deliveries), [1, 2, 3], "the resolver's order");
        deliveries.record(None, address(1), Lost);
        assert_eq!(sorted(&deliveries), [2, 3, 1]);
        deliveries.record(None, address(3), Delivered);
        assert_eq!(sorted(&deliveries), [3, 2, 1]);
        deliveries.record(None, address(3), Lost);
        assert_eq!(sorted(&deliveries), [2, 3, 1]);
        deliveries.record(None, address(1), Misdirected);
        assert_eq!(sorted(&deliveries), [2, 3, 1], "a page in its place is no delivery");
        deliveries.record(None, address(1), Delivered);
        assert_eq!(sorted(&deliveries), [1, 2, 3]);
    }

    #[test]
    fn an_uplink_is_tried_last_after_two_undelivered_heartbeats_and_a_proof_ends_that() {
        let mut deliveries = Deliveries::default();
        let mut lose = |uplink: Option<&str>, evidence| {
            deliveries.record(uplink, address(1), evidence);
            (deliveries.undelivered(uplink), deliveries.rank(uplink))
        };
        assert_eq!(lose(Some("eth0"), Lost), (1, 0));
        assert_eq!(lose(Some("eth0"), Intercepted), (2, 1));
        assert_eq!(lose(None, Lost), (1, 0), "the kernel's way has a count of its own");
        assert_eq!(lose(Some("eth0"), Lost), (3, 1));
        assert_eq!(lose(Some("eth0"), Lost), (4, 2), "others get their turn");
        assert_eq!(lose(Some("eth0"), Misdirected), (0, 0));
        deliveries.record_uplink(Some("eth0"), Lost);
        deliveries.forget_uplink("eth0");
        assert_eq!(deliveries.undelivered(Some("eth0")), 0);
    }

    #[test]
    fn names_and_addresses_without_end_are_bounded() {
        let mut deliveries = Deliveries::default();
        for n in 0..=255 {
            deliveries.record(Some(&format!("wwan{n}")), address(n), Lost);
        }
        assert_eq!((deliveries.uplinks.len(), deliveries.addresses.len()), (UPLINKS, ADDRESSES));
    }
}
