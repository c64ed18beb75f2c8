//! A machine's status, its outages, what is told of them: each change one transaction, called by the recorder's
//! thread alone (`detect.rs`).

use super::{Delivery, MachineId, Status, Store, StoreError, recipients};
use crate::monitor::detect::{FLAPPING_WINDOW, MANY, MOST_TRANSITIONS};
use crate::monitor::notify::notice::Notice;
use crate::monitor::notify::plan::{ChannelId, Happening, News, Recipient, Subject, plan};
use crate::monitor::time::{Moment, go_duration, milliseconds};
use log::warn;
use rusqlite::{OptionalExtension, Transaction, params};
use std::time::Duration;

/// A notification older than this is given up: nobody wants yesterday's alarm.
pub const EXPIRES_AFTER: Duration = Duration::from_secs(24 * 3600);

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

/// A machine that has changed, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub machine: MachineId,
    pub name: String,
    pub kind: Kind,
    /// It flaps from here on.
    pub flaps: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Offline { last_seen: Moment },
    Online,
    FirstSeen,
    Stopped,
    /// It was taken offline in a maintenance that has ended.
    StillOffline { last_seen: Moment },
    Steady { state: News },
}

impl Transition {
    /// As the original system wrote it, for what that knew.
    pub fn line(&self, now: Moment) -> String {
        let machine = format!("Machine {} ({})", self.machine.0, self.name);
        let ago = |since: Moment| go_duration(Duration::from_secs(now.since(since).as_secs()));
        let mut line = match self.kind {
            Kind::Offline { last_seen } => format!("{machine} went offline (last seen: {} ago)", ago(last_seen)),
            Kind::Online => format!("{machine} came back online"),
            Kind::FirstSeen => format!("{machine} sent its first heartbeat"),
            Kind::Stopped => format!("{machine} was stopped on purpose"),
            Kind::StillOffline { last_seen } => {
                format!("{machine} is still offline after its maintenance (last seen: {} ago)", ago(last_seen))
            }
            Kind::Steady { state } => format!("{machine} is steady again: {}", state.name()),
        };
        if self.flaps {
            line.push_str("; it keeps coming and going, nothing more is told until it holds one state");
        }
        line
    }
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
            if cut.doubt && late.len() >= MANY {
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
                let Some(state) = teller.state(machine)? else { continue };
                back.online.push(machine);
                if state.status == Status::Online {
                    continue;
                }
                teller.set_status(machine, Status::Online, at)?;
                back.transitions.push(teller.came_back(machine, &state)?);
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
                match teller.state(machine)? {
                    Some(state) if state.status != Status::Stopped => {
                        teller.set_status(machine, Status::Stopped, at)?;
                        transitions.push(teller.was_stopped(machine, &state, at)?);
                    }
                    _ => {}
                }
            }
            Ok(transitions)
        })
    }

    /// Tells of the outages that began in a maintenance and have outlasted it.
    pub fn tell_after_maintenance(&self, now: Moment) -> Result<Vec<Transition>, StoreError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT o.id, o.machine_id, o.last_seen FROM outage o JOIN machine_state s USING (machine_id)
                 WHERE o.hushed = 1 AND o.ended_at IS NULL AND o.planned = 0 AND s.watched = 1
                   AND NOT EXISTS (SELECT 1 FROM maintenance m WHERE m.machine_id = o.machine_id
                                   AND m.starts_at <= ?1 AND m.ends_at > ?1)",
            )?;
            let rows = statement.query_map([now.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
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
            let mut statement = transaction.prepare_cached(
                "SELECT f.machine_id, s.status, s.last_seen FROM flapping f JOIN machine_state s USING (machine_id)
                 WHERE f.steady_at IS NULL AND s.since <= ?2 AND s.watched = 1
                   AND NOT EXISTS (SELECT 1 FROM maintenance m WHERE m.machine_id = f.machine_id
                                   AND m.starts_at <= ?1 AND m.ends_at > ?1)",
            )?;
            let rows = statement.query_map([now.0, now.minus(hold).0], |row| {
                Ok((MachineId(row.get(0)?), Status::of(row.get(1)?), row.get::<_, Option<i64>>(2)?))
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
            Ok(())
        })
    }
}

