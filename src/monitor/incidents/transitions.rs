//! Changes of a machine's status, each in one transaction with its incident, event and outbox rows. Called by the
//! recorder's thread alone.

use crate::clock::Moment;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::fleet::beats::{BEATS, beat_rows};
use crate::monitor::incidents::announce::{Announcer, in_parts};
use crate::monitor::incidents::isolation::is_heard_elsewhere;
use crate::monitor::incidents::late::{LateCriteria, declare_late, declare_standby, doubtful};
use crate::monitor::incidents::status::{set_status, watched};
use crate::monitor::incidents::table::{IncidentKey, UnannouncedOutage, unannounced};
use crate::monitor::incidents::transition::Transition;
use crate::monitor::machine::{DeviceServer, MachineId, MachineStatus};
use crate::monitor::notify::notice::EventKind;
use crate::monitor::notify::outbox::clock_steps;
use crate::monitor::store::sql::{Connection, Transaction, params, rows};
use crate::monitor::store::{Store, StoreError};
use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

/// The result of [`Store::mark_late_offline`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LateMachines {
    Offline(Vec<Transition>),
    /// Half of the online fleet or more; nothing was changed.
    Doubtful(usize),
}

/// The result of [`Store::mark_online`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Returned {
    /// The machines in question that are online now.
    pub online: Vec<MachineId>,
    /// Those that another monitor of the database had heard before.
    pub moved: Vec<MachineId>,
    pub transitions: Vec<Transition>,
}

/// Why a sweep was rolled back.
enum RolledBack {
    Doubtful(usize),
    Failed(StoreError),
}

impl From<StoreError> for RolledBack {
    fn from(error: StoreError) -> RolledBack {
        RolledBack::Failed(error)
    }
}

impl Store {
    /// Marks late machines as offline, `criteria.batch` at most.
    pub fn mark_late_offline(&self, criteria: &LateCriteria) -> Result<LateMachines, StoreError> {
        let marked = self.transact(|transaction| {
            let standby = declare_standby(transaction, criteria)?;
            let late = declare_late(transaction, criteria)?;
            if let Some(late) = doubtful(transaction, criteria, late.len())? {
                return Err(RolledBack::Doubtful(late));
            }
            if late.is_empty() && standby.is_empty() {
                return Ok(Vec::new());
            }
            let announcer = Announcer::new(transaction, criteria.now)?;
            let mut transitions = in_parts(&late, |late| announcer.went_offline(late, criteria.is_isolated))?;
            for machine in standby {
                transitions.push(announcer.became_standby(machine)?);
            }
            Ok(transitions)
        });
        match marked {
            Ok(transitions) => Ok(LateMachines::Offline(transitions)),
            Err(RolledBack::Doubtful(late)) => Ok(LateMachines::Doubtful(late)),
            Err(RolledBack::Failed(error)) => Err(error),
        }
    }

    /// For machines that have sent a heartbeat at the given moment.
    pub fn mark_online(&self, beats: &[(MachineId, Moment)], now: Moment) -> Result<Returned, StoreError> {
        self.write(|transaction| {
            let mut returned = Returned::default();
            let process = self.process();
            let beats = match process {
                None => Cow::Borrowed(beats),
                Some(process) => {
                    let taken = take_over(transaction, process, beats)?;
                    (returned.online, returned.moved) = (taken.online, taken.moved);
                    Cow::Owned(taken.away)
                }
            };
            let (online, away): (Vec<_>, Vec<_>) = watched(transaction, &beats)?
                .into_iter()
                .partition(|known| known.status == MachineStatus::Online);
            let changed = set_status(transaction, away, MachineStatus::Online, process, now)?;
            returned.online.extend(online.iter().chain(&changed).map(|known| known.machine));
            if !changed.is_empty() {
                let announcer = Announcer::new(transaction, now)?;
                returned.transitions = in_parts(&changed, |changed| announcer.came_back(changed))?;
            }
            Ok(returned)
        })
    }

