//! Notifications to systemd: ready, status, watchdog, stopping. Without `$NOTIFY_SOCKET` they do nothing.

use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// Start-up is finished.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The stop has begun.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("systemd cannot be notified: {error}");
    }
}

/// Notifies systemd's watchdog that the loop which owns it makes progress.
///
/// Only iterations of that loop feed it: an unreachable server must never restart the daemon, a stuck loop must.
#[derive(Debug)]
pub struct Watchdog {
    /// `None` without systemd: then it costs no wake-up.
    every: Option<Duration>,
    fed: Instant,
    /// The status line has changed.
    news: bool,
}

/// Interval of the status line without a watchdog.
const STATUS_EVERY: Duration = Duration::from_secs(10);

impl Watchdog {
    /// The period is a third of systemd's `WatchdogSec=` (`$WATCHDOG_USEC`): two may be lost.
    pub fn from_environment(now: Instant) -> Watchdog {
        let listener = std::env::var_os("NOTIFY_SOCKET");
        let every = sd_notify::watchdog_enabled().map_or(STATUS_EVERY, |limit| limit / 3);
        Watchdog { every: listener.map(|_| every), fed: now, news: false }
    }

    /// Latest time of the loop's next iteration.
    pub fn due(&self) -> Option<Instant> {
        self.every.map(|every| self.fed + every)
    }

    /// Sends the changed status line at the next iteration.
    pub fn has_news(&mut self) {
        self.news = true;
    }

    /// Call it in each iteration; notifies once per period, and after [`Watchdog::has_news`]. `status` is the STATUS=
    /// line.
    pub fn pass(&mut self, now: Instant, status: impl FnOnce() -> String) {
        if self.due().is_some_and(|due| self.news || now >= due) {
            self.fed = now;
            self.news = false;
            notify(&[NotifyState::Watchdog, NotifyState::Status(&status())]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_once_per_period_however_often_the_loop_passes() {
        let begin = Instant::now();
        let mut watchdog = Watchdog { every: Some(Duration::from_secs(10)), fed: begin, news: false };
        let mut evaluated = 0;
        for second in 1..=30 {
            watchdog.pass(begin + Duration::from_secs(second), || {
                evaluated += 1;
                String::new()
            });
        }
        assert_eq!(evaluated, 3);
        assert_eq!(watchdog.due(), Some(begin + Duration::from_secs(40)));
        watchdog.has_news();
        watchdog.pass(begin + Duration::from_secs(31), || {
            evaluated += 1;
            String::new()
        });
        assert_eq!(evaluated, 4, "news does not wait");
    }
}
