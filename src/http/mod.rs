//! The HTTP/1.1 server that both programs use: one reactor thread owns every socket, and only complete requests
//! leave it.
//!
//! ```text
//! sockets ─► reactor ── Exchange ─► handler (on the reactor's thread) ─► a queue, another thread ...
//!               ▲                                                             │
//!               └────────────────────── Reply::send ◄─────────────────────────┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `message` | a request and a response, as handlers see them |
//! | `reply` | the way of an answer back to the reactor |
//! | `queue` | the way of a request to worker threads |
//! | `limits`, `counters` | what a client may cost; what was served |
//! | `gate`, `client` | the program's decision about a request before its body has come; who asks behind a proxy |
//! | `reactor` | the loop: readiness, deadlines, answers, one turn after the other |
//! | `accept`, `admission`, `networks` | new connections, when there are too many, and of whom there cannot be |
//! | `unfinished` | half-sent requests by network, and which connection is closed at a bound |
//! | `connection`, `partial` | the states of a connection, without its socket, and of a request whose body arrives |
//! | `parse`, `chunked`, `write` | bytes to a request, bytes of a chunked body to the body, an answer to bytes |
//! | `exercise` | what must hold whatever comes, for tests and fuzzer |
//! | `deadlines`, `table`, `listener`, `transport` | what the reactor keeps: times, connections, sockets |
//! | `tls` | the monitor's: encryption under a connection, and its certificate |

mod accept;
mod admission;
mod chunked;
pub mod client;
mod connection;
pub mod counters;
mod deadlines;
#[cfg(any(test, fuzzing))]
pub mod exercise;
pub mod gate;
pub mod limits;
pub mod listener;
pub mod message;
pub mod networks;
mod parse;
mod partial;
pub mod queue;
mod reactor;
pub mod reply;
mod table;
#[cfg(feature = "monitor")]
pub mod tls;
mod transport;
mod unfinished;
mod write;

pub use counters::Counters;
pub use gate::Verdict;
pub use limits::Limits;
pub use listener::Listener;
pub use message::{Method, Peer, Request, Response};
pub use queue::queue;
pub use reactor::Server;
pub use reply::{Exchange, Reply, Stopper};
#[cfg(feature = "monitor")]
pub use tls::TlsConfig;