    /// Writes what this monitor is to the devices. Those of which it is a backup that is not in use are on standby; an outage
    /// is over, because the device is alive.
    pub fn set_servers(
        &self,
        beats: &[(MachineId, Moment, DeviceServer)],
        now: Moment,
    ) -> Result<Vec<Transition>, StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE machine_state SET server_role = heard.role
                 FROM (SELECT CAST(value ->> 0 AS BIGINT) AS machine, CAST(value ->> 1 AS BIGINT) AS role
                       FROM json_each(?1)) AS heard
                 WHERE machine_id = heard.machine AND server_role <> heard.role",
                params![rows(beats.iter().map(|(machine, _, server)| (machine.0, *server as i64)))?],
            )?;
            let standby = beats.iter().filter(|(.., server)| *server == DeviceServer::Standby);
            let standby: Vec<_> = standby.map(|&(machine, at, _)| (machine, at)).collect();
            if standby.is_empty() {
                return Ok(Vec::new());
            }
            mark_standby(&Announcer::new(transaction, now)?, self.process(), &standby)
        })
    }

    /// For machines that have announced at the given moment that they are being stopped.
    pub fn mark_stopped(
        &self,
        beats: &[(MachineId, Moment)],
        now: Moment,
    ) -> Result<Vec<Transition>, StoreError> {
        self.write(|transaction| {
            let mut known = watched(transaction, beats)?;
            known.retain(|known| known.status != MachineStatus::Stopped);
            let stopped = set_status(transaction, known, MachineStatus::Stopped, self.process(), now)?;
            let announcer = Announcer::new(transaction, now)?;
            in_parts(&stopped, |stopped| announcer.were_stopped(stopped))
        })
    }

    /// The outages that were not announced when they began, without those in a maintenance or behind a dead machine.
    pub fn unannounced_outages(&self, now: Moment) -> Result<Vec<UnannouncedOutage>, StoreError> {
        self.read(|connection| unannounced(connection, now))
    }

    /// Announces outages that were not announced when they began; `known` are those at the last look. While this monitor
    /// `is_isolated`, those of machines that have other monitors, too, are left out.
    pub fn announce_kept_back(
        &self,
        known: &[UnannouncedOutage],
        is_isolated: bool,
        now: Moment,
    ) -> Result<Vec<Transition>, StoreError> {
        let is_due = |outage: &UnannouncedOutage| !(is_isolated && is_heard_elsewhere(outage));
        // Nearly always there is none, and a reader need not wait for a writer.
        if !known.iter().any(is_due) {
            return Ok(Vec::new());
        }
        self.write(|transaction| {
            let mut outages = unannounced(transaction, now)?;
            outages.retain(is_due);
            let announcer = Announcer::new(transaction, now)?;
            in_parts(&outages, |outages| announcer.are_still_offline(outages))
        })
    }

    /// Announces the flapping machines and conditions that have held one state for `hold`. A condition of a machine that is
    /// not online is unknown, except those that the sweep judges.
    pub fn announce_steady(&self, now: Moment, hold: Duration) -> Result<Vec<Transition>, StoreError> {
        if self.read(|connection| steady(connection, now, now.minus(hold)))?.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|transaction| {
            let steady: Vec<Steady> = steady(transaction, now, now.minus(hold))?;
            let announcer = Announcer::new(transaction, now)?;
            let each = steady.iter().map(|Steady { machine, kind, subject, state, since }| {
                let key = IncidentKey { machine: *machine, kind, subject };
                announcer.became_steady(key, *state, *since)
            });
            each.collect()
        })
    }

    /// After the clock went back: moments in the future would keep a silent machine online until then.
    pub fn forget_the_future(&self, now: Moment) -> Result<(), StoreError> {
        self.write(|transaction| {
            let statements = [
                "UPDATE machine_state SET last_seen = ?1 WHERE last_seen > ?1",
                "UPDATE machine_state SET since = ?1 WHERE since > ?1",
                // Transitions in the future would count as recent, and flapping would not be noticed, until then.
                "UPDATE incident SET ended_at = CASE WHEN ended_at > ?1 THEN ?1 ELSE ended_at END,
                                     notified_at = CASE WHEN notified_at > ?1 THEN ?1 ELSE notified_at END,
                                     began_at = CASE WHEN began_at > ?1 THEN ?1 ELSE began_at END
                 WHERE began_at > ?1 OR ended_at > ?1 OR notified_at > ?1",
                "UPDATE flapping SET steady_at = ?1 WHERE steady_at > ?1",
            ];
            for statement in statements {
                transaction.execute(statement, params![now.0])?;
            }
            clock_steps::forget_the_future(transaction, now)
        })
    }
}

/// A machine or condition that has stopped flapping.
struct Steady {
    machine: MachineId,
    kind: String,
    subject: String,
    state: EventKind,
    /// The last heartbeat of a machine; the last change of a condition.
    since: Moment,
}

/// Those whose state has not changed since `limit`.
fn steady(connection: &Connection<'_>, now: Moment, limit: Moment) -> Result<Vec<Steady>, StoreError> {
    // CROSS JOIN: looks up the state of the few flapping machines, instead of scanning the fleet.
    let sql = "SELECT f.machine_id, f.kind, f.subject, s.status, s.since, s.last_seen,
                      (SELECT max(CASE WHEN i.ended_at > i.began_at THEN i.ended_at ELSE i.began_at END) FROM incident i
                       WHERE i.machine_id = f.machine_id AND i.kind = f.kind AND i.subject = f.subject),
                      EXISTS (SELECT 1 FROM incident i WHERE i.machine_id = f.machine_id AND i.kind = f.kind
                              AND i.subject = f.subject AND i.ended_at IS NULL)
               FROM flapping f CROSS JOIN machine_state s
               WHERE s.machine_id = f.machine_id AND f.steady_at IS NULL AND s.watched = ?2
                 AND NOT EXISTS (SELECT 1 FROM maintenance m WHERE m.machine_id = f.machine_id
                                 AND m.starts_at <= ?1 AND m.ends_at > ?1)";
    let mut steady = Vec::new();
    connection.query_each(sql, params![now.0, true], |row| {
        let (machine, kind) = (MachineId(row.get(0)?), row.get::<String>(1)?);
        let status = MachineStatus::of(row.get(3)?);
        let is_outage = kind == IncidentKey::outage(machine).kind;
        let (state, changed, since) = if is_outage {
            (status.event(), Moment(row.get(4)?), row.get::<Option<i64>>(5)?.map_or(now, Moment))
        } else {
            let changed = row.get::<Option<i64>>(6)?.map_or(now, Moment);
            (condition_state(row.get(7)?), changed, changed)
        };
        let needs_online =
            !is_outage && !Condition::from_name(&kind).is_some_and(Condition::is_judged_by_sweep);
        if changed <= limit && (!needs_online || status == MachineStatus::Online) {
            steady.push(Steady { machine, kind, subject: row.get(2)?, state, since });
        }
        Ok(())
    })?;
    Ok(steady)
}

