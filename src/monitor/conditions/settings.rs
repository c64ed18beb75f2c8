//! The settings of conditions: the catalogue's defaults, and what people changed for the whole fleet, a group, a tag or a
//! machine.

use crate::config::Period;
use crate::monitor::conditions::catalogue::{CATALOGUE, CONDITIONS, CatalogueEntry, Condition};
use crate::monitor::machine::{Machine, MachineId};
use crate::monitor::store::Refused;
use std::sync::Arc;
use std::time::Duration;

/// The settings of one condition on one machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    pub is_on: bool,
    /// Of a condition with a number.
    pub threshold: Option<f32>,
    pub hold: Duration,
}

impl Setting {
    pub fn of(entry: &CatalogueEntry) -> Setting {
        Setting { is_on: true, threshold: entry.limit.map(|limit| limit.threshold), hold: entry.hold }
    }
}

/// The settings of all conditions on one machine. Machines with the same settings share one.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings([Setting; CONDITIONS]);

impl Default for Settings {
    fn default() -> Settings {
        Settings(CATALOGUE.each_ref().map(Setting::of))
    }
}

impl Settings {
    pub fn get(&self, condition: Condition) -> Setting {
        self.0[condition as usize]
    }

    pub fn set(&mut self, condition: Condition, setting: Setting) {
        self.0[condition as usize] = setting;
    }
}

/// The settings of a machine, shared.
pub type SharedSettings = Arc<Settings>;

/// The machines that a change is about. A later variant counts before an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    All,
    Group(String),
    Tag(String),
    Machine(MachineId),
}

impl Scope {
    fn includes(&self, machine: &Machine) -> bool {
        match self {
            Scope::All => true,
            Scope::Group(name) => machine.group.as_ref() == Some(name),
            Scope::Tag(name) => machine.tags.contains(name),
            Scope::Machine(id) => machine.id == *id,
        }
    }
}

/// A change of one condition's settings; `None`: not changed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SettingChange {
    pub is_on: Option<bool>,
    pub threshold: Option<f32>,
    pub hold: Option<Duration>,
}

impl SettingChange {
    pub fn apply(&self, to: &mut Setting) {
        to.is_on = self.is_on.unwrap_or(to.is_on);
        to.threshold = self.threshold.or(to.threshold);
        to.hold = self.hold.unwrap_or(to.hold);
    }
}

/// What was changed of one condition in one scope.
#[derive(Debug, Clone, PartialEq)]
pub struct ScopedChange {
    pub condition: Condition,
    pub scope: Scope,
    pub change: SettingChange,
}

/// The settings of one condition, and the scope that each comes from; `None`: the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct SourcedSetting {
    pub entry: &'static CatalogueEntry,
    pub setting: Setting,
    pub is_on_from: Option<Scope>,
    pub threshold_from: Option<Scope>,
    pub hold_from: Option<Scope>,
}

impl SourcedSetting {
    fn of(entry: &'static CatalogueEntry) -> SourcedSetting {
        let setting = Setting::of(entry);
        SourcedSetting { entry, setting, is_on_from: None, threshold_from: None, hold_from: None }
    }

    fn apply(&mut self, from: &ScopedChange) {
        from.change.apply(&mut self.setting);
        let scope = |is_set: bool, before: &mut Option<Scope>| {
            if is_set {
                *before = Some(from.scope.clone());
            }
        };
        scope(from.change.is_on.is_some(), &mut self.is_on_from);
        scope(from.change.threshold.is_some(), &mut self.threshold_from);
        scope(from.change.hold.is_some(), &mut self.hold_from);
    }

    /// Whether a value is not the catalogue's, wherever it comes from.
    pub fn is_changed(&self) -> bool {
        self.setting != Setting::of(self.entry)
    }
}

/// The settings of one machine, or those of the whole fleet. `changes` are in the order in which they apply.
pub fn sourced(changes: &[ScopedChange], machine: Option<&Machine>) -> Vec<SourcedSetting> {
    let mut settings: Vec<SourcedSetting> = CATALOGUE.iter().map(SourcedSetting::of).collect();
    for change in changes {
        if machine.map_or(change.scope == Scope::All, |machine| change.scope.includes(machine)) {
            settings[change.condition as usize].apply(change);
        }
    }
    settings
}

/// The longest accepted hold time.
const LONGEST_HOLD: Duration = Duration::from_secs(7 * 86_400);

/// A threshold that makes sense for the condition.
pub fn checked_threshold(entry: &CatalogueEntry, threshold: f32) -> Result<f32, Refused> {
    let name = entry.name;
    match entry.limit {
        None => Err(Refused::because(format!(
            "{name} has no threshold, it holds or it does not; its hold time is changed with --for"
        ))),
        Some(limit) if !limit.allows(threshold) => {
            let (least, most) = (limit.range.0, limit.with_unit(limit.range.1));
            Err(Refused::because(format!("the threshold of {name} must be from {least} to {most}")))
        }
        Some(_) => Ok(threshold),
    }
}

/// A hold time that is not longer than a week.
pub fn checked_hold(hold: Duration) -> Result<Duration, Refused> {
    match hold <= LONGEST_HOLD {
        true => Ok(hold),
        false => Err(Refused::because(format!("the hold time is at most {}", Period(LONGEST_HOLD)))),
    }
}
