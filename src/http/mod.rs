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
//! | `reply` | sending a response back to the reactor |
//! | `queue` | the way of a request to worker threads |
//! | `limits`, `counters` | limits of a server; its counters |
//! | `gate`, `client` | the program's decision about a request before its body arrives; the client behind a proxy |
//! | `reactor` | the loop: readiness, deadlines, responses, turns |
//! | `advance` | a connection's turn: reads, parses, writes |
//! | `pace` | when requests are collected and then served together |
//! | `accept`, `admission`, `networks` | new connections, their limits, and networks that are exempt |
//! | `unfinished` | memory of unfinished requests by network, and which connection is closed at a bound |
//! | `connection`, `partial` | state of a connection without its socket, and of a request whose body is arriving |
//! | `parse`, `chunked`, `write` | parser of a head, decoder of a chunked body, encoder of a response |
//! | `output`, `date` | bytes to be sent to a client; dates in headers |
//! | `file_body`, `file_response` | bodies read from a file in pieces (monitor); ranges and conditions of such a response |
//! | `exercise` | invariants for any input, for tests and fuzzer |
//! | `in_memory` | a client without a socket, for simulations |
//! | `deadlines`, `table` | deadlines and connections of the reactor |
//! | `listener`, `socket`, `transport` | listening sockets, client sockets, a client socket with or without TLS |
//! | `tickets` | keys of TLS session tickets, in a file |
//! | `tls`, `handshake` | the monitor's certificate and TLS sessions; threads for their handshakes |
//! | `offload` | what the reactor leaves to the threads for files and handshakes |

mod accept;
mod admission;
mod advance;
mod chunked;
pub mod client;
mod connection;
pub mod counters;
mod date;
mod deadlines;
#[cfg(any(test, fuzzing))]
pub mod exercise;
#[cfg(feature = "monitor")]
pub mod file_body;
#[cfg(feature = "monitor")]
pub mod file_response;
pub mod gate;
#[cfg(feature = "monitor")]
mod handshake;
#[cfg(feature = "monitor")]
pub mod in_memory;
pub mod limits;
pub mod listener;
pub mod message;
pub mod networks;
#[cfg(feature = "monitor")]
mod offload;
mod output;
mod pace;
mod parse;
mod partial;
pub mod queue;
mod reactor;
pub mod reply;
mod socket;
mod table;
#[cfg(feature = "monitor")]
pub mod tickets;
#[cfg(feature = "monitor")]
pub mod tls;
mod transport;
mod unfinished;
mod write;

pub use counters::Counters;
pub use gate::GateDecision;
pub use limits::Limits;
pub use listener::Listener;
pub use message::{Method, Peer, Request, Response};
#[cfg(feature = "monitor")]
pub use pace::Pace;
pub use queue::queue;
pub use reactor::Server;
pub use reply::{Exchange, Reply, Stopper};
#[cfg(feature = "monitor")]
pub use tls::TlsConfig;
