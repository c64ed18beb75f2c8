//! What systemd is told: ready, status, alive, stopping. Without `$NOTIFY_SOCKET` nothing happens.

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

/// Tells systemd's watchdog that the loop which owns it makes progress.
///
/// It is fed by passes of that loop and by nothing else: a server that does not answer must never have the
/// daemon restarted, a loop that is stuck must.
#[derive(Debug)]
pub struct Watchdog {
    /// `None` where nobody listens: then it costs no wake-up.
    every: Option<Duration>,
    fed: Instant,
    /// The status line is not true any more.
    news: bool,
}

/// How often the status line is renewed where no watchdog asks for more.
const STATUS_EVERY: Duration = Duration::from_secs(10);

impl Watchdog {
    /// The period is a third of systemd's `WatchdogSec=` (`$WATCHDOG_USEC`): two may be lost.
    pub fn from_environment(now: Instant) -> Watchdog {
        let listener = std::env::var_os("NOTIFY_SOCKET");
        let every = sd_notify::watchdog_enabled().map_or(STATUS_EVERY, |limit| limit / 3);
        Watchdog { every: listener.map(|_| every), fed: now, news: false }
    }

    /// When the loop has to pass again, at the latest.
    pub fn due(&self) -> Option<Instant> {
        self.every.map(|every| self.fed + every)
    }

    /// The status line has changed in a way that a person must see at once.
    pub fn has_news(&mut self) {
        self.news = true;
    }

    /// Called in each pass; says something once per period, and where there is news. `status` is systemd's STATUS=
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
        let mut asked = 0;
        for second in 1..=30 {
            watchdog.pass(begin + Duration::from_secs(second), || {
                asked += 1;
                String::new()
            });
        }
        assert_eq!(asked, 3);
        assert_eq!(watchdog.due(), Some(begin + Duration::from_secs(40)));
        watchdog.has_news();
        watchdog.pass(begin + Duration::from_secs(31), || {
            asked += 1;
            String::new()
        });
        assert_eq!(asked, 4, "news does not wait");
    }
}
