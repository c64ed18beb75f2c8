//! The table `condition_setting`: what people changed, and the settings of every machine that follow from it.

use crate::clock::{Moment, milliseconds};
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::conditions::settings::{Scope, ScopedChange, SettingChange, Settings, SharedSettings};
use crate::monitor::events::note;
use crate::monitor::machine::MachineId;
use crate::monitor::notify::choices::{known_group, known_tag};
use crate::monitor::store::sql::{Connection, Row, Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// `event.kind` of a change.
const CHANGED: &str = "condition_set";

/// The columns of `condition_setting` that name a scope.
struct ScopeColumns<'a> {
    scope: &'static str,
    name: &'a str,
    machine: Option<MachineId>,
}

impl Scope {
    fn columns(&self) -> ScopeColumns<'_> {
        match self {
            Scope::All => ScopeColumns { scope: "all", name: "", machine: None },
            Scope::Group(name) => ScopeColumns { scope: "group", name, machine: None },
            Scope::Tag(name) => ScopeColumns { scope: "tag", name, machine: None },
            Scope::Machine(id) => ScopeColumns { scope: "machine", name: "", machine: Some(*id) },
        }
    }

    fn from_columns(scope: &str, name: String, machine: Option<i64>) -> Option<Scope> {
        match (scope, machine) {
            ("all", None) => Some(Scope::All),
            ("group", None) => Some(Scope::Group(name)),
            ("tag", None) => Some(Scope::Tag(name)),
            ("machine", Some(id)) => Some(Scope::Machine(MachineId(id))),
            _ => None,
        }
    }

    fn check_exists(&self, tx: &Transaction<'_>, now: Moment) -> Result<(), Refused> {
        match self {
            Scope::Group(name) => known_group(tx, name, now),
            Scope::Tag(name) => known_tag(tx, name),
            Scope::All | Scope::Machine(_) => Ok(()),
        }
    }
}

impl Store {
    /// Changes a condition's settings in a scope; what `change` does not name stays as it was there.
    ///
    /// # Errors
    /// The group or tag does not exist.
    pub fn change_condition(&self, new: &ScopedChange, now: Moment) -> Result<(), Refused> {
        self.transact(|tx| {
            new.scope.check_exists(tx, now)?;
            let ScopeColumns { scope, name, machine } = new.scope.columns();
            let SettingChange { is_on, threshold, hold } = new.change;
            tx.execute(
                "INSERT INTO condition_setting (condition, scope, name, machine_id, is_on, threshold, hold)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (condition, scope, name, (coalesce(machine_id, 0))) DO UPDATE SET
                    is_on = coalesce(excluded.is_on, condition_setting.is_on),
                    threshold = coalesce(excluded.threshold, condition_setting.threshold),
                    hold = coalesce(excluded.hold, condition_setting.hold)",
                params![
                    new.condition.name(),
                    scope,
                    name,
                    machine.map(|id| id.0),
                    is_on,
                    threshold.map(decimal),
                    hold.map(milliseconds)
                ],
            )?;
            let values = json!({
                "on": is_on,
                "threshold": threshold.map(json_number),
                "hold_s": hold.map(|hold| json_number(hold.as_secs_f64())),
            });
            record(tx, new.condition, &new.scope, values, now)
        })
    }

    /// Removes the settings of a condition in a scope; false if there were not any.
    ///
    /// # Errors
    /// The group or tag does not exist, and has no such settings either.
    pub fn clear_condition(&self, condition: Condition, scope: &Scope, now: Moment) -> Result<bool, Refused> {
        self.transact(|tx| {
            let ScopeColumns { scope: kind, name, machine } = scope.columns();
            let removed = tx.execute(
                "DELETE FROM condition_setting
                 WHERE condition = ?1 AND scope = ?2 AND name = ?3 AND coalesce(machine_id, 0) = ?4",
                params![condition.name(), kind, name, machine.map_or(0, |id| id.0)],
            )?;
            match removed {
                0 => scope.check_exists(tx, now)?,
                _ => record(tx, condition, scope, json!({ "cleared": true }), now)?,
            }
            Ok(removed > 0)
        })
    }

    /// Every change, in the order in which they apply to a machine: a later one counts before an earlier one.
    pub fn condition_changes(&self) -> Result<Vec<ScopedChange>, StoreError> {
        self.read(changes)
    }

    /// The settings of every machine. Without settings of groups, tags and machines it reads no machine.
    pub fn effective_settings(&self) -> Result<EffectiveSettings, StoreError> {
        self.read(|connection| {
            let changes = changes(connection)?;
            let layers: Vec<&[ScopedChange]> =
                changes.chunk_by(|change, next| change.scope == next.scope).collect();
            let memberships = memberships(connection, &layers)?;
            Ok(EffectiveSettings::of_memberships(&layers, &memberships))
        })
    }
}

/// The number as it was typed: 75, and not 75.0.
pub fn json_number(number: impl Display) -> Value {
    serde_json::from_str(&number.to_string()).unwrap_or_default()
}

/// The number that was typed: 75.1, and not 75.0999984741211.
fn decimal(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(number))
}

fn record(
    tx: &Transaction<'_>,
    condition: Condition,
    scope: &Scope,
    mut detail: Value,
    now: Moment,
) -> Result<(), Refused> {
    let ScopeColumns { scope, name, machine } = scope.columns();
    detail["condition"] = condition.name().into();
    if !name.is_empty() {
        detail[scope] = name.into();
    }
    Ok(note(tx, machine, CHANGED, Some(detail), now)?)
}

