//! Refuses webhook and ntfy addresses inside the monitor's own network, unless the configuration allows them.
//!
//! The address of the connection itself is checked, after the name was resolved, so DNS rebinding has no effect. This file
//! and `http` use `ureq::unversioned`; the version is pinned.

use crate::resolver::ureq_resolver::UreqResolver;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Resolves names and drops the addresses that are not public.
#[derive(Debug)]
pub struct PublicOnly(pub UreqResolver);

impl Resolver for PublicOnly {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        let mut public = self.empty();
        found.iter().filter(|address| is_public(address.ip())).for_each(|address| public.push(*address));
        if let (true, Some(refused)) = (public.is_empty(), found.iter().next()) {
            return Err(ureq::Error::Other(Box::new(NotPublic(refused.ip()))));
        }
        Ok(public)
    }
}

/// No address of the host is public.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not a public address; allow_private_webhooks = true allows it")]
struct NotPublic(IpAddr);

/// Whether an address is public: not in the IANA registries of special addresses (RFC 6890 and later), and no IPv6 form of
/// such an address.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    !matches!(
        (a, b, c, d),
        // This host, private, shared with a carrier (with Alibaba's metadata), loopback, link-local (with the
        // metadata of most clouds).
        (0 | 10 | 127, ..) | (100, 64..=127, ..) | (169, 254, ..) | (172, 16..=31, ..) | (192, 168, ..)
        // Protocols, documentation, 6to4 relays, benchmarks.
        | (192, 0, 0 | 2, _) | (192, 88, 99, _) | (198, 18..=19, ..) | (198, 51, 100, _) | (203, 0, 113, _)
        // Azure's metadata, which has a public address.
        | (168, 63, 129, 16)
        // Multicast, reserved, broadcast.
        | (224..=255, ..)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = embedded(address) {
        return is_public_v4(v4);
    }
    let [a, b, ..] = address.segments();
    // Only 2000::/3 is allocated; in it, 2001::/23 is for protocols, 2001:db8::/32 and 3fff::/20 are for documentation.
    let is_allocated = a & 0xe000 == 0x2000;
    is_allocated && !(a == 0x2001 && (b < 0x0200 || b == 0x0db8)) && !(a == 0x3fff && b < 0x1000)
}

/// The embedded IPv4 address: mapped, compatible, translated (NAT64) or 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(v4(g, h)),
        (0x2002, ..) => Some(v4(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_not_public_is_reached_in_any_spelling() {
        let refused = [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "168.63.129.16",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "5f00::1",
        ];
        for address in refused {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
        let allowed = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "169.253.1.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ];
        for address in allowed {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
    }
}
