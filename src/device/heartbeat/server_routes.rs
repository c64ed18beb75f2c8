//! Over which interfaces a heartbeat may leave: over another one than the kernel's choice only where that leads to the
//! same server.
//!
//! | the kernel's route to the server | permitted |
//! |---|---|
//! | a default route over an uplink | each uplink that has a default route too |
//! | a default route over another interface (VPN, bridge, modem) | the kernel's choice; uplinks only with an [`UplinkOverride`] |
//! | a subnet of its own (connected) | each uplink in the same subnet, if the same host answers there |
//! | a more specific route, or this machine itself | the kernel's choice |

use crate::device::os::egress::{KernelRoute, Lookup, RouteKind};
use std::io;
use std::net::IpAddr;

/// The kernel's routes to one server address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerRoutes {
    /// The route that it uses; `None` without one.
    pub kernels: Option<KernelRoute>,
    /// The route over each uplink, by index, the best uplink first.
    pub over: Vec<(u32, Option<RouteKind>)>,
}

/// One permitted egress to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Egress {
    /// The interface to bind to; `None` leaves the choice to the kernel.
    pub over: Option<u32>,
    /// Another host may have the same address there: only over HTTPS, or if its hardware address is the server's.
    pub same_host: bool,
}

/// Whether uplinks may carry heartbeats although the kernel's default route leads over an interface that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UplinkOverride {
    No,
    /// A person chose the first uplink.
    Chosen,
    /// Heartbeats were not delivered over the kernel's choice, and HTTPS protects the token.
    Undelivered,
}

const KERNEL: Egress = Egress { over: None, same_host: false };

fn egress(index: u32) -> Egress {
    Egress { over: Some(index), same_host: false }
}

impl ServerRoutes {
    /// Asks the kernel.
    ///
    /// # Errors
    pub fn read(
        lookup: &mut Lookup,
        server: IpAddr,
        uplinks: impl IntoIterator<Item = u32>,
    ) -> io::Result<ServerRoutes> {
        let kernels = lookup.route(server, None)?;
        let mut kind = |index| Ok((index, lookup.route(server, Some(index))?.map(|way| way.kind)));
        let over = uplinks.into_iter().map(&mut kind).collect::<io::Result<_>>()?;
        Ok(ServerRoutes { kernels, over })
    }

    fn is_uplink(&self, index: u32) -> bool {
        self.over.iter().any(|(uplink, _)| *uplink == index)
    }

    /// The routes to try, the best first; at least one.
    pub fn permitted(&self, uplink_override: UplinkOverride) -> Vec<Egress> {
        let egresses = match self.kernels {
            None => self.with(RouteKind::Default, None),
            Some(KernelRoute { index, kind }) if self.is_uplink(index) => match kind {
                RouteKind::Local => Vec::new(),
                RouteKind::Default => self.with(RouteKind::Default, Some(index)),
                RouteKind::Connected { .. } => {
                    let mut egresses = self.with(kind, Some(index));
                    egresses.iter_mut().for_each(|egress| egress.same_host = egress.over != Some(index));
                    egresses
                }
                RouteKind::Specific => vec![egress(index)],
            },
            Some(KernelRoute { kind: RouteKind::Default, .. }) => {
                let mut egresses = match uplink_override {
                    UplinkOverride::No => Vec::new(),
                    UplinkOverride::Chosen => {
                        self.with(RouteKind::Default, None).into_iter().take(1).collect()
                    }
                    UplinkOverride::Undelivered => self.with(RouteKind::Default, None),
                };
                egresses.push(KERNEL);
                egresses
            }
            Some(_) => Vec::new(),
        };
        if egresses.is_empty() { vec![KERNEL] } else { egresses }
    }

    /// The uplinks with such a route, and the kernel's choice in its place among them.
    fn with(&self, kind: RouteKind, kernels: Option<u32>) -> Vec<Egress> {
        let matches =
            |(index, found): &&(u32, Option<RouteKind>)| *found == Some(kind) || Some(*index) == kernels;
        self.over.iter().filter(matches).map(|(index, _)| egress(*index)).collect()
    }

