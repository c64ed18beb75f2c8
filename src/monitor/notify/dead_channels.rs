//! Channels over which nothing has arrived for an hour are announced over the others, once, and directly: whoever relies
//! on a dead channel would notice nothing.

use super::channel::ChannelId;
use super::counters::FailingChannel;
use super::self_alert::{RETRY, start_alert};
use super::settings::NotifySettings;
use crate::clock::Now;
use crate::duration::in_words;
use crate::monitor::store::Store;
use crossbeam_channel::{Receiver, TryRecvError};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A channel that has failed for this long without a success counts as dead: shorter outages of receivers are bridged by
/// the retries.
const DEAD_AFTER: Duration = Duration::from_secs(3600);

/// Channels named in one alert.
const MOST_NAMED: usize = 5;

/// Which dead channels were announced.
#[derive(Debug, Default)]
pub struct DeadChannels {
    /// Until they deliver again.
    announced: BTreeSet<ChannelId>,
    /// Receives the number of receivers that accepted the alert in flight, which is about these channels.
    in_flight: Option<(Receiver<usize>, Vec<ChannelId>)>,
    not_before: Option<Instant>,
}

impl DeadChannels {
    /// Announces channels that are dead by now over those that are not. `failing` are the channels that do not deliver.
    pub fn check(
        &mut self,
        store: &Store,
        failing: &[(ChannelId, FailingChannel)],
        settings: &NotifySettings,
        now: Now,
    ) {
        self.collect(now.monotonic);
        self.announced.retain(|announced| failing.iter().any(|(id, _)| id == announced));
        let dead = dead(failing, now.monotonic);
        let is_early = self.not_before.is_some_and(|not_before| now.monotonic < not_before);
        if self.in_flight.is_some() || is_early || dead.iter().all(|(id, _)| self.announced.contains(id)) {
            return;
        }
        if let Err(error) = self.announce(store, &dead, settings, now) {
            log::warn!("cannot announce that channels are dead: {error}");
            self.not_before = Some(now.monotonic + RETRY);
        }
    }

    fn announce(
        &mut self,
        store: &Store,
        dead: &[(ChannelId, &FailingChannel)],
        settings: &NotifySettings,
        now: Now,
    ) -> Result<(), String> {
        let mut others = store.enabled_channels().map_err(|error| error.to_string())?;
        others.retain(|channel| dead.iter().all(|(id, _)| *id != channel.id));
        let new: Vec<_> = dead.iter().filter(|(id, _)| !self.announced.contains(id)).copied().collect();
        let recipients = store.channels().map_err(|error| error.to_string())?;
        let recipient =
            |id| recipients.iter().find(|listed| listed.id == id).map(|listed| listed.recipient.as_str());
        let what = sentence(&new, recipient, now.monotonic);
        log::warn!("{what}; announcing it over {} other channels", others.len());
        let ids: Vec<ChannelId> = new.iter().map(|(id, _)| *id).collect();
        if others.is_empty() {
            self.announced.extend(ids);
        } else {
            let alert = start_alert(others.into(), settings, &what, now.wall);
            self.in_flight = Some((alert.map_err(|error| format!("no thread: {error}"))?, ids));
        }
        Ok(())
    }

    /// Notes the result of the alert in flight: if no receiver accepted it, it is tried again.
    fn collect(&mut self, now: Instant) {
        let Some((accepted, ids)) = &self.in_flight else { return };
        match accepted.try_recv() {
            Err(TryRecvError::Empty) => return,
            Ok(1..) => self.announced.extend(ids),
            Ok(0) | Err(TryRecvError::Disconnected) => self.not_before = Some(now + RETRY),
        }
        self.in_flight = None;
    }
}

fn dead(failing: &[(ChannelId, FailingChannel)], now: Instant) -> Vec<(ChannelId, &FailingChannel)> {
    let is_dead = |failing: &FailingChannel| now.saturating_duration_since(failing.since) >= DEAD_AFTER;
    failing.iter().filter(|(_, failing)| is_dead(failing)).map(|(id, failing)| (*id, failing)).collect()
}

/// "no message arrives over telegram channel 3 (anna) for 60 min: 401: the credentials were not accepted"
fn sentence<'r>(
    dead: &[(ChannelId, &FailingChannel)],
    recipient: impl Fn(ChannelId) -> Option<&'r str>,
    now: Instant,
) -> String {
    let one = |(id, failing): &(ChannelId, &FailingChannel)| {
        let age = in_words(now.saturating_duration_since(failing.since));
        let (kind, recipient) = (failing.kind.name(), recipient(*id).unwrap_or("unknown"));
        format!(
            "no message has arrived over {kind} channel {} ({recipient}) for {age}: {}",
            id.0, failing.why
        )
    };
    let mut parts: Vec<String> = dead.iter().take(MOST_NAMED).map(one).collect();
    if dead.len() > MOST_NAMED {
        parts.push(format!("and over {} more channels", dead.len() - MOST_NAMED));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::notify::channel::ChannelKind;

    #[test]
    fn a_channel_is_dead_after_an_hour_and_many_are_named_shortly() {
        let (begin, hour) = (Instant::now(), DEAD_AFTER);
        let failing = |id| {
            let failing = FailingChannel { kind: ChannelKind::Ntfy, since: begin, why: "404".into() };
            (ChannelId(id), failing)
        };
        let failing: Vec<_> = (1..=7).map(failing).collect();
        assert!(dead(&failing, begin + hour - Duration::from_secs(1)).is_empty());
        let dead = dead(&failing, begin + hour);
        assert_eq!(dead.len(), 7);
        let recipient = |id: ChannelId| (id.0 == 1).then_some("anna");
        assert_eq!(
            sentence(&dead[..1], recipient, begin + hour),
            "no message has arrived over ntfy channel 1 (anna) for 60 min: 404"
        );
        let all = sentence(&dead, recipient, begin + hour * 30);
        assert!(
            all.contains("channel 2 (unknown) for 30 h") && all.ends_with("; and over 2 more channels"),
            "{all}"
        );
    }
}