fn condition_state(is_open: bool) -> EventKind {
    if is_open { EventKind::Condition } else { EventKind::ConditionEnded }
}

impl MachineStatus {
    /// The event that leads to it.
    fn event(self) -> EventKind {
        match self {
            MachineStatus::Offline => EventKind::Offline,
            MachineStatus::Stopped => EventKind::Stopped,
            MachineStatus::Online | MachineStatus::New | MachineStatus::Standby => EventKind::Online,
        }
    }
}

/// For machines that are alive and send their heartbeats to another monitor.
fn mark_standby(
    announcer: &Announcer<'_>,
    process: Option<i64>,
    beats: &[(MachineId, Moment)],
) -> Result<Vec<Transition>, StoreError> {
    let (transaction, now) = (announcer.transaction, announcer.now);
    let known = watched(transaction, beats)?;
    let changed = set_status(transaction, known, MachineStatus::Standby, process, now)?;
    let (back, others): (Vec<_>, Vec<_>) = changed
        .into_iter()
        .filter(|known| known.status != MachineStatus::Standby)
        .partition(|known| matches!(known.status, MachineStatus::Offline | MachineStatus::Stopped));
    let mut transitions = in_parts(&back, |back| announcer.came_back(back))?;
    for known in back.iter().chain(&others) {
        transitions.push(announcer.became_standby(known.machine)?);
    }
    Ok(transitions)
}

/// The beats of [`Store::mark_online`], on a database with several monitors.
#[derive(Default)]
struct TakenOver {
    /// Machines that are online; they are this monitor's now.
    online: Vec<MachineId>,
    /// Of these, and of the others, those that another monitor had heard before.
    moved: Vec<MachineId>,
    /// Of machines that are not online.
    away: Vec<(MachineId, Moment)>,
}

/// A few statements for all of them: after a restart a whole fleet is to be taken over.
fn take_over(
    tx: &Transaction<'_>,
    process: i64,
    beats: &[(MachineId, Moment)],
) -> Result<TakenOver, StoreError> {
    let online = MachineStatus::Online as i64;
    let mut taken = TakenOver::default();
    let mut stale = HashSet::new();
    let mut has_roles = false;
    // A heartbeat that waited while the database could not be reached moves no machine that another monitor has heard later, and
    // ends no outage that was found later.
    tx.query_each(
        &format!(
            "WITH {BEATS}
             SELECT machine_id, seen_by, server_role,
                    last_seen IS NOT NULL AND (beat.at < last_seen OR status <> ?2 AND beat.at < since)
             FROM beat JOIN machine_state ON machine_id = beat.machine"
        ),
        params![beat_rows(beats)?, online],
        |row| {
            let machine = MachineId(row.get(0)?);
            if row.get(3)? {
                stale.insert(machine);
            } else if row.get::<Option<i64>>(1)? != Some(process) {
                taken.moved.push(machine);
            }
            has_roles |= row.get::<i64>(2)? != 0;
            Ok(())
        },
    )?;
    let current: Vec<_> = beats.iter().filter(|(machine, _)| !stale.contains(machine)).copied().collect();
    let encoded = beat_rows(&current)?;
    if has_roles {
        // Left from a time when the database had one monitor.
        tx.execute(
            &format!(
                "WITH {BEATS} UPDATE machine_state SET server_role = 0
                 FROM beat WHERE machine_id = beat.machine AND server_role <> 0"
            ),
            params![encoded],
        )?;
    }
    taken.online = tx.query_all(
        &format!(
            "WITH {BEATS}
             UPDATE machine_state SET seen_by = ?2, last_seen = greatest(last_seen, beat.at)
             FROM beat WHERE machine_id = beat.machine AND status = ?3 AND watched
             RETURNING machine_id"
        ),
        params![encoded, process, online],
        |row| Ok(MachineId(row.get(0)?)),
    )?;
    let online: HashSet<MachineId> = taken.online.iter().copied().collect();
    taken.away = current.into_iter().filter(|(machine, _)| !online.contains(machine)).collect();
    Ok(taken)
}
