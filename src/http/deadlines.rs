//! One deadline per connection, in constant time: all deadlines of a kind have the same length, so the order in which
//! they were set is the order in which they end.

use super::limits::Limits;
use std::time::{Duration, Instant};

/// In effect no deadline; adding Duration::MAX to an Instant would overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The current wait of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The rest of a request, or the first one.
    Request,
    /// The next request of an unauthenticated client.
    Idle,
    /// The next request of an authenticated client: evicted after the others.
    IdleAuthenticated,
    /// The handler's response.
    Answer,
    /// The client, to read the response.
    Write,
    /// The client, to read a part of a file; the disk, to deliver it.
    Download,
    /// The client, to close its side.
    Linger,
}

/// In the order of their numbers.
const KINDS: [Wait; 7] = [
    Wait::Request,
    Wait::Idle,
    Wait::IdleAuthenticated,
    Wait::Answer,
    Wait::Write,
    Wait::Download,
    Wait::Linger,
];

/// Deadlines by connection index; a list per [`Wait`], linked through `nodes`.
#[derive(Debug)]
pub(super) struct Deadlines {
    lengths: [Duration; KINDS.len()],
    ends: [Ends; KINDS.len()],
    nodes: Vec<Option<Node>>,
}

/// First and last node of a list.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    first: Option<u32>,
    last: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    wait: Wait,
    at: Instant,
    previous: Option<u32>,
    next: Option<u32>,
}

impl Deadlines {
    pub(super) fn new(limits: &Limits) -> Deadlines {
        let lengths = KINDS.map(|wait| match wait {
            Wait::Request => limits.request,
            Wait::Idle | Wait::IdleAuthenticated => limits.idle,
            Wait::Answer => limits.answer,
            Wait::Write => limits.write,
            Wait::Download => limits.progress,
            Wait::Linger => limits.linger,
        });
        let lengths = lengths.map(|length| length.min(LONGEST));
        Deadlines { lengths, ends: Default::default(), nodes: Vec::new() }
    }

    /// Replaces the connection's deadline. `now` must not go back between two calls.
    pub(super) fn set(&mut self, index: u32, wait: Wait, now: Instant) {
        self.clear(index);
        let slot = index as usize;
        if self.nodes.len() <= slot {
            self.nodes.resize(slot + 1, None);
        }
        let ends = &mut self.ends[wait as usize];
        let previous = ends.last.replace(index);
        let at = now + self.lengths[wait as usize];
        self.nodes[slot] = Some(Node { wait, at, previous, next: None });
        match previous.and_then(|previous| self.nodes[previous as usize].as_mut()) {
            Some(previous) => previous.next = Some(index),
            None => ends.first = Some(index),
        }
    }

    pub(super) fn clear(&mut self, index: u32) {
        let Some(node) = self.nodes.get_mut(index as usize).and_then(Option::take) else { return };
        let ends = &mut self.ends[node.wait as usize];
        match node.previous.and_then(|previous| self.nodes[previous as usize].as_mut()) {
            Some(previous) => previous.next = node.next,
            None => ends.first = node.next,
        }
        match node.next.and_then(|next| self.nodes[next as usize].as_mut()) {
            Some(next) => next.previous = node.previous,
            None => ends.last = node.previous,
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        KINDS.iter().filter_map(|&wait| self.first(wait)).map(|(_, at)| at).min()
    }

    /// Removes and returns a deadline that has passed.
    pub(super) fn passed(&mut self, now: Instant) -> Option<(u32, Wait)> {
        let (index, wait) = KINDS.iter().find_map(|&wait| {
            let (index, at) = self.first(wait)?;
            (at <= now).then_some((index, wait))
        })?;
        self.clear(index);
        Some((index, wait))
    }

    /// The connection that has been in this wait the longest.
    pub(super) fn longest(&self, wait: Wait) -> Option<u32> {
        self.first(wait).map(|(index, _)| index)
    }

    /// The same, if it has been for `least` at `now`.
    pub(super) fn longer_than(&self, least: Duration, wait: Wait, now: Instant) -> Option<u32> {
        let (index, at) = self.first(wait)?;
        let has_waited = self.lengths[wait as usize].saturating_sub(at.saturating_duration_since(now));
        (has_waited >= least).then_some(index)
    }

    fn first(&self, wait: Wait) -> Option<(u32, Instant)> {
        let index = self.ends[wait as usize].first?;
        self.nodes[index as usize].map(|node| (index, node.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn deadlines_pass_in_order_after_resets_and_clears() {
        let (mut deadlines, start) = (Deadlines::new(&Limits::default()), Instant::now());
        for index in 0..5 {
            deadlines.set(index, Wait::Request, start + SECOND * index);
        }
        deadlines.set(1, Wait::Request, start + SECOND * 5);
        deadlines.set(4, Wait::Idle, start + SECOND * 5);
        deadlines.clear(2);
        deadlines.clear(2);
        deadlines.clear(77);
        assert_eq!(deadlines.next(), Some(start + SECOND * 10));
        assert_eq!(deadlines.passed(start + SECOND * 9), None);
        let mut passed = Vec::new();
        while let Some(at) = deadlines.next() {
            assert_eq!(deadlines.passed(at - SECOND / 1_000), None);
            passed.push((deadlines.passed(at).expect("one has passed"), (at - start).as_secs()));
        }
        let request = |index, at| ((index, Wait::Request), at);
        assert_eq!(passed, [request(0, 10), request(3, 13), request(1, 15), ((4, Wait::Idle), 80)]);
    }

    #[test]
    fn a_list_stays_whole_under_random_changes() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut deadlines, start) = (Deadlines::new(&Limits::default()), Instant::now());
        let mut expected = std::collections::HashMap::new();
        for step in 0..20_000_u32 {
            let (index, now) = (random.u32(0..50), start + SECOND / 1_000 * step);
            if random.u8(0..4) == 0 {
                deadlines.clear(index);
                expected.remove(&index);
            } else {
                let wait = KINDS[random.usize(0..KINDS.len())];
                deadlines.set(index, wait, now);
                expected.insert(index, now + deadlines.lengths[wait as usize]);
            }
            assert_eq!(deadlines.next(), expected.values().min().copied());
        }
        let end = start + SECOND * 1_000;
        let passed: Vec<u32> = std::iter::from_fn(|| deadlines.passed(end)).map(|(index, _)| index).collect();
        assert_eq!(passed.len(), expected.len());
    }
}
