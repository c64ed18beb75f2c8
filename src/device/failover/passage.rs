//! Whether heartbeats pass over an uplink that accepts connections, and when a copy of one is tried over it. TCP probes
//! say nothing of that: a login page, a filter and an MTU hole accept them all.
//!
//! ```text
//! Open ── 2 undelivered, then another uplink delivers ──► Questioned (a copy at once)
//! Questioned ── one more undelivered ──► Blocked (a copy after a link event)
//! any ── a heartbeat or a copy of one gets through ──► Open
//! ```
//! After the first one, copies follow in 30 s, 60 s ... 10 min.
//! The copy that answers the question distinguishes a dead uplink from a server that was down and is back.

use crate::device::heartbeat::delivery::{Evidence, TOO_MANY};
use std::time::{Duration, Instant};

/// Until the first copy over a blocked uplink; doubled with each copy, because a copy costs bytes on a metered line.
const FIRST_COPY: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Copies are this far apart however often the link flaps.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);

/// Whether heartbeats pass over one uplink.
#[derive(Debug, Clone)]
pub struct Passage {
    state: PassageState,
    /// Undelivered heartbeats in a row.
    undelivered: u32,
    /// When a copy is due.
    copy: Option<Instant>,
    last_copy: Option<Instant>,
    wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PassageState {
    Open,
    /// Another uplink delivers, and this one did not.
    Questioned,
    /// `portal`: something answered in the server's place.
    Blocked {
        portal: bool,
    },
}

/// How a [`Passage`] was changed by a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassageChange {
    None,
    Opened,
    Blocked,
}

impl Passage {
    pub fn new() -> Passage {
        Passage { state: PassageState::Open, undelivered: 0, copy: None, last_copy: None, wait: FIRST_COPY }
    }

    /// A heartbeat, or a copy of one, was sent over this uplink.
    pub fn record(&mut self, evidence: Evidence, now: Instant) -> PassageChange {
        if evidence.proves_uplink() {
            let was_blocked = self.is_blocked();
            *self = Passage { last_copy: self.last_copy, ..Passage::new() };
            return if was_blocked { PassageChange::Opened } else { PassageChange::None };
        }
        self.undelivered = self.undelivered.saturating_add(1);
        let intercepted = evidence == Evidence::Intercepted;
        match self.state {
            PassageState::Open => PassageChange::None,
            PassageState::Questioned => {
                self.state = PassageState::Blocked { portal: intercepted };
                self.wait = FIRST_COPY;
                self.schedule_copy(now);
                PassageChange::Blocked
            }
            PassageState::Blocked { portal } => {
                self.state = PassageState::Blocked { portal: portal || intercepted };
                PassageChange::None
            }
        }
    }

    /// Another uplink delivers: if this one does not, a copy is tried over it at once.
    pub fn question(&mut self, now: Instant) {
        if self.state == PassageState::Open && self.undelivered >= TOO_MANY {
            self.state = PassageState::Questioned;
            self.copy_soon(now);
        }
    }

    /// The link, its address or its gateway changed: a blocked uplink may lead elsewhere now.
    pub fn link_changed(&mut self, now: Instant) {
        if self.is_blocked() {
            self.wait = FIRST_COPY;
            self.copy_soon(now);
        }
    }

    /// The carrier or the address is gone. A blocked uplink stays blocked until a heartbeat gets through.
    pub fn link_lost(&mut self) {
        if !self.is_blocked() {
            *self = Passage { last_copy: self.last_copy, ..Passage::new() };
        }
    }

    fn copy_soon(&mut self, now: Instant) {
        self.copy = Some(self.last_copy.map_or(now, |last| now.max(last + SHORTEST_WAIT)));
    }

    pub fn is_blocked(&self) -> bool {
        matches!(self.state, PassageState::Blocked { .. })
    }

    pub fn is_portal(&self) -> bool {
        self.state == PassageState::Blocked { portal: true }
    }

    pub fn copy_due(&self) -> Option<Instant> {
        self.copy
    }