fn changes(connection: &Connection<'_>) -> Result<Vec<ScopedChange>, StoreError> {
    let sql = "SELECT condition, scope, name, machine_id, is_on, threshold, hold FROM condition_setting";
    let mut changes: Vec<_> = connection.query_all(sql, &[], change)?.into_iter().flatten().collect();
    // Of several tags, the first in alphabetical order counts; therefore it applies last.
    changes.sort_by(|one, other| match (&one.scope, &other.scope) {
        (Scope::Tag(one), Scope::Tag(other)) => Reverse(one).cmp(&Reverse(other)),
        (one, other) => one.cmp(other),
    });
    Ok(changes)
}

/// `None`: of a later version, or edited by hand.
fn change(row: &Row<'_>) -> Result<Option<ScopedChange>, StoreError> {
    let condition = Condition::from_name(&row.get::<String>(0)?);
    let scope = Scope::from_columns(&row.get::<String>(1)?, row.get(2)?, row.get(3)?);
    let (is_on, threshold, hold): (_, Option<f32>, Option<i64>) = (row.get(4)?, row.get(5)?, row.get(6)?);
    Ok(condition.zip(scope).map(|(condition, scope)| {
        let limit = condition.entry().limit;
        let threshold = threshold.filter(|number| limit.is_some_and(|limit| limit.allows(*number)));
        let hold = hold.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        ScopedChange { condition, scope, change: SettingChange { is_on, threshold, hold } }
    }))
}

/// A machine, and the index of a layer that applies to it.
type Membership = (MachineId, usize);

/// For every machine the layers that apply to it besides that of the whole fleet, in their order.
fn memberships(
    connection: &Connection<'_>,
    layers: &[&[ScopedChange]],
) -> Result<Vec<Membership>, StoreError> {
    let (mut groups, mut tags, mut members) = (HashMap::new(), HashMap::new(), Vec::new());
    for (index, layer) in layers.iter().enumerate() {
        match &layer[0].scope {
            Scope::All => {}
            Scope::Group(name) => _ = groups.insert(name.as_str(), index),
            Scope::Tag(name) => _ = tags.insert(name.as_str(), index),
            Scope::Machine(id) => members.push((*id, index)),
        }
    }
    let of_group = "SELECT id, group_name FROM machine
                    WHERE group_name IN (SELECT name FROM condition_setting WHERE scope = 'group')";
    let of_tag = "SELECT machine_id, tag FROM machine_tag
                  WHERE tag IN (SELECT name FROM condition_setting WHERE scope = 'tag')";
    for (sql, layers) in [(of_group, groups), (of_tag, tags)] {
        if !layers.is_empty() {
            connection.query_each(sql, &[], |row| {
                let (id, name) = (MachineId(row.get(0)?), row.get::<&str>(1)?);
                members.extend(layers.get(name).map(|layer| (id, *layer)));
                Ok(())
            })?;
        }
    }
    members.sort_unstable();
    Ok(members)
}

/// The settings of every machine.
#[derive(Debug)]
pub struct EffectiveSettings {
    /// The first are those of every machine that is not in `special`.
    distinct: Vec<SharedSettings>,
    /// Machines with other settings, and where those are in `distinct`.
    special: HashMap<MachineId, usize>,
}

impl Default for EffectiveSettings {
    fn default() -> EffectiveSettings {
        EffectiveSettings { distinct: vec![Arc::default()], special: HashMap::new() }
    }
}

impl EffectiveSettings {
    pub fn of(&self, machine: MachineId) -> &SharedSettings {
        &self.distinct[self.special.get(&machine).copied().unwrap_or_default()]
    }

    fn of_memberships(layers: &[&[ScopedChange]], memberships: &[Membership]) -> EffectiveSettings {
        let mut settings = Settings::default();
        if let Some(fleet) = layers.first().filter(|layer| layer[0].scope == Scope::All) {
            apply(fleet, &mut settings);
        }
        let mut effective = EffectiveSettings { distinct: vec![Arc::new(settings)], special: HashMap::new() };
        // Most machines of a group have the same layers: each step is made once.
        let mut steps: HashMap<(usize, usize), usize> = HashMap::new();
        for of_machine in memberships.chunk_by(|(machine, _), (next, _)| machine == next) {
            let index = of_machine.iter().fold(0, |from, (_, layer)| {
                *steps.entry((from, *layer)).or_insert_with(|| effective.step(from, layers[*layer]))
            });
            if index != 0 {
                effective.special.insert(of_machine[0].0, index);
            }
        }
        effective
    }

    /// The index of the settings after one more layer.
    fn step(&mut self, from: usize, layer: &[ScopedChange]) -> usize {
        let mut settings = (*self.distinct[from]).clone();
        apply(layer, &mut settings);
        self.distinct.iter().position(|known| **known == settings).unwrap_or_else(|| {
            self.distinct.push(Arc::new(settings));
            self.distinct.len() - 1
        })
    }
}

fn apply(layer: &[ScopedChange], settings: &mut Settings) {
    for change in layer {
        let mut setting = settings.get(change.condition);
        change.change.apply(&mut setting);
        settings.set(change.condition, setting);
    }
}

#[cfg(test)]
mod tests;
