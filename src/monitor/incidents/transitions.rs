//! A machine's status, its outages, what is told of them: each change one transaction, called by the recorder's
//! thread alone (`detect.rs`).

use crate::clock::Moment;
use crate::monitor::incidents::announce::Teller;
use crate::monitor::incidents::policy::MASS_OUTAGE;
use crate::monitor::incidents::transition::Transition;
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::notify::outbox::clock_steps;
use crate::monitor::store::{Store, StoreError};
use rusqlite::{Transaction, params};
use std::time::Duration;

/// Who is late: silent for longer than their threshold since the later of their last heartbeat and
/// `listening_since`.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    pub now: Moment,
    pub listening_since: Moment,
    /// Of machines that have none of their own.
    pub threshold: Duration,
    /// Half of the online fleet at once is not believed.
    pub doubt: bool,
    /// At most so many at once.
    pub batch: usize,
}

/// What [`Store::take_offline`] has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    Offline(Vec<Transition>),
    /// Half of those that were online or more, and nothing was changed.
    Doubtful {
        late: usize,
    },
}

/// What [`Store::bring_back`] has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Back {
    /// Of the machines in question, all that are online now.
    pub online: Vec<MachineId>,
    pub transitions: Vec<Transition>,
}

/// Why a sweep was undone.
enum Undone {
    Doubtful(usize),
    Failed(StoreError),
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Undone {
        Undone::Failed(error)
    }
}

impl From<rusqlite::Error> for Undone {
    fn from(error: rusqlite::Error) -> Undone {
        Undone::Failed(error.into())
    }
}

impl Store {
    /// Takes offline who is late, `cut.batch` machines at most.
    pub fn take_offline(&self, cut: &Cut) -> Result<Taken, StoreError> {
        let taken = self.transact(|transaction| {
            let late = sweep(transaction, cut)?;
            if cut.doubt && late.len() >= MASS_OUTAGE {
                doubt(transaction, cut, late.len())?;
            }
            if late.is_empty() {
                return Ok(Vec::new());
            }
            let teller = Teller::new(transaction, cut.now)?;
            let each = late.into_iter().map(|(machine, last_seen)| teller.went_offline(machine, last_seen));
            Ok(each.collect::<Result<_, StoreError>>()?)
        });
        match taken {
            Ok(transitions) => Ok(Taken::Offline(transitions)),
            Err(Undone::Doubtful(late)) => Ok(Taken::Doubtful { late }),
            Err(Undone::Failed(error)) => Err(error),
        }
    }

    /// Machines that have sent a heartbeat at the moment beside them.
    pub fn bring_back(&self, beats: &[(MachineId, Moment)], now: Moment) -> Result<Back, StoreError> {
        self.write(|transaction| {
            let teller = Teller::new(transaction, now)?;
            let mut back = Back::default();
            for &(machine, at) in beats {
                let Some(status) = teller.status(machine)? else { continue };
                back.online.push(machine);
                if status != MachineStatus::Online {
                    teller.set_status(machine, MachineStatus::Online, at)?;
                    back.transitions.push(teller.came_back(machine, status)?);
                }
            }
            Ok(back)
        })
    }

    /// Machines that have said, at the moment beside them, that they are being stopped.
    pub fn note_farewells(
        &self,
        beats: &[(MachineId, Moment)],
        now: Moment,
    ) -> Result<Vec<Transition>, StoreError> {
        self.write(|transaction| {
            let teller = Teller::new(transaction, now)?;
            let mut transitions = Vec::new();
            for &(machine, at) in beats {
                let Some(status) = teller.status(machine)? else { continue };
                if status != MachineStatus::Stopped {
                    teller.set_status(machine, MachineStatus::Stopped, at)?;
                    transitions.push(teller.was_stopped(machine, at)?);
                }
            }
            Ok(transitions)
        })
    }

