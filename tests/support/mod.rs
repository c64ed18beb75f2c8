//! What the test programs share: a daemon in a scratch directory, and the servers it meets.

// Each program that includes this uses a part of it.
#![allow(dead_code, unused_imports)]

pub mod axe;
#[cfg(feature = "monitor")]
pub mod browser;
pub mod cable;
pub mod daemon;
pub mod devtools;
pub mod dns;
pub mod https;
pub mod lateness;
#[cfg(feature = "monitor")]
pub mod monitor;
pub mod namespace;
pub mod net;
pub mod notify;
#[cfg(feature = "monitor")]
pub mod outages;
pub mod process;
pub mod request;
pub mod scratch;
pub mod server;
pub mod skip;
pub mod wall_clock;

pub use skip::{skip, skip_without};
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::thread;
use std::time::{Duration, Instant};

/// For what must happen, and happens in milliseconds unless the machine is very busy.
pub const SOON: Duration = Duration::from_secs(20);

/// Below the ports that the kernel gives to whoever asks for any (32768 and more, unless somebody has set it).
const LASTING_PORTS: RangeInclusive<u16> = 12_000..=31_999;

/// An address of loopback for a program that is told where to listen, or ends and comes back. A port that the kernel
/// has chosen would be given to somebody else's connection as soon as nobody listens, and who connects to it just then
/// may even reach itself.
pub fn lasting_address() -> SocketAddr {
    let free = |_| {
        let address = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(LASTING_PORTS)));
        TcpListener::bind(address).is_ok().then_some(address)
    };
    (0..1000).find_map(free).expect("a free port")
}

/// Waits until it holds, which it does soon; the time between two looks is too short to matter.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
