//! The program on a server: takes a fleet's heartbeats, knows who is late, and tells people once.
//!
//! ```text
//! http reactor ─ requests ─► workers ── beats ──► fleet (memory) ─┐ once a second
//!                              │                                  ▼
//!                              ├─ replays, recoveries ─────► recorder + sweeper ──┐ one transaction: last_seen,
//!                              │                               one thread         ├─ outages, events, outbox
//!                read API ◄────┘                                                  ▼
//!                    ▲───────────────────────────────────────────────────────── store
//!                              couriers, one per channel ◄── outbox, leased ──────┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `beat` | a heartbeat of any origin, in the one form used inside |
//! | `command/` | what the command line's commands do |
//! | `detect` | who is late: grace, doubt, flapping |
//! | `notify/` | telling people: what, whom, when, and until it is heard |
//! | `ingest/` | from a request to a beat: who sent it, in which format, what is answered |
//! | `fleet` | the newest beat of each machine, in memory |
//! | `recorder` | the thread that writes what beats change, and owns every status |
//! | `pulse` | when beats last reached the database |
//! | `history/` | the past of a machine, packed |
//! | `time` | the monitor's clock: the only one that decides |
//! | `machine` | what a machine is, and what it may be called |
//! | `tokens`, `registry` | what proves who somebody is, and who that is |
//! | `store/` | the database; one file a subject |

pub mod beat;
pub mod command;
pub mod detect;
pub mod fleet;
pub mod history;
pub mod ingest;
pub mod machine;
pub mod notify;
pub mod pulse;
pub mod recorder;
pub mod registry;
pub mod store;
pub mod time;
pub mod tokens;
