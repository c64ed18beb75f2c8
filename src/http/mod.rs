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

pub mod message;

pub use message::{Method, Peer, Request, Response};
