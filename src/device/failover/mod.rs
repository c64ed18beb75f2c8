//! Keeps the machine on the best uplink: one thread on one `poll`.
//!
//! ```text
//! netlink events, readings ─┐
//! probes, gateways ─────────┼─► apply ─► decide ─► dialer, backend, cut, status, trigger
//! mailbox ───────────────────┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `context` | the other parts of the daemon that the thread uses |
//! | `watch` | the loop: what is waited for, and what follows from it |
//! | `decide`, `decision`, `health`, `passage`, `role`, `hold_down` | which uplink is used: pure |
//! | `names`, `lock` | which interfaces are uplinks; whether another program forbids a switch |
//! | `links` | what the kernel says of links, addresses and default routes |
//! | `gateway_probe`, `upstream_probe`, `portal`, `targets` | whether the gateway, the internet and the server answer over an uplink |
//! | `backend`, `routes`, `networkmanager` | the changes to the machine |
//! | `handle`, `status`, `proofs` | what other threads send to this one, and read of it |
//! | `journal`, `doctor` | what the log says; what can be said without the thread |

mod backend;
mod context;
pub mod decide;
pub mod decision;
mod doctor;
pub mod gateway_probe;
pub mod handle;
pub mod health;
pub mod hold_down;
mod journal;
pub mod links;
mod lock;
mod names;
pub mod networkmanager;
mod passage;
pub mod portal;
mod proofs;
mod role;
pub mod routes;
pub mod status;
mod targets;
pub mod upstream_probe;
mod watch;

use super::config;
use super::os::wait::wait_for;
use crate::clock::remaining;
pub use context::FailoverContext;
pub use doctor::examine;
use handle::{FailoverEvent, FailoverMailbox};
use rustix::event::{PollFd, PollFlags};
use std::time::{Duration, Instant};
use watch::{End, FailoverLoop};

/// Pause before a restart after an error of the thread's own sockets.
const RESTART: Duration = Duration::from_secs(5);

/// Runs until a stop event, or until the last [`handle::Failover`] is dropped; removes the daemon's routes at the end.
pub fn run(mut network: config::Network, context: &FailoverContext, mailbox: &FailoverMailbox) {
    loop {
        let end = match network.mode {
            config::Mode::Off => {
                context.dialer.use_uplinks(Vec::new());
                context.status.put(None);
                wait(mailbox, None)
            }
            _ => match FailoverLoop::start(&network, context).and_then(|mut watch| watch.run(mailbox)) {
                Ok(end) => Some(end),
                Err(error) => {
                    log::error!("failover: {error}; restarting failover in {} s", RESTART.as_secs());
                    wait(mailbox, Some(Instant::now() + RESTART))
                }
            },
        };
        match end {
            Some(End::Reload(newer)) => network = *newer,
            Some(End::Stop) => return,
            None => {}
        }
    }
}

/// Waits until `until` for an event that ends the current configuration.
fn wait(mailbox: &FailoverMailbox, until: Option<Instant>) -> Option<End> {
    loop {
        match mailbox.next() {
            Some(FailoverEvent::Reload(network)) => return Some(End::Reload(network)),
            Some(FailoverEvent::Stop) => return Some(End::Stop),
            Some(FailoverEvent::Command(_, done)) => {
                done(Err(
                    "failover is not running: [network] mode is \"off\", or it restarts after an error"
                        .into(),
                ));
                continue;
            }
            Some(FailoverEvent::Heartbeat { .. }) => continue,
            None => {}
        }
        let left = until.map(remaining);
        if left.is_some_and(|left| left.is_zero()) {
            return None;
        }
        // An error is a signal's, or it comes again at the next call.
        let woken = wait_for(&mut [PollFd::new(mailbox, PollFlags::IN)], mailbox.park(left));
        mailbox.unpark(woken.unwrap_or_default());
    }
}
