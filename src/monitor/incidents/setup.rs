//! Problems of a machine's setup that no heartbeat shows: it was never seen, or a device uses a replaced token. They are
//! judged at each sweep and announced like every other condition; the machine need not be online.

use crate::clock::Moment;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::conditions::held::ConditionChange;
use crate::monitor::conditions::table::EffectiveSettings;
use crate::monitor::incidents::announce::{Announcer, in_parts};
use crate::monitor::incidents::conditions::MachineChange;
use crate::monitor::incidents::table::IncidentKey;
use crate::monitor::incidents::transition::Transition;
use crate::monitor::machine::MachineId;
use crate::monitor::store::sql::{Transaction, params};
use crate::monitor::store::{Store, StoreError};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

/// Incidents that begin in one transaction; the next sweep continues.
const BATCH: usize = 10_000;

/// What the database does not have.
#[derive(Debug)]
pub struct SetupFacts<'a> {
    pub settings: &'a EffectiveSettings,
    /// Machines of which a device uses a replaced token, and since when.
    pub refused: HashMap<MachineId, Moment>,
    /// Machines of which no device uses one any more; `None`: all others.
    pub over: Option<HashSet<MachineId>>,
}

/// A problem that begins or ends.
struct SetupProblem {
    machine: MachineId,
    condition: Condition,
    since: Moment,
    /// It began before it was judged: recorded, not announced.
    existed: bool,
}

/// How an incident ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SetupEnd {
    /// The problem is solved.
    Solved,
    /// The condition or the machine was switched off: without a message.
    SwitchedOff,
}

impl Store {
    /// Begins and ends incidents of setups. A machine counts as never seen only while the monitor listened.
    pub fn judge_setup(
        &self,
        facts: &SetupFacts<'_>,
        listening_since: Moment,
        now: Moment,
    ) -> Result<Vec<Transition>, StoreError> {
        self.write(|transaction| {
            let mut ended = ended(transaction, facts, Condition::NeverSeen)?;
            ended.append(&mut self::ended(transaction, facts, Condition::RefusedToken)?);
            let mut begun = never_seen(transaction, facts, listening_since, now)?;
            begun.append(&mut refused(transaction, facts, now)?);
            if ended.is_empty() && begun.is_empty() {
                return Ok(Vec::new());
            }
            let announcer = Announcer::new(transaction, now)?;
            let (solved, switched_off): (Vec<_>, Vec<_>) =
                ended.into_iter().partition(|(_, how)| *how == SetupEnd::Solved);
            let keys: Vec<_> = switched_off.iter().map(|(problem, _)| problem.key()).collect();
            announcer.end_silently(&keys)?;
            let change = |problem: &SetupProblem, begins| (problem.machine, problem.change(begins));
            let ended: Vec<_> = solved.iter().map(|(problem, _)| change(problem, false)).collect();
            let begun: Vec<_> = begun.iter().map(|problem| change(problem, true)).collect();
            let mut transitions =
                in_parts(&machine_changes(&ended), |ended| announcer.conditions_ended(ended))?;
            let mut began = in_parts(&machine_changes(&begun), |begun| announcer.conditions_began(begun))?;
            transitions.append(&mut began);
            Ok(transitions)
        })
    }
}

fn machine_changes(changes: &[(MachineId, ConditionChange)]) -> Vec<MachineChange<'_>> {
    let each =
        changes.iter().map(|(machine, change)| MachineChange { machine: *machine, change, uplink: None });
    each.collect()
}

impl SetupProblem {
    fn key(&self) -> IncidentKey<'static> {
        IncidentKey { machine: self.machine, kind: self.condition.name(), subject: "" }
    }

    fn change(&self, begins: bool) -> ConditionChange {
        ConditionChange {
            condition: self.condition,
            subject: "".into(),
            label: None,
            begins,
            since: self.since,
            value: None,
            threshold: None,
            existed: self.existed,
        }
    }
}

