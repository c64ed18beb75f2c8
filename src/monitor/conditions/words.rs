//! Conditions and their settings in words, for commands and pages.

use crate::config::Period;
use crate::monitor::conditions::catalogue::CatalogueEntry;
use crate::monitor::conditions::settings::{Scope, SettingChange, SourcedSetting};

/// `the processor is too hot (80 °C, for 5m)`
pub fn summary(entry: &CatalogueEntry) -> String {
    let threshold = entry.limit.map(|limit| limit.with_unit(limit.threshold));
    let hold = (!entry.hold.is_zero()).then(|| format!("for {}", Period(entry.hold)));
    let values: Vec<String> = threshold.into_iter().chain(hold).collect();
    if values.is_empty() {
        entry.meaning.to_owned()
    } else {
        format!("{} ({})", entry.meaning, values.join(", "))
    }
}

/// Whether a machine with this condition works, and a person should look at it; a kind of a later version does not count
/// as minor.
pub fn is_minor(kind: &str) -> bool {
    const MINOR: [&str; 8] =
        ["standby", "no_standby", "under_voltage", "throttled", "clock", "boots", "wifi", "refused_token"];
    MINOR.contains(&kind)
}

/// `all`, `group:barn`, `tag:attic` or `machine`.
pub fn scope(scope: &Scope) -> String {
    match scope {
        Scope::All => "all".into(),
        Scope::Group(name) => format!("group:{name}"),
        Scope::Tag(name) => format!("tag:{name}"),
        Scope::Machine(_) => "machine".into(),
    }
}

/// `threshold 75 °C, hold time 10m`
pub fn change(entry: &CatalogueEntry, change: &SettingChange) -> String {
    let parts = [
        change.is_on.map(|is_on| state(is_on).to_owned()),
        threshold(entry, change.threshold).map(|threshold| format!("threshold {threshold}")),
        change.hold.map(|hold| format!("hold time {}", Period(hold))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

pub fn state(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

pub fn threshold(entry: &CatalogueEntry, number: Option<f32>) -> Option<String> {
    entry.limit.zip(number).map(|(limit, number)| limit.with_unit(number))
}

/// A value with the scope that it comes from, if it is not the catalogue's: `75 °C (group:barn)`.
fn sourced(value: &str, from: Option<&Scope>) -> String {
    from.map_or_else(|| value.to_owned(), |from| format!("{value} ({})", scope(from)))
}

/// State, threshold and hold time, each with its source.
pub fn cells(listed: &SourcedSetting) -> [String; 3] {
    let threshold = threshold(listed.entry, listed.setting.threshold).unwrap_or_else(|| "-".into());
    [
        sourced(state(listed.setting.is_on), listed.is_on_from.as_ref()),
        sourced(&threshold, listed.threshold_from.as_ref()),
        sourced(&Period(listed.setting.hold).to_string(), listed.hold_from.as_ref()),
    ]
}

/// The changed settings in one line: `threshold 75 °C (group:barn), hold time 10m (machine)`.
pub fn changed(listed: &SourcedSetting) -> String {
    let [state, threshold, hold] = cells(listed);
    let parts = [
        listed.is_on_from.as_ref().map(|_| state),
        listed.threshold_from.as_ref().map(|_| format!("threshold {threshold}")),
        listed.hold_from.as_ref().map(|_| format!("hold time {hold}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
