//! Compares the outages that the simulation has caused with the alerts that it has received, one by one. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// An outage as it was; times since the start of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CausedOutage {
    /// Number of the machine.
    pub machine: u32,
    /// When the last acknowledged heartbeat left.
    pub heard: Duration,
    /// After this the monitor cannot have heard the machine.
    pub silent: Duration,
    /// When the first heartbeat afterwards left, and when one was acknowledged.
    pub resumed: Option<Duration>,
    pub acknowledged: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertKind {
    Offline,
    Online,
    /// The monitor says that a machine comes and goes, which no machine of the simulation does.
    Flapping,
}

/// A verified message about a machine of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedAlert {
    /// `X-Webhook-Id`, the same for a repeated delivery.
    pub id: i64,
    pub machine: u32,
    pub kind: AlertKind,
    pub at: Duration,
}

/// When a message is due.
#[derive(Debug, Clone, Copy)]
pub struct AlertDeadlines {
    pub threshold: Duration,
    pub check_interval: Duration,
    /// For the delivery.
    pub slack: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// No such message.
    Missing,
    /// A second message about the same change.
    Doubled,
    /// A message about something that has not happened.
    False,
    Late,
}

/// A message that should not be, or one that should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertFault {
    pub kind: FaultKind,
    pub machine: u32,
    pub about: AlertKind,
    /// What has happened when.
    pub details: String,
}

/// The result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    pub outages: usize,
    /// Messages that are as they should be.
    pub offline: usize,
    pub online: usize,
    /// Messages that have not come and are not due yet.
    pub pending: usize,
    /// Deliveries with a known id.
    pub repeated: usize,
    /// From the earliest possible moment to the message, the longest.
    pub offline_delay: Duration,
    pub online_delay: Duration,
    pub faults: Vec<AlertFault>,
}

impl AlertDeadlines {
    fn offline_from(&self, outage: &CausedOutage) -> Duration {
        outage.heard + self.threshold
    }

    fn offline_by(&self, outage: &CausedOutage) -> Duration {
        outage.silent + self.threshold + self.check_interval + self.slack
    }

    /// An outage that is shorter may end before it is announced.
    pub fn shortest_outage(&self) -> Duration {
        self.threshold + self.check_interval + self.slack
    }
}

/// Both messages of an outage, when they arrived.
#[derive(Debug, Default, Clone, Copy)]
struct Announced {
    offline: Option<Duration>,
    online: Option<Duration>,
}

/// Compares everything up to `end`, when the simulation stopped listening.
pub fn judge(
    outages: &[CausedOutage],
    alerts: &[ReceivedAlert],
    deadlines: &AlertDeadlines,
    end: Duration,
) -> Verdict {
    let mut machines: BTreeMap<u32, (Vec<CausedOutage>, Vec<ReceivedAlert>)> = BTreeMap::new();
    for outage in outages {
        machines.entry(outage.machine).or_default().0.push(*outage);
    }
    for alert in alerts {
        machines.entry(alert.machine).or_default().1.push(*alert);
    }
    let mut verdict = Verdict { outages: outages.len(), ..Verdict::default() };
    for (mut outages, mut alerts) in machines.into_values() {
        outages.sort_by_key(|outage| outage.silent);
        alerts.sort_by_key(|alert| alert.at);
        verdict.judge_machine(&outages, &alerts, deadlines, end);
    }
    verdict
}

impl Verdict {
    fn judge_machine(
        &mut self,
        outages: &[CausedOutage],
        alerts: &[ReceivedAlert],
        deadlines: &AlertDeadlines,
        end: Duration,
    ) {
        let mut announced = vec![Announced::default(); outages.len()];
        let mut ids = Vec::new();
        for alert in alerts {
            if ids.contains(&alert.id) {
                self.repeated += 1;
                continue;
            }
            ids.push(alert.id);
            match alert.kind {
                AlertKind::Offline => self.offline(alert, outages, &mut announced, deadlines),
                AlertKind::Online => self.online(alert, outages, &mut announced, deadlines),
                AlertKind::Flapping => {
                    self.fault(FaultKind::False, alert, "it changed only as planned".into());
                }
            }
        }
        for (outage, announced) in outages.iter().zip(announced) {
            self.missing(outage, announced, deadlines, end);
        }
    }

