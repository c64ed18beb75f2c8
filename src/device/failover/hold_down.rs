//! How long an uplink has to work before it is taken back: longer for one that keeps failing.

use std::time::{Duration, Instant};

/// Losses within [`WINDOW`] that count as flapping (a link that is up 1 s and down 3 s, forever:
/// Raspberry-Pi-OS-64bit#178).
const LOSSES: usize = 3;
const WINDOW: Duration = Duration::from_secs(60);
/// Five minutes on the second-best uplink are bearable; longer would hide a cable that was mended.
const LONGEST: Duration = Duration::from_secs(300);
/// Doubled first if the configured hold-down is 0.
const SHORTEST: Duration = Duration::from_secs(1);

/// The hold-down of one uplink. Each loss beyond the second within a minute doubles it; each minute without one
/// halves it again.
#[derive(Debug, Clone)]
pub struct HoldDown {
    base: Duration,
    length: Duration,
    losses: [Option<Instant>; LOSSES],
}

impl HoldDown {
    pub fn new(base: Duration) -> HoldDown {
        HoldDown { base, length: base, losses: [None; LOSSES] }
    }

    pub fn lost(&mut self, now: Instant) {
        self.length = self.length(now);
        self.losses.rotate_right(1);
        self.losses[0] = Some(now);
        let oldest = self.losses[LOSSES - 1];
        if oldest.is_some_and(|oldest| now.saturating_duration_since(oldest) <= WINDOW) {
            self.length = (self.length.max(SHORTEST) * 2).min(LONGEST.max(self.base));
        }
    }

    pub fn length(&self, now: Instant) -> Duration {
        let Some(last) = self.losses[0] else { return self.base };
        let calm = now.saturating_duration_since(last).as_secs() / WINDOW.as_secs();
        let halvings = u32::try_from(calm).unwrap_or(u32::MAX).min(16);
        (self.length / 2_u32.pow(halvings)).max(self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(5);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn two_losses_a_minute_change_nothing() {
        let (mut hold, start) = (HoldDown::new(BASE), Instant::now());
        for n in 0..20 {
            hold.lost(start + SECOND * 31 * n);
            assert_eq!(hold.length(start + SECOND * 31 * n), BASE);
        }
    }

    #[test]
    fn a_flapping_link_doubles_it_up_to_five_minutes_and_calm_halves_it() {
        let (mut hold, start) = (HoldDown::new(BASE), Instant::now());
        let lengths: Vec<u64> = (0..10)
            .map(|n| {
                hold.lost(start + SECOND * 4 * n);
                hold.length(start + SECOND * 4 * n).as_secs()
            })
            .collect();
        assert_eq!(lengths, [5, 5, 10, 20, 40, 80, 160, 300, 300, 300]);
        let last = start + SECOND * 36;
        let calm = |seconds| hold.length(last + SECOND * seconds).as_secs();
        assert_eq!([calm(59), calm(60), calm(120), calm(300), calm(86_400 * 365)], [300, 150, 75, 9, 5]);
    }

    #[test]
    fn no_hold_at_all_grows_too() {
        let (mut hold, start) = (HoldDown::new(Duration::ZERO), Instant::now());
        (0..3).for_each(|_| hold.lost(start));
        assert_eq!(hold.length(start), SHORTEST * 2);
    }
}
