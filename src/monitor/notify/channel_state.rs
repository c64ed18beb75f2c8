//! The dispatcher's state of a channel: its pace, and which of its failures were logged.

use super::http::without_response;
use super::pace::ChannelPace;
use crate::monitor::log_limit::LogLimit;
use crate::monitor::notify::outbox::backlog::QueueLook;
use log::{debug, warn};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// A failing channel is logged once an hour per reason, with a minute between different reasons.
const LOG_INTERVAL: Duration = Duration::from_secs(3600);
const LOG_DISTANCE: Duration = Duration::from_secs(60);

/// The state of a channel while it has pending messages, and shortly after.
pub struct ChannelState {
    pub pace: ChannelPace,
    pub look: QueueLook,
    /// By reason of the failure.
    pub log_limit: LogLimit<String>,
    /// A failure was logged and no success since.
    pub has_logged_failure: bool,
    /// Rows of a grouped message that was refused: each is sent alone.
    pub alone: HashSet<i64>,
}

impl Default for ChannelState {
    fn default() -> ChannelState {
        ChannelState {
            pace: ChannelPace::default(),
            look: QueueLook::default(),
            log_limit: LogLimit::spaced(LOG_INTERVAL, LOG_DISTANCE),
            has_logged_failure: false,
            alone: HashSet::new(),
        }
    }
}

impl ChannelState {
    /// Logs a failure, at level debug if its reason was logged recently.
    pub fn log_failure(&mut self, why: &str, sentence: &str, now: Instant) {
        if self.log_limit.is_due(without_response(why).to_owned(), now) {
            warn!("{sentence}");
            self.has_logged_failure = true;
        } else {
            debug!("{sentence}");
        }
    }
}
