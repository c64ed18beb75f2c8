//! A message about the monitor itself, sent directly: no database and no outbox, which may be what is broken.
//!
//! It goes over the channels that were read last while the database worked, at most once an hour.

use super::channel::Channel;
use super::notice::Notice;
use super::send::{Message, Sender};
use super::{Settings, start_resolver};
use crate::clock::{Moment, Now};
use crate::monitor::store::Store;
use crate::monitor::zone::Clock;
use crossbeam_channel::bounded;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Between two messages that arrived.
const EVERY: Duration = Duration::from_secs(3600);

/// After a message that arrived nowhere.
const RETRY: Duration = Duration::from_secs(60);

/// Age of the known channels from which they are read again.
const REFRESH: Duration = Duration::from_secs(60);

/// Channels that are sent to at the same time.
const THREADS: usize = 8;

/// No channel is begun with after this long.
const LIMIT: Duration = Duration::from_secs(60);

/// The channels that were read last, and when a message may be sent next.
#[derive(Debug, Default)]
pub struct SelfAlert {
    channels: Vec<Channel>,
    refreshed: Option<Instant>,
    not_before: Option<Instant>,
}

impl SelfAlert {
    /// Reads the enabled channels if they are not known or old; on an error the known ones stay.
    pub fn refresh(&mut self, store: &Store, now: Instant) {
        if self.refreshed.is_some_and(|refreshed| now.saturating_duration_since(refreshed) < REFRESH) {
            return;
        }
        self.refreshed = Some(now);
        match store.enabled_channels() {
            Ok(channels) => self.channels = channels,
            Err(error) => log::debug!("the channels cannot be read, the known ones are kept: {error}"),
        }
    }

    /// Sends `trouble` over all known channels, unless a message was sent less than an hour ago.
    pub fn send(&mut self, settings: &Settings, trouble: &str, now: Now) {
        if self.channels.is_empty() || self.not_before.is_some_and(|not_before| now.monotonic < not_before) {
            return;
        }
        let arrived = deliver(&self.channels, settings, trouble, now.wall);
        self.not_before = Some(now.monotonic + if arrived > 0 { EVERY } else { RETRY });
        log::info!("notified people directly over {arrived} of {} channels", self.channels.len());
    }
}

/// Sends over every channel, on a few threads. Returns how many receivers accepted the message.
fn deliver(channels: &[Channel], settings: &Settings, trouble: &str, now: Moment) -> usize {
    let names = match start_resolver() {
        Ok(names) => names,
        Err(error) => {
            log::warn!("people cannot be notified directly: no resolver thread: {error}");
            return 0;
        }
    };
    let sender = Sender::new(settings.clone(), names);
    // No row of the outbox has a negative id.
    let message =
        Message { rows: vec![-now.0], notices: vec![Notice::trouble(trouble, now)], clock: Clock::UTC };
    let (queue, queued) = bounded(channels.len());
    for channel in channels {
        // It holds all of them.
        let _ = queue.send(channel);
    }
    drop(queue);
    let (arrived, deadline) = (AtomicUsize::new(0), Instant::now() + LIMIT);
    let work = || {
        for channel in queued.iter().take_while(|_| Instant::now() < deadline) {
            match sender.send(channel, &message, now) {
                Ok(_) => drop(arrived.fetch_add(1, Ordering::Relaxed)),
                Err(failure) => log::warn!("{}: {}", channel.name(), failure.why()),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..THREADS.min(channels.len()) {
            let started = thread::Builder::new().name("self-alert".into()).spawn_scoped(scope, work);
            if let Err(error) = started {
                // The others, this one at least, do its part.
                log::debug!("no thread: {error}");
            }
        }
        work();
    });
    arrived.into_inner()
}