    /// The interface that the kernel's route leaves no choice about; `None` where uplinks are chosen from, or where the
    /// server is this machine.
    pub fn pinned(&self) -> Option<u32> {
        let KernelRoute { index, kind } = self.kernels?;
        let has_choice = match kind {
            RouteKind::Local => true,
            RouteKind::Default => self.is_uplink(index),
            RouteKind::Specific => false,
            RouteKind::Connected { .. } => {
                self.is_uplink(index)
                    && self.over.iter().any(|(other, found)| *other != index && *found == Some(kind))
            }
        };
        (!has_choice).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RouteKind::{Default, Local, Specific};

    const ETH0: u32 = 2;
    const WLAN0: u32 = 3;
    const VPN: u32 = 9;

    fn lan(last: u8) -> RouteKind {
        RouteKind::Connected { network: [10, 0, last, 0].into(), prefix: 24 }
    }

    fn routes(
        kernels: Option<(u32, RouteKind)>,
        eth0: Option<RouteKind>,
        wlan0: Option<RouteKind>,
    ) -> ServerRoutes {
        let kernels = kernels.map(|(index, kind)| KernelRoute { index, kind });
        ServerRoutes { kernels, over: vec![(ETH0, eth0), (WLAN0, wlan0)] }
    }

    /// As `eth0`, `wlan0?` (if the same host answers) and `-` (the kernel's choice).
    fn shown(egresses: &[Egress]) -> String {
        let name = |egress: &Egress| {
            let name = match egress.over {
                Some(ETH0) => "eth0",
                Some(WLAN0) => "wlan0",
                Some(_) => "another",
                None => "-",
            };
            format!("{name}{}", if egress.same_host { "?" } else { "" })
        };
        egresses.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn another_uplink_is_permitted_only_where_it_leads_to_the_same_server() {
        let all = (Some(Default), Some(Default));
        for (kernels, (eth0, wlan0), expected) in [
            (Some((ETH0, Default)), all, "eth0 wlan0"),
            (Some((WLAN0, Default)), all, "eth0 wlan0"),
            // A camera LAN: the kernel would ask the neighbours there for the server's address.
            (Some((WLAN0, Default)), (None, Some(Default)), "wlan0"),
            (Some((WLAN0, Default)), (Some(lan(1)), Some(Default)), "wlan0"),
            (Some((WLAN0, Specific)), all, "wlan0"),
            (Some((VPN, Default)), all, "-"),
            (Some((VPN, Specific)), all, "-"),
            (Some((VPN, lan(1))), (Some(lan(1)), Some(lan(1))), "-"),
            (Some((ETH0, lan(1))), (Some(lan(1)), Some(lan(1))), "eth0 wlan0?"),
            (Some((WLAN0, lan(1))), (Some(lan(1)), Some(lan(1))), "eth0? wlan0"),
            (Some((ETH0, lan(1))), (Some(lan(1)), Some(lan(2))), "eth0"),
            (Some((ETH0, lan(1))), (Some(lan(1)), Some(Default)), "eth0"),
            (Some((1, Local)), (Some(Local), Some(Local)), "-"),
            (None, (None, Some(Default)), "wlan0"),
            (None, (None, Some(lan(1))), "-"),
            (None, (None, None), "-"),
        ] {
            let egresses = routes(kernels, eth0, wlan0).permitted(UplinkOverride::No);
            assert_eq!(shown(&egresses), expected, "{kernels:?} {eth0:?} {wlan0:?}");
        }
    }

    #[test]
    fn uplinks_replace_only_a_default_route_of_the_kernel() {
        for (kind, uplink_override, expected) in [
            (Default, UplinkOverride::No, "-"),
            (Default, UplinkOverride::Chosen, "eth0 -"),
            (Default, UplinkOverride::Undelivered, "eth0 wlan0 -"),
            (Specific, UplinkOverride::Chosen, "-"),
            (Specific, UplinkOverride::Undelivered, "-"),
        ] {
            let routes = routes(Some((VPN, kind)), Some(Default), Some(Default));
            assert_eq!(shown(&routes.permitted(uplink_override)), expected, "{kind:?} {uplink_override:?}");
        }
        let none = routes(Some((VPN, Default)), None, Some(lan(1)));
        assert_eq!(shown(&none.permitted(UplinkOverride::Chosen)), "-", "no uplink leads there");
    }

    #[test]
    fn a_way_is_pinned_where_the_kernel_leaves_no_choice() {
        for (index, kind, expected) in [
            (ETH0, Default, None),
            (VPN, Default, Some(VPN)),
            (VPN, Specific, Some(VPN)),
            (WLAN0, Specific, Some(WLAN0)),
            (ETH0, lan(1), None),
            (ETH0, lan(2), Some(ETH0)),
            (VPN, lan(1), Some(VPN)),
            (1, Local, None),
        ] {
            let routes = routes(Some((index, kind)), Some(lan(1)), Some(lan(1)));
            assert_eq!(routes.pinned(), expected, "{index} {kind:?}");
        }
    }
}
