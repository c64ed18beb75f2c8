//! Everything that can reach the heartbeat thread.

use super::checks::CheckResult;
use super::dial::Uplink;
use super::servers::Servers;
use crate::device::config;
use crate::ticker::Ticker;
use crate::wire::Reason;
use crossbeam_channel::{Receiver, at, never, select};
use std::time::Instant;

/// The thread's next task.
#[derive(Debug)]
pub enum HeartbeatEvent {
    /// A scheduled heartbeat is due.
    Beat,
    Triggered(Reason),
    /// A copy of the last heartbeat is to be tried over this uplink.
    Copy(Uplink),
    Reload(Box<Reload>),
    /// A failed heartbeat is to be repeated.
    Retry,
    /// The check of a server that is not in use has ended.
    Checked(Box<CheckResult>),
    Watchdog,
    Stop,
}

/// A new configuration, with everything that was made from it.
#[derive(Debug)]
pub struct Reload {
    pub config: config::HeartbeatConfig,
    pub servers: Servers,
    /// Absent if the interval did not change: the schedule continues.
    pub ticker: Option<Ticker>,
}

/// Where events come from.
#[derive(Debug)]
pub struct EventSources {
    pub ticker: Ticker,
    pub triggers: Receiver<Reason>,
    pub copies: Receiver<Uplink>,
    /// Its other end dropped means [`HeartbeatEvent::Stop`].
    pub reloads: Receiver<Reload>,
}

impl EventSources {
    /// Waits for the next event.
    pub fn next(
        &mut self,
        retry_at: Option<Instant>,
        watchdog_at: Option<Instant>,
        checks: &Receiver<Box<CheckResult>>,
    ) -> HeartbeatEvent {
        loop {
            select! {
                recv(self.ticker.due()) -> _ => {
                    self.ticker.advance(Instant::now());
                    return HeartbeatEvent::Beat;
                }
                recv(self.triggers) -> reason => {
                    return reason.map_or(HeartbeatEvent::Stop, HeartbeatEvent::Triggered);
                }
                recv(self.copies) -> uplink => match uplink {
                    Ok(uplink) => return HeartbeatEvent::Copy(uplink),
                    // Failover has ended; a disconnected channel would be ready for ever.
                    Err(_) => self.copies = never(),
                },
                recv(self.reloads) -> reload => {
                    return reload.map_or(HeartbeatEvent::Stop, |reload| HeartbeatEvent::Reload(Box::new(reload)));
                }
                recv(checks) -> result => {
                    return result.map_or(HeartbeatEvent::Stop, HeartbeatEvent::Checked);
                }
                recv(timer(retry_at)) -> _ => return HeartbeatEvent::Retry,
                recv(timer(watchdog_at)) -> _ => return HeartbeatEvent::Watchdog,
            }
        }
    }
}

/// Receives once `due` has come.
fn timer(due: Option<Instant>) -> Receiver<Instant> {
    due.map_or_else(never, at)
}
