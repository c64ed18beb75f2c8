//! The monitor on a server: receives a fleet's heartbeats, detects late machines, and notifies people once. Its start-up and
//! its pages are in `src/bin/heartbeat-monitor/`.
//!
//! ```text
//! http reactor ── beats ──► fleet (memory) ─┐ every five seconds
//!   │        │                              ▼
//!   │        └─ replays, recoveries ─► recorder + sweeper ──┐ one transaction: last_seen,
//!   ▼                                    one thread         ├─ outages, events, outbox
//! workers: read API, enrolment ◄──────────────────────────► store
//!                 couriers ◄── outbox, leased ───────────────────┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `accounts/` | users of the pages: roles, passwords, sessions; the audit log |
//! | `cli`, `command/` | the command line, and what its commands do |
//! | `command_error` | why a command failed, or the monitor did not start |
//! | `listen` | where the monitor listens |
//! | `conditions/` | what a beat says about cameras, power, heat, disk and uplinks, and when that is an incident |
//! | `cameras/` | how long each camera was up and down, per day |
//! | `config/` | the configuration: as written, as used |
//! | `ingest/` | from a request to a beat, in four formats |
//! | `beat` | a heartbeat of any origin, in the one form used inside |
//! | `events` | what happened, for people and programs that read it later |
//! | `fleet` | the newest beat of each machine in memory |
//! | `progress`, `pulse` | whether work makes progress, and the recorder's in particular |
//! | `health` | whether the monitor does its own work, and the message to people if not |
//! | `history/` | the past of a machine, packed |
//! | `rate_limit` | limits of attempts, by account and network |
//! | `recorder` | the thread that owns every machine's status |
//! | `incidents/` | late machines, incidents, and their recipients |
//! | `notify/` | recipients and channels, the outbox, and its delivery |
//! | `own_health` | `/healthz` over the own listener |
//! | `packages/` | packages for devices: the apt repository, the script that installs from it, files for SD cards |
//! | `deadline_stream` | a connection to a mail server or broker, with one deadline for all waits |
//! | `mqtt/` | states of machines over MQTT, with Home Assistant's discovery |
//! | `machine` | what a machine is, and what it may be called |
//! | `maintenance/` | maintenance that recurs each week |
//! | `registry/` | machines and their tokens: who may send, who may read |
//! | `reports/` | how the machines were in the last week or month, for people |
//! | `retention/` | how long events, deliveries and history are kept |
//! | `simulation/` | a fleet to measure with |
//! | `status_pages/` | which groups have a page for everyone, and what it shows |
//! | `store/` | the database: connections, migrations, lock, upkeep |
//! | `api/` | read API, metrics, health |
//! | `transport` | whether a request came from this machine, or over HTTPS |
//! | `watchdog` | pings who watches the monitor, while it works |
//! | `zone` | what a recipient's clock shows: for quiet hours |

pub mod accounts;
pub mod api;
pub mod beat;
pub mod cameras;
pub mod cli;
pub mod command;
pub mod command_error;
pub mod conditions;
pub mod config;
mod deadline_stream;
pub mod events;
pub mod fleet;
pub mod health;
pub mod history;
pub mod incidents;
pub mod ingest;
pub mod instances;
pub mod listen;
pub mod log_limit;
pub mod machine;
pub mod maintenance;
pub mod mqtt;
pub mod notify;
pub mod own_health;
pub mod packages;
pub mod progress;
pub mod pulse;
pub mod rate_limit;
pub mod recorder;
pub mod registry;
pub mod reports;
pub mod retention;
pub mod simulation;
pub mod status_pages;
pub mod store;
pub mod transport;
pub mod watchdog;
pub mod zone;