/// The one statement that finds who is late. A scan: an index on last_seen would be written at every heartbeat.
fn sweep(transaction: &Transaction, cut: &Cut) -> Result<Vec<(MachineId, Moment)>, StoreError> {
    let mut statement = transaction.prepare_cached(
        "UPDATE machine_state SET status = ?5, since = ?1
         WHERE machine_id IN (
             SELECT machine_id FROM machine_state
             WHERE status = ?6 AND watched = 1
               AND max(last_seen, ?2) < ?1 - coalesce(threshold, ?3) LIMIT ?4)
         RETURNING machine_id, last_seen",
    )?;
    let rows = statement.query_map(
        params![
            cut.now.0,
            cut.listening_since.0,
            milliseconds(cut.threshold),
            i64::try_from(cut.batch).unwrap_or(i64::MAX),
            Status::Offline as i64,
            Status::Online as i64
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
            "SELECT count(*) FROM machine_state WHERE status = ?4 AND watched = 1
               AND max(last_seen, ?2) < ?1 - coalesce(threshold, ?3)",
            params![cut.now.0, cut.listening_since.0, milliseconds(cut.threshold), Status::Online as i64],
            |row| row.get(0),
        )?,
    };
    let late = i64::try_from(taken).unwrap_or(i64::MAX).saturating_add(more);
    // `more` of these are late themselves.
    let enough = late.saturating_add(more).saturating_add(1);
    let online: i64 = transaction.query_row(
        "SELECT count(*) FROM (SELECT 1 FROM machine_state WHERE status = ?1 AND watched = 1 LIMIT ?2)",
        params![Status::Online as i64, enough],
        |row| row.get(0),
    )?;
    match online - more <= late {
        true => Err(Undone::Doubtful(usize::try_from(late).unwrap_or(usize::MAX))),
        false => Ok(()),
    }
}

/// A machine's row of `machine_state`.
struct State {
    status: Status,
    last_seen: Option<Moment>,
}

/// What has to be known of a machine to tell anything of it.
struct Told {
    subject: Subject,
    maintained: bool,
    flapping: bool,
    /// Transitions within the window, or since it was steady again.
    transitions: u32,
}

/// Writes what happened to machines, in one transaction.
struct Teller<'t> {
    transaction: &'t Transaction<'t>,
    now: Moment,
    recipients: Vec<Recipient>,
    /// Somebody has chosen machines by tag.
    by_tag: bool,
}

