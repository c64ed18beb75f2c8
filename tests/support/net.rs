//! A device with three uplinks, a router, and the internet behind it, each in a network namespace of its own; and
//! what can go wrong with an uplink.
//!
//! ```text
//! device             router (forwards)              internet
//! eth0  10.1.0.2 ─── p-eth0  10.1.0.1 ┐
//! wlan1 10.2.0.2 ─── p-wlan1 10.2.0.1 ├─ wan ────── wan 10.99.0.1 (server), 8.8.8.8
//! wlan0 10.3.0.2 ─── p-wlan0 10.3.0.1 ┘
//! ```

use super::SOON;
use super::cable::Cable;
use super::daemon::{PROGRAM, Setup};
use super::namespace::Namespace;
use super::scratch::Scratch;
use socket2::SockRef;
use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// In the order of their rank, as the daemon has it by default.
pub const UPLINKS: [&str; 3] = ["eth0", "wlan1", "wlan0"];
/// The port on which the portal of [`Net::portal`] listens, in the router.
pub const PORTAL_PORT: u16 = 8080;

/// What differs from the picture above.
#[derive(Clone, Copy, Default)]
pub struct Shape {
    /// No IPv4 anywhere: fd00:N::2 behind fd00:N::1, and fd99::1 for the server.
    pub ipv6: bool,
    /// All uplinks are in 10.9.0.0/24, with one gateway: 10.9.0.1.
    pub shared: bool,
    /// eth0's cable is one in user space, for its carrier.
    pub tap: bool,
    /// All cables are: what the router does with a packet is not charged to the sender, as a veth's other end is.
    pub taps: bool,
    /// From the router to the internet, one way.
    pub delay: Duration,
}

impl Shape {
    /// So many of the uplinks have cables in user space.
    fn taps(self) -> usize {
        if self.taps { UPLINKS.len() } else { usize::from(self.tap) }
    }
}

/// Gone with all links, rules and addresses once it is dropped.
pub struct Net {
    pub device: Namespace,
    pub router: Namespace,
    pub internet: Namespace,
    shape: Shape,
    /// To the first uplinks, as many as the shape says.
    taps: Vec<Cable>,
    _slow: Option<Cable>,
}

impl Net {
    /// # Errors
    /// Where no network namespaces can be made: without root, or in a container that forbids it.
    pub fn new(shape: Shape) -> io::Result<Net> {
        let [device, router, internet] = [Namespace::new()?, Namespace::new()?, Namespace::new()?];
        for namespace in [&device, &router, &internet] {
            for scope in ["all", "default"] {
                namespace.sysctl(&format!("ipv4/conf/{scope}/rp_filter"), 0);
                namespace.sysctl(&format!("ipv6/conf/{scope}/keep_addr_on_down"), 1);
                namespace.sysctl(&format!("ipv6/conf/{scope}/accept_dad"), 0);
            }
        }
        router.sysctl("ipv4/ip_forward", 1);
        router.sysctl("ipv6/conf/all/forwarding", 1);
        let tap = |uplink: &&str| {
            Cable::between((&device, uplink), (&router, &format!("p-{uplink}")), Duration::ZERO)
        };
        let taps = UPLINKS.iter().take(shape.taps()).map(tap).collect::<io::Result<_>>()?;
        let slow = || Cable::between((&router, "wan"), (&internet, "wan"), shape.delay);
        let slow = (!shape.delay.is_zero()).then(slow).transpose()?;
        let net = Net { device, router, internet, shape, taps, _slow: slow };
        net.connect_internet();
        net.connect_uplinks();
        Ok(net)
    }

    fn connect_internet(&self) {
        let mut router = String::new();
        if self.shape.delay.is_zero() {
            let internet = self.internet.path();
            writeln!(router, "link add wan index 90 type veth peer name wan netns {internet}")
                .expect("memory");
        }
        let (near, far, bits) =
            if self.shape.ipv6 { ("fd98::1", "fd98::2", 64) } else { ("10.98.0.1", "10.98.0.2", 24) };
        let mut internet =
            format!("link set wan up\naddr add {far}/{bits} dev wan\nroute add default via {near}\n");
        writeln!(router, "link set wan up\naddr add {near}/{bits} dev wan").expect("memory");
        for address in [self.server_ip(), self.resolver_ip()] {
            writeln!(router, "route add {address} via {far}").expect("memory");
            writeln!(internet, "addr add {address} dev lo").expect("memory");
        }
        self.router.ip_batch(&router);
        self.internet.ip_batch(&internet);
    }