    /// Its result may never come: the copy may have left over another interface.
    pub fn start_copy(&mut self, now: Instant) {
        self.last_copy = Some(now);
        self.schedule_copy(now);
    }

    fn schedule_copy(&mut self, now: Instant) {
        self.copy = Some(now + self.wait);
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Evidence::{Delivered, Intercepted, Lost, Misdirected};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// As after two lost heartbeats, one that another uplink delivered, and a lost copy.
    fn blocked(now: Instant) -> Passage {
        let mut passage = Passage::new();
        for _ in 0..2 {
            assert_eq!(passage.record(Lost, now), PassageChange::None);
        }
        passage.question(now);
        assert_eq!(passage.copy_due(), Some(now));
        passage.start_copy(now);
        assert_eq!(passage.record(Lost, now), PassageChange::Blocked);
        passage
    }

    #[test]
    fn an_uplink_is_blocked_only_when_another_delivers_what_it_does_not() {
        let now = Instant::now();
        let mut passage = Passage::new();
        passage.record(Lost, now);
        passage.question(now);
        assert_eq!(passage.copy_due(), None, "one alone may be the server's restart");
        for _ in 0..9 {
            assert_eq!(
                passage.record(Intercepted, now),
                PassageChange::None,
                "nothing delivers: it is the server"
            );
        }
        passage.question(now);
        passage.start_copy(now);
        assert_eq!(passage.record(Delivered, now), PassageChange::None, "the server was down, and is back");
        assert_eq!(passage.copy_due(), None);
        passage.question(now);
        assert!(!passage.is_blocked() && passage.copy_due().is_none());
    }

    #[test]
    fn copies_are_tried_after_30_s_and_then_ever_more_slowly_until_one_gets_through() {
        let begin = Instant::now();
        let (mut passage, mut now) = (blocked(begin), begin);
        for wait in [30, 60, 120, 240, 480, 600, 600] {
            let due = passage.copy_due().expect("a copy");
            assert_eq!(due - now, seconds(wait));
            now = due;
            passage.start_copy(now);
            assert_eq!(passage.record(Lost, now), PassageChange::None);
        }
        assert_eq!(passage.record(Misdirected, now), PassageChange::Opened, "an answer over verified TLS");
        assert!(!passage.is_blocked() && passage.copy_due().is_none());
    }

    #[test]
    fn copies_that_leave_over_another_interface_become_as_rare() {
        let begin = Instant::now();
        let (mut passage, mut now) = (Passage::new(), begin);
        (0..TOO_MANY).for_each(|_| _ = passage.record(Lost, now));
        passage.question(now);
        for wait in [0, 30, 60, 120, 240, 480, 600, 600] {
            let due = passage.copy_due().expect("a copy");
            assert_eq!(due - now, seconds(wait));
            now = due;
            // Its outcome is lost.
            passage.start_copy(now);
        }
        assert_eq!(passage.record(Lost, now), PassageChange::Blocked);
        assert_eq!(passage.copy_due(), Some(now + FIRST_COPY));
    }

    #[test]
    fn a_link_event_has_a_copy_tried_at_once_but_not_at_every_flap() {
        let begin = Instant::now();
        let mut passage = blocked(begin);
        let now = begin + seconds(20);
        passage.link_lost();
        passage.link_changed(now);
        assert_eq!(passage.copy_due(), Some(now));
        passage.start_copy(now);
        passage.link_changed(now + seconds(1));
        assert_eq!(passage.copy_due(), Some(now + SHORTEST_WAIT));
        let mut open = Passage::new();
        open.record(Lost, now);
        open.link_lost();
        open.record(Lost, now);
        open.question(now);
        assert_eq!(open.copy_due(), None, "what was lost before the link went does not count");
    }

    #[test]
    fn what_answers_in_the_servers_place_is_a_portal() {
        let now = Instant::now();
        let mut passage = blocked(now);
        assert!(!passage.is_portal());
        passage.record(Intercepted, now);
        assert!(passage.is_portal() && passage.is_blocked());
    }
}
