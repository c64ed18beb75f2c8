//! Alerts about the monitor itself, sent directly: the database and the outbox may be broken.
//!
//! An alert goes to all channels known from the last time the database worked, at most once an hour, on threads of its
//! own: a receiver that hangs delays no check of the monitor's health.

use super::channel::Channel;
use super::message::Message;
use super::notice::Notice;
use super::send::DeliveryClient;
use super::settings::{NotifySettings, start_resolver};
use crate::clock::{Moment, Now};
use crate::monitor::store::Store;
use crate::monitor::zone::Clock;
use crossbeam_channel::{Receiver, bounded};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Time to the next alert after one that a receiver accepted.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Time to the next attempt if no receiver accepted it.
pub const RETRY: Duration = Duration::from_secs(60);

/// Age at which the known channels are read again.
const REFRESH: Duration = Duration::from_secs(60);

/// Channels served at the same time.
const THREADS: usize = 8;

/// After this time no further delivery starts.
const LIMIT: Duration = Duration::from_secs(60);

/// The known channels, and when the next alert may be sent.
#[derive(Debug, Default)]
pub struct SelfAlert {
    channels: Arc<[Channel]>,
    refreshed: Option<Instant>,
    not_before: Option<Instant>,
    /// Receives the number of receivers that accepted the alert in flight.
    in_flight: Option<Receiver<usize>>,
}

impl SelfAlert {
    /// Reads the enabled channels if the known ones are old; keeps those if the database fails.
    pub fn refresh(&mut self, store: &Store, now: Instant) {
        self.collect(now);
        if self.refreshed.is_some_and(|refreshed| now.saturating_duration_since(refreshed) < REFRESH) {
            return;
        }
        self.refreshed = Some(now);
        match store.enabled_channels() {
            Ok(channels) => self.channels = channels.into(),
            Err(error) => log::debug!("cannot read the channels, keeping the known ones: {error}"),
        }
    }

    /// Starts an alert to all known channels, unless one is in flight or less than an hour old.
    pub fn send(&mut self, settings: &NotifySettings, trouble: &str, now: Now) {
        self.collect(now.monotonic);
        let is_early = self.not_before.is_some_and(|not_before| now.monotonic < not_before);
        if self.channels.is_empty() || self.in_flight.is_some() || is_early {
            return;
        }
        match start_alert(self.channels.clone(), settings, trouble, now.wall) {
            Ok(in_flight) => self.in_flight = Some(in_flight),
            Err(error) => {
                log::warn!("cannot alert people directly, no thread: {error}");
                self.not_before = Some(now.monotonic + RETRY);
            }
        }
    }

    /// Schedules the next alert once the one in flight has ended.
    fn collect(&mut self, now: Instant) {
        let ended = self.in_flight.as_ref().and_then(|in_flight| in_flight.try_recv().ok());
        if let Some(accepted) = ended {
            self.in_flight = None;
            self.not_before = Some(now + if accepted > 0 { INTERVAL } else { RETRY });
        }
    }
}

/// Starts an alert over these channels. The receiver gets the number of receivers that accepted it.
///
/// # Errors
/// No thread can be started.
pub fn start_alert(
    channels: Arc<[Channel]>,
    settings: &NotifySettings,
    trouble: &str,
    now: Moment,
) -> io::Result<Receiver<usize>> {
    let (result, in_flight) = bounded(1);
    let (settings, trouble) = (settings.clone(), trouble.to_owned());
    let work = move || {
        let accepted = deliver(&channels, &settings, &trouble, now);
        log::info!("alerted people directly over {accepted} of {} channels", channels.len());
        // Disconnected: the monitor is stopping.
        let _ = result.send(accepted);
    };
    thread::Builder::new().name("self-alert".into()).spawn(work).map(|_| in_flight)
}

/// Sends over all channels on a few threads. Returns how many receivers accepted the alert.
fn deliver(channels: &[Channel], settings: &NotifySettings, trouble: &str, now: Moment) -> usize {
    let names = match start_resolver() {
        Ok(names) => names,
        Err(error) => {
            log::warn!("cannot alert people directly, no resolver thread: {error}");
            return 0;
        }
    };
    let client = DeliveryClient::new(settings.clone(), names);
    // Negative, unlike the ids of the outbox.
    let message = Message {
        rows: vec![-now.0],
        notices: vec![Notice::trouble(trouble, now)],
        clock: Clock::UTC,
        site: None,
        acknowledge: None,
    };
    let (queue, queued) = bounded(channels.len());
    for channel in channels {
        // The queue has room for all.
        let _ = queue.send(channel);
    }
    drop(queue);
    let (accepted, deadline) = (AtomicUsize::new(0), Instant::now() + LIMIT);
    let work = || {
        for channel in queued.iter().take_while(|_| Instant::now() < deadline) {
            match client.send(channel, &message, now) {
                Ok(_) => drop(accepted.fetch_add(1, Ordering::Relaxed)),
                Err(error) => log::warn!("{}: {}", channel.name(), error.why()),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..THREADS.min(channels.len()) {
            let started = thread::Builder::new().name("self-alert".into()).spawn_scoped(scope, work);
            if let Err(error) = started {
                // The other threads, at least this one, do its part.
                log::debug!("no thread: {error}");
            }
        }
        work();
    });
    accepted.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::notify::channel::ChannelId;
    use crate::monitor::notify::channel::ChannelKind;
    use std::net::TcpListener;

    #[test]
    fn a_hanging_receiver_delays_nothing_and_gets_one_alert() {
        let receiver = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let target = format!("http://{}/", receiver.local_addr().expect("bound"));
        let channel = Channel::bare(ChannelId(1), ChannelKind::Webhook, target);
        let mut alert = SelfAlert { channels: vec![channel].into(), ..SelfAlert::default() };
        let settings = NotifySettings { allow_private_webhooks: true, ..NotifySettings::default() };
        let begin = Instant::now();
        alert.send(&settings, "the disk is full", Now::read());
        let (first, _) = receiver.accept().expect("the alert");
        alert.send(&settings, "the disk is full", Now::read().plus(INTERVAL));
        assert!(begin.elapsed() < settings.timeout, "{:?}", begin.elapsed());
        receiver.set_nonblocking(true).expect("set");
        assert!(receiver.accept().is_err(), "the first one is still in flight");
        drop(first);
        let accepted = alert.in_flight.as_ref().expect("in flight").recv_timeout(settings.timeout);
        assert_eq!(accepted, Ok(0));
    }
}