    fn connect_uplinks(&self) {
        let (mut router, mut device) = (String::new(), String::new());
        if self.shape.shared {
            router.push_str("link add br0 type bridge\nlink set br0 up\naddr add 10.9.0.1/24 dev br0\n");
        }
        for (number, uplink) in UPLINKS.iter().enumerate() {
            if number >= self.shape.taps() {
                // An index of its own: where both ends of a veth have the same one, the kernel tells the loss of
                // the carrier 300-700 ms late.
                let (index, device) = (101 + number, self.device.path());
                writeln!(
                    router,
                    "link add p-{uplink} index {index} type veth peer name {uplink} netns {device}"
                )
                .expect("memory");
            }
            match self.shape.shared {
                true => writeln!(router, "link set p-{uplink} master br0"),
                false => writeln!(router, "addr add {} dev p-{uplink}", self.with_bits(self.gateway(uplink))),
            }
            .expect("memory");
            writeln!(router, "link set p-{uplink} up").expect("memory");
            writeln!(device, "link set {uplink} up\n{}\n{}", self.address_of(uplink), self.route_of(uplink))
                .expect("memory");
        }
        self.router.ip_batch(&router);
        self.device.ip_batch(&device);
    }

    fn rank(&self, uplink: &str) -> usize {
        1 + UPLINKS.iter().position(|name| *name == uplink).expect("one of UPLINKS")
    }

    /// The device's address there.
    pub fn address(&self, uplink: &str) -> IpAddr {
        let rank = self.rank(uplink);
        match self.shape {
            Shape { ipv6: true, .. } => format!("fd00:{rank}::2"),
            Shape { shared: true, .. } => format!("10.9.0.{}", rank + 1),
            _ => format!("10.{rank}.0.2"),
        }
        .parse()
        .expect("an address")
    }

    fn gateway(&self, uplink: &str) -> IpAddr {
        let rank = self.rank(uplink);
        match self.shape {
            Shape { ipv6: true, .. } => format!("fd00:{rank}::1"),
            Shape { shared: true, .. } => "10.9.0.1".to_owned(),
            _ => format!("10.{rank}.0.1"),
        }
        .parse()
        .expect("an address")
    }

    pub fn server_ip(&self) -> IpAddr {
        if self.shape.ipv6 { "fd99::1" } else { "10.99.0.1" }.parse().expect("an address")
    }

    /// The default of `connectivity_check`, or its IPv6 sister.
    pub fn resolver_ip(&self) -> IpAddr {
        if self.shape.ipv6 { "2001:4860:4860::8888" } else { "8.8.8.8" }.parse().expect("an address")
    }

    fn with_bits(&self, address: IpAddr) -> String {
        // Without duplicate address detection, which takes a second or two.
        if self.shape.ipv6 { format!("{address}/64 nodad") } else { format!("{address}/24") }
    }

    fn address_of(&self, uplink: &str) -> String {
        format!("addr add {} dev {uplink}", self.with_bits(self.address(uplink)))
    }

    /// The default route as NetworkManager makes it, with a metric by rank: 100, 200, 300.
    fn route_of(&self, uplink: &str) -> String {
        let (gateway, metric) = (self.gateway(uplink), self.rank(uplink) * 100);
        format!("route add default via {gateway} dev {uplink} metric {metric}")
    }

    /// A socket in the internet, on the server's address; 0 takes a free port.
    pub fn listen(&self, port: u16) -> TcpListener {
        listen(&self.internet, SocketAddr::new(self.server_ip(), port))
    }

    /// The same on another IPv4 address of the internet, which is added.
    pub fn listen_at(&self, address: SocketAddr) -> TcpListener {
        self.internet.ip(&format!("addr add {} dev lo", address.ip()));
        self.router.ip(&format!("route add {} via 10.98.0.2", address.ip()));
        listen(&self.internet, address)
    }

    /// A socket in the router, where [`Net::portal`] sends everything.
    pub fn listen_as_portal(&self) -> TcpListener {
        listen(&self.router, SocketAddr::new(self.gateway("eth0"), PORTAL_PORT))
    }

    /// Something that can be connected to where `connectivity_check` looks by default.
    pub fn resolver(&self) -> Resolver {
        let listener = listen(&self.internet, SocketAddr::new(self.resolver_ip(), 53));
        let accepting = listener.try_clone().expect("a descriptor");
        thread::spawn(move || while accepting.accept().is_ok() {});
        Resolver(listener)
    }

    /// What it takes to become the daemon in the device, with the device's own /sys: `Setup::start_as` takes it, on a
    /// thread in `device`.
    pub fn become_daemon(&self) -> Command {
        self.become_daemon_after(&[])
    }

    /// The same, by way of a program that becomes another one, such as `setpriv`.
    pub fn become_daemon_after(&self, way: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", r#"mount -t sysfs sysfs /sys && exec "$@""#, "sh"]);
        command.args(way).arg(PROGRAM);
        command
    }

