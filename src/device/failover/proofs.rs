//! When each uplink last proved that it works: an acknowledged heartbeat, or an upstream probe that passed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A device has three or four uplinks; adapters that get a new name each time push out the oldest.
const MOST: usize = 32;

/// Shared by the failover thread and the heartbeat thread; it outlives a reload.
#[derive(Debug, Clone, Default)]
pub struct UplinkProofs(Arc<Mutex<Vec<(String, Instant)>>>);

impl UplinkProofs {
    pub fn note(&self, interface: &str, at: Instant) {
        let mut proofs = self.lock();
        if let Some((_, proven)) = proofs.iter_mut().find(|(name, _)| name == interface) {
            // A probe's result may be applied after a heartbeat that ended later.
            *proven = at.max(*proven);
            return;
        }
        if proofs.len() == MOST {
            let oldest = proofs.iter().enumerate().min_by_key(|(_, (_, proven))| *proven);
            let oldest = oldest.map_or(0, |(place, _)| place);
            proofs.swap_remove(oldest);
        }
        proofs.push((interface.to_owned(), at));
    }

    /// Time since the last proof; `None` without one since the daemon started.
    pub fn age(&self, interface: &str, now: Instant) -> Option<Duration> {
        let proofs = self.lock();
        let (_, proven) = proofs.iter().find(|(name, _)| name == interface)?;
        Some(now.saturating_duration_since(*proven))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_proof_counts_and_names_without_end_take_a_bounded_room() {
        let proofs = UplinkProofs::default();
        let begin = Instant::now();
        assert_eq!(proofs.age("eth0", begin), None);
        proofs.note("eth0", begin + Duration::from_secs(9));
        proofs.note("eth0", begin);
        assert_eq!(proofs.age("eth0", begin + Duration::from_secs(12)), Some(Duration::from_secs(3)));
        for number in 10..100 {
            proofs.note(&format!("enx{number}"), begin + Duration::from_secs(number));
        }
        assert_eq!(proofs.lock().len(), MOST);
        assert_eq!(proofs.age("eth0", begin), None, "the oldest is gone");
        assert!(proofs.age("enx99", begin).is_some() && proofs.age("enx68", begin).is_some());
    }
}
