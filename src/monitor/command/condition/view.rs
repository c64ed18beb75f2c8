//! Conditions and their settings as the commands show them.

use crate::config::Period;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::conditions::settings::{Scope, SettingChange, SourcedSetting};
use crate::monitor::conditions::table::json_number;
use crate::monitor::conditions::words::{cells, scope, state, threshold};
use crate::table::table;
use serde_json::{Value, json};
use std::time::Duration;

/// A change, with its scope as text.
pub struct ListedChange {
    pub scope: String,
    pub condition: Condition,
    pub change: SettingChange,
}

pub fn list(settings: &[SourcedSetting]) -> String {
    let row = |listed: &SourcedSetting| {
        let (entry, [state, threshold, hold]) = (listed.entry, cells(listed));
        [
            entry.name.to_owned(),
            entry.topic.name().to_owned(),
            state,
            threshold,
            hold,
            entry.meaning.to_owned(),
        ]
    };
    let rows: Vec<_> = settings.iter().map(row).collect();
    table(["CONDITION", "TOPIC", "STATE", "THRESHOLD", "HOLD", "MEANING"], &rows)
}

/// The settings of the whole fleet, and below them the changes for fewer machines.
pub fn list_with(settings: &[SourcedSetting], changes: &[ListedChange]) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let row = |listed: &ListedChange| {
        let (entry, change) = (listed.condition.entry(), &listed.change);
        [
            listed.scope.clone(),
            entry.name.to_owned(),
            or_dash(change.is_on.map(|is_on| state(is_on).to_owned())),
            or_dash(threshold(entry, change.threshold)),
            or_dash(change.hold.map(|hold| Period(hold).to_string())),
        ]
    };
    let rows: Vec<_> = changes.iter().filter(|listed| listed.scope != "all").map(row).collect();
    if rows.is_empty() {
        return list(settings);
    }
    let changed = table(["CHANGED FOR", "CONDITION", "STATE", "THRESHOLD", "HOLD"], &rows);
    format!("{}\n\n{changed}", list(settings))
}

/// An array of conditions, each with the changes of it, if there are `changes`.
pub fn as_json(settings: &[SourcedSetting], changes: Option<&[ListedChange]>) -> String {
    let object = |listed: &SourcedSetting| {
        let mut object = setting_json(listed);
        if let Some(changes) = changes {
            let of_it = changes.iter().filter(|change| change.condition == listed.entry.condition);
            object["changes"] = of_it.map(change_json).collect();
        }
        object
    };
    Value::Array(settings.iter().map(object).collect()).to_string()
}

pub fn setting_json(listed: &SourcedSetting) -> Value {
    let entry = listed.entry;
    let from = |scope_of: &Option<Scope>| scope_of.as_ref().map_or_else(|| "default".to_owned(), scope);
    json!({
        "condition": entry.name,
        "topic": entry.topic.name(),
        "meaning": entry.meaning,
        "reason": entry.reason,
        "on": listed.setting.is_on,
        "on_from": from(&listed.is_on_from),
        "threshold": listed.setting.threshold.map(json_number),
        "threshold_from": from(&listed.threshold_from),
        "unit": entry.limit.map(|limit| limit.unit),
        "hold_s": seconds(listed.setting.hold),
        "hold_from": from(&listed.hold_from),
        "default_threshold": entry.limit.map(|limit| json_number(limit.threshold)),
        "default_hold_s": seconds(entry.hold),
    })
}

fn change_json(listed: &ListedChange) -> Value {
    json!({
        "scope": listed.scope,
        "on": listed.change.is_on,
        "threshold": listed.change.threshold.map(json_number),
        "hold_s": listed.change.hold.map(seconds),
    })
}

fn seconds(duration: Duration) -> Value {
    json_number(duration.as_secs_f64())
}