    /// The cable is pulled out or put back at its other end. Returns the moment just before.
    pub fn carrier(&self, uplink: &str, on: bool) -> Instant {
        self.router.switch(&format!("p-{uplink}"), on)
    }

    /// The same for the cable in user space: as a driver tells it.
    pub fn carrier_of_tap(&self, on: bool) {
        self.taps.first().expect("the shape has it").carrier(on);
    }

    /// Behind the router, nothing goes through any more, without a word; the gateway itself answers.
    pub fn drop_upstream(&self, uplink: &str) -> Instant {
        let before = Instant::now();
        self.router.nft(&format!(
            "table inet upstream_{uplink} {{ chain forward {{ type filter hook forward priority 0;
             iifname \"p-{uplink}\" drop; oifname \"p-{uplink}\" drop; }}
}}"
        ));
        before
    }

    pub fn restore_upstream(&self, uplink: &str) {
        self.router.nft(&format!("delete table inet upstream_{uplink}"));
    }

    /// The router hears nothing from there, with the carrier as it was.
    pub fn silence_gateway(&self, uplink: &str) -> Instant {
        let before = Instant::now();
        self.router.nft(&format!(
            "table netdev silent_{uplink} {{ chain ingress {{
             type filter hook ingress device \"p-{uplink}\" priority 0; drop; }}
}}"
        ));
        before
    }

    pub fn restore_gateway(&self, uplink: &str) {
        self.router.nft(&format!("delete table netdev silent_{uplink}"));
    }

    /// Every new connection from there ends at the router's own port.
    pub fn portal(&self, uplink: &str) {
        let (family, gateway) = match self.gateway(uplink) {
            IpAddr::V4(gateway) => ("ip", gateway.to_string()),
            IpAddr::V6(gateway) => ("ip6", format!("[{gateway}]")),
        };
        self.router.nft(&format!(
            "table {family} portal_{uplink} {{ chain prerouting {{ type nat hook prerouting priority -100;
             iifname \"p-{uplink}\" tcp dport 1-65535 dnat to {gateway}:{PORTAL_PORT}; }}
}}"
        ));
    }

    pub fn take_address(&self, uplink: &str) -> Instant {
        let before = Instant::now();
        let address = self.with_bits(self.address(uplink)).replace(" nodad", "");
        self.device.ip(&format!("addr del {address} dev {uplink}"));
        before
    }

    /// With its default route, as a DHCP client brings it.
    pub fn give_address(&self, uplink: &str) {
        self.device.ip_batch(&format!("{}\n{}", self.address_of(uplink), self.route_of(uplink)));
    }

    /// The device's routes that are the daemon's: protocol 222.
    pub fn our_routes(&self) -> String {
        let family = if self.shape.ipv6 { "-6 " } else { "" };
        self.device.ip_show(&format!("{family}route show table all proto 222"))
    }
}

/// Accepts connections and closes them, until it is dropped.
pub struct Resolver(TcpListener);

impl Drop for Resolver {
    fn drop(&mut self) {
        // Wakes the accepting thread; nothing to wake if it is gone.
        let _ = SockRef::from(&self.0).shutdown(Shutdown::Both);
    }
}

fn listen(namespace: &Namespace, address: SocketAddr) -> TcpListener {
    let deadline = Instant::now() + SOON;
    loop {
        match namespace.enter(|| TcpListener::bind(address)) {
            Ok(listener) => return listener,
            // An IPv6 address is there when a thread of the kernel's has come to it.
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => panic!("{address}: {error}"),
        }
    }
}

/// Why there can be no namespaces here, asked once.
pub fn obstacle() -> Option<&'static str> {
    static OBSTACLE: OnceLock<Option<String>> = OnceLock::new();
    let examine = || {
        if !rustix::process::geteuid().is_root() {
            return Some("network namespaces take root".to_owned());
        }
        let missing = ["ip", "nft", "unshare"].into_iter().find(|name| {
            Command::new(name)
                .arg("-V")
                .output()
                .or_else(|_| Command::new(name).arg("--version").output())
                .is_err()
        });
        if let Some(program) = missing {
            return Some(format!("no {program} (apt-get install iproute2 nftables util-linux)"));
        }
        Namespace::new().err().map(|error| format!("no network namespaces here: {error}"))
    };
    OBSTACLE.get_or_init(examine).as_deref()
}

/// What the daemon is started with in a [`Net`]: its lock is this test's own, and its files are in memory, as those in
/// /run are. On a disk the rename of the snapshot file flushes it first, and a heartbeat that comes right after another
/// waits for that (up to 386 ms were seen here).
pub fn setup(mode: &str) -> Setup {
    let scratch = Scratch::under(Path::new("/dev/shm"));
    let lock = scratch.path().join("failover.lock").to_str().expect("UTF-8").to_owned();
    Setup::under(scratch).key("network.mode", mode).key("network.lock_file", &lock)
}