    fn offline(
        &mut self,
        alert: &ReceivedAlert,
        outages: &[CausedOutage],
        announced: &mut [Announced],
        deadlines: &AlertDeadlines,
    ) {
        let Some(place) = outages.iter().rposition(|outage| outage.heard <= alert.at) else {
            return self.fault(FaultKind::False, alert, "there was no outage".into());
        };
        let (outage, announced) = (&outages[place], &mut announced[place]);
        let (from, by) = (deadlines.offline_from(outage), deadlines.offline_by(outage));
        if announced.online.is_some() {
            self.fault(FaultKind::False, alert, format!("{}, which was announced as over", shown(outage)));
        } else if let Some(first) = announced.offline {
            self.fault(FaultKind::Doubled, alert, format!("the first was at {}", seconds(first)));
        } else if alert.at < from {
            self.fault(FaultKind::False, alert, format!("{}: due from {}", shown(outage), seconds(from)));
        } else {
            announced.offline = Some(alert.at);
            self.offline_delay = self.offline_delay.max(alert.at - from);
            match alert.at > by {
                true => self.fault(FaultKind::Late, alert, format!("due by {}", seconds(by))),
                false => self.offline += 1,
            }
        }
    }

    fn online(
        &mut self,
        alert: &ReceivedAlert,
        outages: &[CausedOutage],
        announced: &mut [Announced],
        deadlines: &AlertDeadlines,
    ) {
        let has_resumed = |outage: &CausedOutage| outage.resumed.is_some_and(|resumed| resumed <= alert.at);
        let Some(place) = outages.iter().rposition(has_resumed) else {
            return self.fault(FaultKind::False, alert, "no outage was over".into());
        };
        let (outage, announced) = (&outages[place], &mut announced[place]);
        let acknowledged = outage.acknowledged.unwrap_or(alert.at);
        let by = acknowledged + deadlines.slack;
        if let Some(first) = announced.online {
            return self.fault(FaultKind::Doubled, alert, format!("the first was at {}", seconds(first)));
        }
        announced.online = Some(alert.at);
        self.online_delay = self.online_delay.max(alert.at.saturating_sub(acknowledged));
        if announced.offline.is_none() {
            self.fault(FaultKind::False, alert, format!("{} was not announced before", shown(outage)));
        } else if alert.at > by {
            self.fault(FaultKind::Late, alert, format!("due by {}", seconds(by)));
        } else {
            self.online += 1;
        }
    }

    /// Messages whose deadline has not passed are not missing yet.
    fn missing(
        &mut self,
        outage: &CausedOutage,
        announced: Announced,
        deadlines: &AlertDeadlines,
        end: Duration,
    ) {
        let online_by = outage.acknowledged.map(|acknowledged| acknowledged + deadlines.slack);
        let messages = [
            (AlertKind::Offline, announced.offline, Some(deadlines.offline_by(outage))),
            (AlertKind::Online, announced.online, online_by),
        ];
        for (about, message, by) in messages {
            let Some(by) = by.filter(|_| message.is_none()) else { continue };
            if by > end {
                self.pending += 1;
                continue;
            }
            let (kind, machine) = (FaultKind::Missing, outage.machine);
            self.faults.push(AlertFault { kind, machine, about, details: shown(outage) });
        }
    }

    fn fault(&mut self, kind: FaultKind, alert: &ReceivedAlert, details: String) {
        let details = format!("message {} at {}: {details}", alert.id, seconds(alert.at));
        self.faults.push(AlertFault { kind, machine: alert.machine, about: alert.kind, details });
    }

    pub fn count(&self, kind: FaultKind) -> usize {
        self.faults.iter().filter(|fault| fault.kind == kind).count()
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn shown(outage: &CausedOutage) -> String {
    let until = outage.acknowledged.map_or("the end".into(), seconds);
    format!("silent from {} to {until}", seconds(outage.heard))
}

impl fmt::Display for AlertFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FaultKind::Missing => "missing",
            FaultKind::Doubled => "doubled",
            FaultKind::False => "false",
            FaultKind::Late => "late",
        };
        let about = match self.about {
            AlertKind::Offline => "offline",
            AlertKind::Online => "online",
            AlertKind::Flapping => "flapping",
        };
        write!(f, "{kind} simulated-{} {about}: {}", self.machine, self.details)
    }
}

#[cfg(test)]
mod tests;
