//! The last hour in memory, one sample a minute: what the status page draws. Nothing of it is on a disk.

use crate::wire::Heartbeat;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Samples kept: an hour. 60 of them have 3 KiB.
const SAMPLES: usize = 60;

/// One minute in which there was a heartbeat. The values are those of its latest heartbeat.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MinuteSample {
    /// Whole minutes since the daemon began.
    minute: u64,
    /// Transmissions that ended in this minute, retries too.
    pub sent: u64,
    pub acknowledged: u64,
    /// Percent.
    pub cpu: Option<f32>,
    /// Percent.
    pub mem: Option<f32>,
    /// °C.
    pub temp: Option<f32>,
    pub signal_dbm: Option<i32>,
    /// The interface that carried the heartbeats.
    pub uplink: Option<Arc<str>>,
}

/// Ring of the latest samples, the oldest first.
#[derive(Debug)]
pub struct LastHour {
    samples: VecDeque<MinuteSample>,
    begin: Instant,
}

impl LastHour {
    pub fn new(begin: Instant) -> LastHour {
        LastHour { samples: VecDeque::with_capacity(SAMPLES), begin }
    }

    fn minute(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begin).as_secs() / 60
    }

    /// Adds the heartbeats sent and acknowledged since the last call, of which this is the latest.
    pub(super) fn update(&mut self, heartbeat: &Heartbeat, sent: u64, acknowledged: u64, now: Instant) {
        let minute = self.minute(now);
        if self.samples.back().is_none_or(|last| last.minute != minute) {
            if self.samples.len() == SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(MinuteSample { minute, ..MinuteSample::default() });
        }
        let uplink = self.uplink(heartbeat);
        let Some(sample) = self.samples.back_mut() else { return };
        sample.sent += sent;
        sample.acknowledged += acknowledged;
        let values = &heartbeat.values;
        (sample.cpu, sample.mem, sample.temp) = (single(values.cpu), single(values.mem), single(values.temp));
        sample.signal_dbm = heartbeat.connection.wifi.as_ref().and_then(|wifi| wifi.signal_dbm);
        sample.uplink = uplink;
    }

    /// The uplink's name, shared with the samples before as long as it is the same.
    fn uplink(&self, heartbeat: &Heartbeat) -> Option<Arc<str>> {
        let name = heartbeat.connection.active.as_deref()?;
        let known = self.samples.iter().rev().filter_map(|sample| sample.uplink.as_ref());
        let mut same = known.filter(|known| ***known == *name);
        Some(same.next().map_or_else(|| name.into(), Arc::clone))
    }

    /// Each sample of the last hour with its age in whole minutes, the oldest first.
    pub fn at(&self, now: Instant) -> impl Iterator<Item = (u64, &MinuteSample)> {
        let minute = self.minute(now);
        let aged = self.samples.iter().map(move |sample| (minute.saturating_sub(sample.minute), sample));
        aged.filter(|(age, _)| *age < SAMPLES as u64)
    }

    /// Time that the samples can cover: an hour, or since the daemon began.
    pub fn covered(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begin).min(Duration::from_secs(SAMPLES as u64 * 60))
    }
}

/// A tenth is the precision of these values.
fn single(value: Option<f64>) -> Option<f32> {
    value.map(|value| value as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn heartbeat(uplink: &str, cpu: f64) -> Heartbeat {
        let mut heartbeat: Heartbeat = serde_json::from_str(wire::SAMPLE).expect("the sample");
        heartbeat.values.cpu = Some(cpu);
        heartbeat.connection.active = Some(uplink.into());
        heartbeat
    }

    #[test]
    fn a_minute_has_the_values_of_its_latest_heartbeat_and_counts_all_of_them() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut hour = LastHour::new(begin);
        assert_eq!(hour.at(at(0)).count(), 0, "nothing before the first heartbeat");
        hour.update(&heartbeat("eth0", 10.0), 1, 1, at(1));
        hour.update(&heartbeat("eth0", 20.0), 1, 0, at(30));
        hour.update(&heartbeat("wlan0", 30.0), 1, 1, at(61));
        hour.update(&heartbeat("wlan0", 40.0), 1, 1, at(200));
        // A reload publishes the same heartbeat once more.
        hour.update(&heartbeat("wlan0", 40.0), 0, 0, at(201));
        let seen: Vec<_> = hour
            .at(at(200))
            .map(|(age, sample)| {
                (age, sample.uplink.as_deref(), sample.cpu, sample.sent, sample.acknowledged)
            })
            .collect();
        let expected = [
            (3, Some("eth0"), Some(20.0), 2, 1),
            (2, Some("wlan0"), Some(30.0), 1, 1),
            (0, Some("wlan0"), Some(40.0), 1, 1),
        ];
        assert_eq!(seen, expected);
        assert_eq!(hour.covered(at(200)), Duration::from_secs(200));
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let begin = Instant::now();
        let mut hour = LastHour::new(begin);
        let heartbeat = heartbeat("eth0", 1.0);
        for minute in 0..200 {
            hour.update(&heartbeat, 1, 1, begin + Duration::from_secs(60 * minute));
        }
        let now = begin + Duration::from_secs(60 * 199);
        let ages: Vec<u64> = hour.at(now).map(|(age, _)| age).collect();
        assert_eq!((ages.len(), ages.first(), ages.last()), (60, Some(&59), Some(&0)));
        assert_eq!(hour.at(now + Duration::from_secs(60 * 58)).count(), 2, "old samples are not shown");
        assert_eq!(hour.covered(now), Duration::from_secs(3600));
        assert!(size_of::<MinuteSample>() * SAMPLES <= 5 * 1024, "{}", size_of::<MinuteSample>());
    }
}
