//! The program on a server: takes a fleet's heartbeats, knows who is late, and tells people once.
//!
//! ```text
//! http reactor ── beats ──► fleet (memory) ─┐ once a second
//!   │        │                              ▼
//!   │        └─ replays, recoveries ─► recorder + sweeper ──┐ one transaction: last_seen,
//!   ▼                                    one thread         ├─ outages, events, outbox
//! workers: read API, enrolment ◄──────────────────────────► store
//!                 couriers ◄── outbox, leased ───────────────────┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `cli`, `command/` | the command line, and what its commands do |
//! | `serve`, `listen` | start-up, signals, stop: which threads there are; where they listen |
//! | `config/` | the configuration: as written, as used |
//! | `ingest/` | from a request to a beat, in four formats |
//! | `beat` | a heartbeat of any origin, in the one form used inside |
//! | `horizon` | the moment that retention is counted from |
//! | `fleet` | the newest beat of each machine in memory |
//! | `progress`, `pulse` | whether work makes progress, and the recorder's in particular |
//! | `health` | whether the monitor does its own work, and the message to people if not |
//! | `history/` | the past of a machine, packed |
//! | `recorder` | the one thread that owns every machine's status |
//! | `gate` | which requests are refused before their body has come |
//! | `detect` | who is late: grace, doubt, flapping |
//! | `notify/` | telling people: what, whom, when, and until it is heard |
//! | `machine` | what a machine is, and what it may be called |
//! | `tokens`, `registry` | what proves who somebody is, and who that is |
//! | `simulation/` | a fleet to measure with |
//! | `store/`, `upkeep` | the database, one file a subject; what is removed from it |
//! | `web/` | read API, figures, health |
//! | `time` | suspend time, durations in Go's notation |
//! | `zone` | what a recipient's clock shows: for quiet hours |

pub mod beat;
pub mod cli;
pub mod command;
pub mod config;
pub mod detect;
pub mod fleet;
mod gate;
pub mod health;
pub mod history;
pub mod horizon;
pub mod ingest;
mod listen;
pub mod machine;
pub mod notify;
pub mod progress;
pub mod pulse;
pub mod recorder;
pub mod registry;
pub mod serve;
pub mod simulation;
pub mod store;
pub mod time;
pub mod tokens;
mod upkeep;
pub mod web;
pub mod zone;