/// The open incidents of a condition that end.
fn ended(
    tx: &Transaction<'_>,
    facts: &SetupFacts<'_>,
    condition: Condition,
) -> Result<Vec<(SetupProblem, SetupEnd)>, StoreError> {
    let sql = "SELECT i.machine_id, i.last_seen, s.watched AND (i.kind <> ?2 OR s.server_role < 2),
                      s.last_seen IS NOT NULL
               FROM incident i CROSS JOIN machine_state s
               WHERE s.machine_id = i.machine_id AND i.kind = ?1 AND i.ended_at IS NULL AND i.kind <> 'offline'";
    let mut ended = Vec::new();
    tx.query_each(sql, params![condition.name(), Condition::NeverSeen.name()], |row| {
        let (machine, since) = (MachineId(row.get(0)?), Moment(row.get(1)?));
        let (is_watched, was_seen): (bool, bool) = (row.get(2)?, row.get(3)?);
        let is_solved = match condition {
            Condition::NeverSeen => was_seen,
            // Another monitor may know of refusals that this one does not.
            _ => match &facts.over {
                None => !facts.refused.contains_key(&machine),
                Some(over) => over.contains(&machine),
            },
        };
        let how = match is_watched && facts.settings.of(machine).get(condition).is_on {
            false => SetupEnd::SwitchedOff,
            true if is_solved => SetupEnd::Solved,
            true => return Ok(()),
        };
        ended.push((SetupProblem { machine, condition, since, existed: false }, how));
        Ok(())
    })?;
    Ok(ended)
}

/// The machines without any heartbeat for the hold time. One whose incident was ended because something was switched off
/// has the problem still: that is not news.
fn never_seen(
    tx: &Transaction<'_>,
    facts: &SetupFacts<'_>,
    listening_since: Moment,
    now: Moment,
) -> Result<Vec<SetupProblem>, StoreError> {
    let condition = Condition::NeverSeen;
    // The partial index on `status = 0` has the few new machines; `since` is when it was added or enabled.
    let sql = "SELECT s.machine_id, s.since,
                      EXISTS (SELECT 1 FROM incident i WHERE i.machine_id = s.machine_id AND i.kind = ?1)
               FROM machine_state s
               WHERE s.status = 0 AND s.watched = ?2 AND s.last_seen IS NULL AND s.server_role < 2
                 AND NOT EXISTS (SELECT 1 FROM incident i
                                 WHERE i.machine_id = s.machine_id AND i.kind = ?1 AND i.ended_at IS NULL)";
    let mut silent = Vec::new();
    tx.query_until(sql, params![condition.name(), true], |row| {
        let (machine, since, existed) = (MachineId(row.get(0)?), Moment(row.get(1)?), row.get(2)?);
        let setting = facts.settings.of(machine).get(condition);
        if setting.is_on && now.since(since.max(listening_since)) >= setting.hold {
            silent.push(SetupProblem { machine, condition, since, existed });
        }
        Ok(if silent.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(silent)
}

/// The machines of which a device uses a replaced token. Some may have been disabled or removed meanwhile.
fn refused(
    tx: &Transaction<'_>,
    facts: &SetupFacts<'_>,
    now: Moment,
) -> Result<Vec<SetupProblem>, StoreError> {
    let condition = Condition::RefusedToken;
    let mut statement = tx.prepare(
        "SELECT 1 FROM machine_state s WHERE s.machine_id = ?1 AND s.watched = ?2
           AND NOT EXISTS (SELECT 1 FROM incident i
                           WHERE i.machine_id = ?1 AND i.kind = ?3 AND i.ended_at IS NULL)",
    )?;
    let mut problems = Vec::new();
    for (&machine, &since) in &facts.refused {
        let setting = facts.settings.of(machine).get(condition);
        if setting.is_on
            && now.since(since) >= setting.hold
            && statement.exists(params![machine.0, true, condition.name()])?
        {
            problems.push(SetupProblem { machine, condition, since, existed: false });
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests;
