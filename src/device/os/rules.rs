//! The kernel's policy routing rules (`ip rule`) that send packets to other tables than the usual ones.
//!
//! No privilege is needed.

use super::netlink::{AF_INET, AF_INET6, Socket, attribute, number};
use netlink_packet_core::NLM_F_DUMP;
use std::fmt;
use std::io;

pub(super) const RTM_NEWRULE: u16 = 32;
const RTM_GETRULE: u16 = 34;
/// Size of `struct fib_rule_hdr`.
const HEADER: usize = 12;
/// Attributes and actions of `linux/fib_rules.h`.
const FRA_PRIORITY: u16 = 6;
const FRA_TABLE: u16 = 15;
const FRA_L3MDEV: u16 = 19;
const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_BLACKHOLE: u8 = 6;
const FR_ACT_UNREACHABLE: u8 = 7;
const FR_ACT_PROHIBIT: u8 = 8;
/// `RT_TABLE_LOCAL`, `RT_TABLE_MAIN` and `RT_TABLE_DEFAULT`: where packets go without policy routing.
const USUAL: [u32; 3] = [255, 254, 253];
/// Rules that are kept; a VPN makes two to five.
const LIMIT: usize = 64;

/// Where a rule sends its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Table(u32),
    /// The table of the VRF that the interface belongs to.
    Vrf,
    Drop,
}

/// A rule by which some packets do not follow the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub ipv6: bool,
    /// The lowest is looked at first.
    pub priority: u32,
    pub action: Action,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.ipv6 { "IPv6 " } else { "" };
        write!(f, "{family}rule {}: ", self.priority)?;
        match self.action {
            Action::Table(table) => write!(f, "table {table}"),
            Action::Vrf => f.write_str("the tables of VRFs"),
            Action::Drop => f.write_str("dropped"),
        }
    }
}

/// All rules, of both families, that lead elsewhere than to the usual tables.
///
/// # Errors
/// As [`Socket::request`]; `Unsupported` where the kernel has no policy routing.
pub fn unusual_rules(socket: &mut Socket) -> io::Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let mut header = [0; HEADER];
        header[0] = family;
        socket.request(RTM_GETRULE, NLM_F_DUMP, &header, |kind, body| {
            if kind == RTM_NEWRULE && rules.len() < LIMIT {
                rules.extend(parse(body));
            }
        })?;
    }
    Ok(rules)
}

/// Body of an `RTM_NEWRULE`; `None` for a rule that leads to a usual table.
fn parse(body: &[u8]) -> Option<Rule> {
    let (header, rest) = body.split_first_chunk::<HEADER>()?;
    let [family, _, _, _, table, _, _, action, ..] = *header;
    let is_vrf = attribute(rest, FRA_L3MDEV).is_some_and(|value| value != [0]);
    let action = match action {
        FR_ACT_TO_TBL if is_vrf => Action::Vrf,
        FR_ACT_TO_TBL => {
            let table = attribute(rest, FRA_TABLE).and_then(number).unwrap_or(u32::from(table));
            (!USUAL.contains(&table)).then_some(Action::Table(table))?
        }
        FR_ACT_BLACKHOLE | FR_ACT_UNREACHABLE | FR_ACT_PROHIBIT => Action::Drop,
        // A jump to a rule that is listed too, or none.
        _ => return None,
    };
    let priority = attribute(rest, FRA_PRIORITY).and_then(number).unwrap_or(0);
    Some(Rule { ipv6: family == AF_INET6, priority, action })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::os::netlink::{mangled, nla};
    use netlink_sys::protocols::NETLINK_ROUTE;

    fn rule(table: u8, action: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let header = [AF_INET, 0, 0, 0, table, 0, 0, action, 0, 0, 0, 0];
        header.into_iter().chain(attributes.iter().flat_map(|(kind, value)| nla(*kind, value))).collect()
    }

    #[test]
    fn only_rules_that_leave_the_usual_tables_are_listed() {
        let priority = 5270_u32.to_ne_bytes();
        let table = 51820_u32.to_ne_bytes();
        let found = |body: &[u8]| parse(body).map(|rule| rule.action);
        for usual in [255, 254, 253] {
            assert_eq!(found(&rule(usual, FR_ACT_TO_TBL, &[])), None, "table {usual}");
        }
        let vpn = rule(0, FR_ACT_TO_TBL, &[(FRA_PRIORITY, &priority), (FRA_TABLE, &table)]);
        let expected = Rule { ipv6: false, priority: 5270, action: Action::Table(51820) };
        assert_eq!(parse(&vpn), Some(expected));
        assert_eq!(expected.to_string(), "rule 5270: table 51820");
        assert_eq!(found(&rule(100, FR_ACT_TO_TBL, &[])), Some(Action::Table(100)));
        assert_eq!(found(&rule(0, FR_ACT_TO_TBL, &[(FRA_L3MDEV, &[1])])), Some(Action::Vrf));
        assert_eq!(found(&rule(0, FR_ACT_UNREACHABLE, &[])), Some(Action::Drop));
        assert_eq!(found(&rule(0, 2, &[])), None, "a jump");
    }

    #[test]
    fn a_mangled_rule_never_panics() {
        let mut random = fastrand::Rng::with_seed(4711);
        let good = rule(0, FR_ACT_TO_TBL, &[(FRA_PRIORITY, &[1, 0, 0, 0]), (FRA_TABLE, &[1, 1, 0, 0])]);
        for _ in 0..20_000 {
            let mangled = mangled(&good, &mut random);
            parse(&mangled);
        }
    }

    #[test]
    fn the_kernel_lists_rules_without_privilege() {
        let mut socket = Socket::open(NETLINK_ROUTE).expect("a socket");
        match unusual_rules(&mut socket) {
            Ok(rules) => assert!(rules.len() <= LIMIT),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::Unsupported),
        }
    }
}
