//! IPv6 clients: a host owns a whole /64, and one customer may own a /56.

use crate::namespace::Namespace;
use crate::site::{Client, LONG, Site, eventually, post, roomy, status};
use crate::skip::skip;
use heartbeat_daemon::http::Limits;
use socket2::{Domain, Socket, Type};
use std::net::{Ipv6Addr, SocketAddr};

const KIB: usize = 1024;

/// Two networks of one customer, and one of another customer.
const ATTACKER: [u16; 4] = [0x2001, 0xdb8, 0, 0xa01];
const SAME_56: [u16; 4] = [0x2001, 0xdb8, 0, 0xaff];
const OTHER_56: [u16; 4] = [0x2001, 0xdb8, 0, 0xb01];

fn address([a, b, c, d]: [u16; 4], host: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, host)
}

/// Clients with any address of 2001:db8::/32, and a server on ::1.
struct Internet {
    namespace: Namespace,
    site: Site,
}

impl Internet {
    /// `None` where there can be no namespaces.
    fn new(limits: Limits) -> Option<Internet> {
        let namespace = match Namespace::new() {
            Ok(namespace) => namespace,
            Err(error) => {
                skip(&format!("no network namespaces here: {error}"));
                return None;
            }
        };
        // All of its addresses are this machine's, and a socket may have one that no interface names.
        namespace.sysctl("ipv6/ip_nonlocal_bind", 1);
        namespace.ip("-6 route add local 2001:db8::/32 dev lo");
        let site = namespace.enter(|| Site::at("[::1]:0", limits));
        Some(Internet { namespace, site })
    }

    fn client(&self, from: Ipv6Addr) -> Client {
        let to = self.site.address;
        self.namespace.enter(|| {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, None).expect("a socket");
            socket.bind(&SocketAddr::from((from, 0)).into()).expect("a local address");
            socket.connect(&to.into()).expect("a connection");
            Client::new(socket.into())
        })
    }
}

fn half_a_request(header: &str) -> String {
    post("/echo", "").replace("Content-Length: 0", &format!("{header}Content-Length: 16384"))
        + &"x".repeat(8 * KIB)
}

fn completes(client: &mut Client) -> bool {
    client.try_send("x".repeat(8 * KIB)) && status(&client.answer()) == 200
}

fn bounded() -> Limits {
    Limits { unfinished_per_network: 64 * KIB, request: LONG, ..roomy() }
}

/// `open` connects from an address and sends half a request.
fn an_attack_costs_no_other_network(site: &Site, open: impl Fn(Ipv6Addr) -> Client) {
    let mut neighbour = open(address(SAME_56, 1));
    let mut stranger = open(address(OTHER_56, 1));
    let one_64: Vec<Client> = (0..30).map(|host| open(address(ATTACKER, host))).collect();
    eventually("the surplus of the /64 is closed", || site.counters.evicted.get() >= 23);
    assert!(completes(&mut neighbour), "the /64 that holds most loses");
    let [a, b, c, _] = ATTACKER;
    let _one_56: Vec<Client> = (0xa00..0xa40).map(|d| open(address([a, b, c, d], 1))).collect();
    eventually("the surplus of the /56 is closed", || site.counters.evicted.get() >= 23 + 64);
    assert!(completes(&mut stranger), "another /56 loses nothing");
    drop(one_64);
}

#[test]
fn an_ipv6_client_that_changes_its_address_is_bounded_by_64_and_by_56() {
    let Some(internet) = Internet::new(bounded()) else { return };
    an_attack_costs_no_other_network(&internet.site, |from| {
        let mut client = internet.client(from);
        client.try_send(half_a_request(""));
        client
    });
}

#[test]
fn behind_a_trusted_proxy_the_clients_ipv6_network_counts() {
    let unlimited = vec!["127.0.0.1".parse().expect("a network")];
    let site = Site::limited(Limits { unlimited, ..bounded() });
    an_attack_costs_no_other_network(&site, |from| {
        let mut client = site.client();
        client.try_send(half_a_request(&format!("X-Forwarded-For: {from}\r\n")));
        client
    });
}

#[test]
fn the_addresses_of_an_ipv6_64_share_their_connections() {
    let Some(internet) = Internet::new(Limits { connections_per_address: 3, ..roomy() }) else { return };
    let hello = |mut client: Client| {
        client.try_send(crate::site::get("/hello"));
        (status(&client.answer()), client)
    };
    let _kept: Vec<Client> = (1..=3)
        .map(|host| {
            let (status, client) = hello(internet.client(address(ATTACKER, host)));
            assert_eq!(status, 200);
            client
        })
        .collect();
    assert_ne!(hello(internet.client(address(ATTACKER, 4))).0, 200, "a fourth address of the same /64");
    assert_eq!(hello(internet.client(address(SAME_56, 1))).0, 200, "another /64");
}
