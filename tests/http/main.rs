//! The HTTP front over real sockets, with a handler of a few lines.

mod attack;
mod deadlines;
#[cfg(feature = "monitor")]
mod files;
#[cfg(feature = "monitor")]
#[path = "../support/https.rs"]
mod https;
#[cfg(feature = "device")]
mod ipv6;
#[cfg(feature = "device")]
#[allow(dead_code)]
#[path = "../support/namespace.rs"]
mod namespace;
mod others;
mod protocol;
mod room;
mod site;
#[path = "../support/skip.rs"]
mod skip;
mod stop;
mod stress;
#[cfg(feature = "monitor")]
mod tls;