    /// Tells of the outages that began in a maintenance and have outlasted it.
    pub fn tell_after_maintenance(&self, now: Moment) -> Result<Vec<Transition>, StoreError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT o.id, o.machine_id, o.last_seen FROM outage o CROSS JOIN machine_state s USING (machine_id)
                 WHERE o.hushed = 1 AND o.ended_at IS NULL AND o.planned = 0 AND s.watched = 1 AND s.status = ?2
                   AND NOT EXISTS (SELECT 1 FROM maintenance m WHERE m.machine_id = o.machine_id
                                   AND m.starts_at <= ?1 AND m.ends_at > ?1)",
            )?;
            // One that was disabled meanwhile is `New`, and its silence is not reported before its next heartbeat.
            let rows = statement.query_map([now.0, MachineStatus::Offline as i64], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            let held: Vec<(i64, i64, i64)> = rows.collect::<Result<_, _>>()?;
            if held.is_empty() {
                return Ok(Vec::new());
            }
            let teller = Teller::new(transaction, now)?;
            held.into_iter().map(|(outage, machine, seen)| teller.outlasted(outage, machine, seen)).collect()
        })
    }

    /// Tells of the machines that flapped and have held one state for `hold`.
    pub fn tell_steady(&self, now: Moment, hold: Duration) -> Result<Vec<Transition>, StoreError> {
        self.write(|transaction| {
            // CROSS: the few that flap are asked for their state, not the whole fleet whether it flaps.
            let mut statement = transaction.prepare_cached(
                "SELECT f.machine_id, s.status, s.last_seen FROM flapping f CROSS JOIN machine_state s USING (machine_id)
                 WHERE f.steady_at IS NULL AND s.since <= ?2 AND s.watched = 1
                   AND NOT EXISTS (SELECT 1 FROM maintenance m WHERE m.machine_id = f.machine_id
                                   AND m.starts_at <= ?1 AND m.ends_at > ?1)",
            )?;
            let rows = statement.query_map([now.0, now.minus(hold).0], |row| {
                Ok((MachineId(row.get(0)?), MachineStatus::of(row.get(1)?), row.get::<_, Option<i64>>(2)?))
            })?;
            let held: Vec<_> = rows.collect::<Result<_, _>>()?;
            if held.is_empty() {
                return Ok(Vec::new());
            }
            let teller = Teller::new(transaction, now)?;
            let steady = held.into_iter().map(|(machine, status, seen)| {
                teller.became_steady(machine, status, Moment(seen.unwrap_or(now.0)))
            });
            steady.collect()
        })
    }

    /// After the clock went back: what lies in the future would keep a silent machine online until then.
    pub fn forget_the_future(&self, now: Moment) -> Result<(), StoreError> {
        self.write(|transaction| {
            let statements = [
                "UPDATE machine_state SET last_seen = ?1 WHERE last_seen > ?1",
                "UPDATE machine_state SET since = ?1 WHERE since > ?1",
            ];
            for statement in statements {
                transaction.execute(statement, [now.0])?;
            }
            clock_steps::forget_the_future(transaction, now)
        })
    }
}

/// Who is late, as both statements below ask it: the parameters are now, since when the monitor has been listening,
/// the moment before which a machine without a threshold of its own is late, and `Status::Online`. Those that have one
/// are few, and stand in an index; for all others one comparison decides, and a million of them take 41 ms of a core
/// where both in one condition took 122.
const LATE: &str = "SELECT machine_id FROM machine_state
     WHERE last_seen < ?3 AND threshold IS NULL AND status = ?4 AND watched = 1
     UNION ALL
     SELECT machine_id FROM machine_state
     WHERE threshold IS NOT NULL AND last_seen < ?1 - threshold AND ?2 < ?1 - threshold
       AND status = ?4 AND watched = 1";

/// The moment before which a machine without a threshold of its own is late; nobody is if the monitor itself has not
/// been listening for so long.
fn default_limit(cut: &Cut) -> i64 {
    let limit = cut.now.minus(cut.threshold);
    if cut.listening_since < limit { limit.0 } else { i64::MIN }
}

/// The one statement that finds who is late. A scan: an index on last_seen would be written at every heartbeat.
fn sweep(transaction: &Transaction, cut: &Cut) -> Result<Vec<(MachineId, Moment)>, StoreError> {
    let mut statement = transaction.prepare_cached(&format!(
        "UPDATE machine_state SET status = ?5, since = ?1
         WHERE machine_id IN ({LATE} LIMIT ?6)
         RETURNING machine_id, last_seen"
    ))?;
    let rows = statement.query_map(
        params![
            cut.now.0,
            cut.listening_since.0,
            default_limit(cut),
            MachineStatus::Online as i64,
            MachineStatus::Offline as i64,
            i64::try_from(cut.batch).unwrap_or(i64::MAX)
        ],
        |row| Ok((MachineId(row.get(0)?), Moment(row.get(1)?))),
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether those that were just taken offline, and those that would follow in the next batch, are half of those that
/// were online. It stops counting where that is decided.
fn doubt(transaction: &Transaction, cut: &Cut, taken: usize) -> Result<(), Undone> {
    let more: i64 = match taken < cut.batch {
        true => 0,
        false => transaction.query_row(
            &format!("SELECT count(*) FROM ({LATE})"),
            params![cut.now.0, cut.listening_since.0, default_limit(cut), MachineStatus::Online as i64],
            |row| row.get(0),
        )?,
    };
    let late = i64::try_from(taken).unwrap_or(i64::MAX).saturating_add(more);
    // `more` of these are late themselves.
    let enough = late.saturating_add(more).saturating_add(1);
    let online: i64 = transaction.query_row(
        "SELECT count(*) FROM (SELECT 1 FROM machine_state WHERE status = ?1 AND watched = 1 LIMIT ?2)",
        params![MachineStatus::Online as i64, enough],
        |row| row.get(0),
    )?;
    match online - more <= late {
        true => Err(Undone::Doubtful(usize::try_from(late).unwrap_or(usize::MAX))),
        false => Ok(()),
    }
}