impl<'t> Teller<'t> {
    fn new(transaction: &'t Transaction<'t>, now: Moment) -> Result<Teller<'t>, StoreError> {
        let recipients = recipients::reachable(transaction)?;
        let by_tag = recipients.iter().any(|recipient| !recipient.machines.tags.is_empty());
        Ok(Teller { transaction, now, recipients, by_tag })
    }

    fn went_offline(&self, machine: MachineId, last_seen: Moment) -> Result<Transition, StoreError> {
        let told = self.machine(machine, 1)?;
        let outage = self.open_outage(machine, last_seen, false, told.maintained)?;
        self.event(machine, News::Offline)?;
        let mut flaps = false;
        if !told.maintained {
            flaps = self.tell_or_flap(&told, News::Offline, outage, last_seen)?;
        }
        Ok(Transition { machine, name: told.subject.name, kind: Kind::Offline { last_seen }, flaps })
    }

    fn came_back(&self, machine: MachineId, before: &State) -> Result<Transition, StoreError> {
        let told = self.machine(machine, 1)?;
        self.event(machine, News::Online)?;
        let open: Option<(i64, i64, bool, bool)> = self
            .transaction
            .prepare_cached(
                "UPDATE outage SET ended_at = ?2 WHERE machine_id = ?1 AND ended_at IS NULL
                 RETURNING id, last_seen, hushed, planned",
            )?
            .query_row(params![machine.0, self.now.0], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((outage, last_seen, hushed, planned)) = open else {
            let kind = if before.status == Status::New { Kind::FirstSeen } else { Kind::Online };
            return Ok(Transition { machine, name: told.subject.name, kind, flaps: false });
        };
        let mut flaps = false;
        if planned {
            self.recovered(&told, outage, Moment(last_seen))?;
        } else if !hushed {
            flaps = self.tell_or_flap(&told, News::Online, outage, Moment(last_seen))?;
        }
        Ok(Transition { machine, name: told.subject.name, kind: Kind::Online, flaps })
    }

    /// A late farewell makes a stop of an outage that nobody knew the reason of.
    fn was_stopped(&self, machine: MachineId, before: &State, at: Moment) -> Result<Transition, StoreError> {
        let told = self.machine(machine, 0)?;
        self.event(machine, News::Stopped)?;
        let outage = match before.status {
            Status::Offline => {
                let outage: Option<i64> = self
                    .transaction
                    .prepare_cached(
                        "UPDATE outage SET planned = 1 WHERE machine_id = ?1 AND ended_at IS NULL RETURNING id",
                    )?
                    .query_row([machine.0], |row| row.get(0))
                    .optional()?;
                outage
            }
            _ => None,
        };
        let outage = match outage {
            Some(outage) => {
                self.skip_held(outage)?;
                outage
            }
            None => self.open_outage(machine, at, true, told.maintained)?,
        };
        if !told.maintained {
            self.tell(&told.subject, News::Stopped, News::Stopped, outage, at, &[])?;
        }
        Ok(Transition { machine, name: told.subject.name, kind: Kind::Stopped, flaps: false })
    }

    fn outlasted(&self, outage: i64, machine: i64, last_seen: i64) -> Result<Transition, StoreError> {
        let (machine, last_seen) = (MachineId(machine), Moment(last_seen));
        self.transaction.prepare_cached("UPDATE outage SET hushed = 0 WHERE id = ?1")?.execute([outage])?;
        let subject = self.machine(machine, 0)?.subject;
        self.tell(&subject, News::Offline, News::Offline, outage, last_seen, &[])?;
        Ok(Transition { machine, name: subject.name, kind: Kind::StillOffline { last_seen }, flaps: false })
    }

    fn became_steady(
        &self,
        machine: MachineId,
        status: Status,
        last_seen: Moment,
    ) -> Result<Transition, StoreError> {
        let state = match status {
            Status::Offline => News::Offline,
            Status::Stopped => News::Stopped,
            Status::Online | Status::New => News::Online,
        };
        self.transaction
            .prepare_cached("UPDATE flapping SET steady_at = ?2 WHERE machine_id = ?1")?
            .execute(params![machine.0, self.now.0])?;
        self.event(machine, News::Steady)?;
        // One message in the morning is enough.
        self.transaction
            .prepare_cached(
                "UPDATE outbox SET state = ?3 WHERE machine_id = ?1 AND event = 'flapping' AND state = ?4
                   AND attempts = 0 AND due_at > ?2",
            )?
            .execute(params![machine.0, self.now.0, Delivery::Skipped as i64, Delivery::Waiting as i64])?;
        let outage: Option<i64> = self
            .transaction
            .prepare_cached("SELECT max(id) FROM outage WHERE machine_id = ?1")?
            .query_row([machine.0], |row| row.get(0))?;
        let subject = self.machine(machine, 0)?.subject;
        if let Some(outage) = outage {
            self.tell(&subject, News::Steady, state, outage, last_seen, &[])?;
        }
        Ok(Transition { machine, name: subject.name, kind: Kind::Steady { state }, flaps: false })
    }

    /// Tells an unplanned transition, or that the machine flaps, or nothing because it does. True if it begins to.
    fn tell_or_flap(
        &self,
        told: &Told,
        news: News,
        outage: i64,
        last_seen: Moment,
    ) -> Result<bool, StoreError> {
        if told.flapping {
            return Ok(false);
        }
        if told.transitions <= MOST_TRANSITIONS {
            match news {
                News::Online => self.recovered(told, outage, last_seen)?,
                _ => self.tell(&told.subject, news, news, outage, last_seen, &[])?,
            }
            return Ok(false);
        }
        let machine = told.subject.id;
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO flapping (machine_id, since) VALUES (?1, ?2)")?
            .execute(params![machine, self.now.0])?;
        self.event(MachineId(machine), News::Flapping)?;
        self.skip_held(outage)?;
        self.tell(&told.subject, News::Flapping, news, outage, last_seen, &[])?;
        Ok(true)
    }

    fn recovered(&self, told: &Told, outage: i64, last_seen: Moment) -> Result<(), StoreError> {
        self.skip_held(outage)?;
        let heard = self.channels_that_heard(outage)?;
        self.tell(&told.subject, News::Online, News::Online, outage, last_seen, &heard)
    }

    /// Rows that wait on purpose and were never tried are overtaken. Those that are due are not: their courier is
    /// late, and what happened is told.
    fn skip_held(&self, outage: i64) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "UPDATE outbox SET state = ?3
                 WHERE outage_id = ?1 AND state = ?4 AND attempts = 0 AND due_at > ?2",
            )?
            .execute(params![outage, self.now.0, Delivery::Skipped as i64, Delivery::Waiting as i64])?;
        Ok(())
    }

    /// Over which `outage` was told, or will be before what comes now.
    fn channels_that_heard(&self, outage: i64) -> Result<Vec<ChannelId>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT DISTINCT channel_id FROM outbox WHERE outage_id = ?1 AND state NOT IN (?2, ?3)",
        )?;
        let rows = statement
            .query_map(params![outage, Delivery::Dead as i64, Delivery::Skipped as i64], |row| {
                Ok(ChannelId(row.get(0)?))
            })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The rows of the outbox.
    fn tell(
        &self,
        subject: &Subject,
        news: News,
        state: News,
        outage: i64,
        last_seen: Moment,
        heard: &[ChannelId],
    ) -> Result<(), StoreError> {
        let what = Happening { news, state, now: self.now, last_seen };
        let rows = plan(&self.recipients, subject, &what, heard);
        if rows.is_empty() {
            return Ok(());
        }
        let content = serde_json::to_string(&Notice::new(subject, &what))
            .map_err(|error| StoreError::Other(format!("a notice of machine {}: {error}", subject.id)))?;
        // The constraint holds against a bug here: never two rows for one.
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO outbox (channel_id, machine_id, outage_id, event, content, created_at, due_at, expires_at,
                                 state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        )?;
        for row in rows {
            let written = statement.execute(params![
                row.channel.0,
                subject.id,
                outage,
                news.name(),
                content,
                self.now.0,
                row.due.0,
                row.due.plus(EXPIRES_AFTER).0,
                Delivery::Waiting as i64
            ])?;
            if written == 0 {
                warn!("Outage {outage} of machine {} was told before: {}", subject.id, news.name());
            }
        }
        Ok(())
    }

    /// `None` if there is no such machine, or it is disabled.
    fn state(&self, machine: MachineId) -> Result<Option<State>, StoreError> {
        let state = self
            .transaction
            .prepare_cached("SELECT status, last_seen FROM machine_state WHERE machine_id = ?1 AND watched = 1")?
            .query_row([machine.0], |row| {
                Ok(State { status: Status::of(row.get(0)?), last_seen: row.get::<_, Option<i64>>(1)?.map(Moment) })
            })
            .optional()?;
        Ok(state)
    }

    fn set_status(&self, machine: MachineId, status: Status, seen: Moment) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "UPDATE machine_state SET status = ?2, since = ?3, last_seen = max(coalesce(last_seen, ?4), ?4)
                 WHERE machine_id = ?1",
            )?
            .execute(params![machine.0, status as i64, self.now.0, seen.0])?;
        Ok(())
    }

    /// `now_too` is 1 for a transition that is not in the database yet.
    fn machine(&self, machine: MachineId, now_too: u32) -> Result<Told, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT m.name, m.hostname, m.description, m.group_name,
                    EXISTS (SELECT 1 FROM maintenance x WHERE x.machine_id = m.id
                            AND x.starts_at <= ?2 AND x.ends_at > ?2),
                    f.since IS NOT NULL AND f.steady_at IS NULL,
                    (SELECT coalesce(sum((started_at > max(?3, coalesce(f.steady_at, 0)))
                                         + coalesce(ended_at > max(?3, coalesce(f.steady_at, 0)), 0)), 0)
                     FROM (SELECT started_at, ended_at FROM outage
                           WHERE machine_id = m.id AND planned = 0 AND hushed = 0
                           ORDER BY started_at DESC LIMIT ?4))
             FROM machine m LEFT JOIN flapping f ON f.machine_id = m.id WHERE m.id = ?1",
        )?;
        let window = self.now.minus(FLAPPING_WINDOW);
        let told =
            statement.query_row(params![machine.0, self.now.0, window.0, MOST_TRANSITIONS + 1], |row| {
                Ok(Told {
                    subject: Subject {
                        id: machine.0,
                        name: row.get(0)?,
                        hostname: row.get(1)?,
                        description: row.get(2)?,
                        group: row.get(3)?,
                        tags: Vec::new(),
                    },
                    maintained: row.get(4)?,
                    flapping: row.get(5)?,
                    transitions: row.get::<_, u32>(6)?.saturating_add(now_too),
                })
            })?;
        let tags = if self.by_tag { self.tags(machine)? } else { Vec::new() };
        Ok(Told { subject: Subject { tags, ..told.subject }, ..told })
    }

    fn tags(&self, machine: MachineId) -> Result<Vec<String>, StoreError> {
        let mut statement =
            self.transaction.prepare_cached("SELECT tag FROM machine_tag WHERE machine_id = ?1")?;
        let rows = statement.query_map([machine.0], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn open_outage(
        &self,
        machine: MachineId,
        last_seen: Moment,
        planned: bool,
        hushed: bool,
    ) -> Result<i64, StoreError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO outage (machine_id, planned, hushed, last_seen, started_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![machine.0, planned, hushed, last_seen.0, self.now.0])?;
        Ok(self.transaction.last_insert_rowid())
    }

    fn event(&self, machine: MachineId, news: News) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("INSERT INTO event (at, machine_id, kind) VALUES (?1, ?2, ?3)")?
            .execute(params![self.now.0, machine.0, news.name()])?;
        Ok(())
    }
}
