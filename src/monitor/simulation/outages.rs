//! Which machines fall silent, and when: a pure function of the seed.

use fastrand::Rng;
use std::time::Duration;

/// More at once could be half of the fleet, which the monitor doubts and reports later.
const MOST_OF_FLEET: usize = 4;

/// An outage that the simulation will cause; times since the begin of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedOutage {
    /// Index of the machine.
    pub machine: usize,
    pub from: Duration,
    pub until: Duration,
    /// The connection is closed, as by a program that was killed. Otherwise it stays open, as without a network.
    pub closes: bool,
}

/// The room for outages.
#[derive(Debug, Clone, Copy)]
pub struct OutageBounds {
    pub machines: usize,
    pub shortest: Duration,
    /// All outages end within it.
    pub window: Duration,
}

impl OutageBounds {
    /// A quarter longer than the shortest: outages end in another order than they begin, and all fit into a short run.
    pub fn longest(&self) -> Duration {
        self.shortest.mul_f64(1.25)
    }

    /// `count` outages, each of another machine: a machine that changes its state more than four times an hour is flapping,
    /// which is announced differently.
    ///
    /// # Errors
    /// A sentence: there are too few machines, or the window is too short.
    pub fn plan(&self, count: usize, seed: u64) -> Result<Vec<PlannedOutage>, String> {
        let most = self.machines / MOST_OF_FLEET;
        if count > most {
            let machines = self.machines;
            return Err(format!(
                "of {machines} machines at most {most} can have an outage: the monitor doubts that half of a fleet \
                 is silent at once"
            ));
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        let Some(room) = self.window.checked_sub(self.longest()) else {
            let missing = (self.longest() - self.window).as_secs_f64();
            return Err(format!(
                "outages last up to {:.0} s here: the run must be at least {missing:.1} s longer",
                self.longest().as_secs_f64()
            ));
        };
        let mut random = Rng::with_seed(seed);
        let machines = random.choose_multiple(0..self.machines, count);
        Ok(machines.into_iter().map(|machine| self.outage(machine, room, &mut random)).collect())
    }

    fn outage(&self, machine: usize, room: Duration, random: &mut Rng) -> PlannedOutage {
        let from = room.mul_f64(random.f64());
        let length = self.shortest + (self.longest() - self.shortest).mul_f64(random.f64());
        PlannedOutage { machine, from, until: from + length, closes: random.bool() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const SECOND: Duration = Duration::from_secs(1);

    fn bounds(machines: usize, window: u32) -> OutageBounds {
        OutageBounds { machines, shortest: SECOND * 10, window: SECOND * window }
    }

    #[test]
    fn each_outage_has_a_machine_of_its_own_and_fits_into_the_window() {
        for seed in 0..100 {
            let outages = bounds(400, 60).plan(100, seed).expect("a plan");
            let machines: HashSet<_> = outages.iter().map(|outage| outage.machine).collect();
            assert_eq!(machines.len(), 100);
            for outage in outages {
                let length = outage.until - outage.from;
                assert!(outage.machine < 400 && outage.until <= SECOND * 60, "{outage:?}");
                assert!(length >= SECOND * 10 && length <= SECOND.mul_f64(12.5), "{outage:?}");
            }
        }
    }

    #[test]
    fn the_seed_decides_all() {
        let plan = |seed| bounds(100, 60).plan(20, seed).expect("a plan");
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        assert!(bounds(20, 60).plan(6, 1).is_err_and(|why| why.contains("at most 5")));
        assert!(bounds(20, 12).plan(1, 1).is_err_and(|why| why.contains("0.5 s longer")));
        assert_eq!(bounds(20, 13).plan(5, 1).map(|plan| plan.len()), Ok(5));
        assert_eq!(bounds(20, 1).plan(0, 1), Ok(Vec::new()));
        assert_eq!(bounds(0, 1).plan(0, 1), Ok(Vec::new()));
    }
}
