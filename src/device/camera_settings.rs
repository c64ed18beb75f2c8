//! Camera settings that the API has changed: an overlay of the configuration file, kept in the state directory.
//!
//! Each entry remembers the value that the file had. When that changes later, the file wins and the entry is dropped:
//! a person who edits the file must see it take effect.

use super::config::{self, Config};
use super::os::file::open_regular;
use crate::atomic_file;
use crate::config::{ConfigError, Source};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// In the state directory.
pub const NAME: &str = "settings.json";
/// The settings that can be changed, as they are called in `[cameras]`.
const KEYS: [&str; 6] = ["enabled", "interval", "method", "tcp_port", "tcp_timeout", "icmp_timeout"];
/// PumaGuard's names begin with this, and have `-` for `_`.
const PREFIX: &str = "camera_heartbeat_";
/// Six entries have less than 1 KiB.
const LONGEST: u64 = 64 * 1024;

type Values = BTreeMap<String, Value>;

/// A changed setting: its value, and the one that the file had then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverlayEntry {
    value: Value,
    file: Value,
}

/// The settings of the file, and the changes on top of them.
#[derive(Debug)]
pub struct CameraSettings {
    source: Source,
    state_dir: PathBuf,
    file: Values,
    overlay: BTreeMap<String, OverlayEntry>,
    /// What to log about entries that no longer count.
    dropped: Vec<String>,
}

/// Why a change was refused.
#[derive(Debug)]
pub enum SettingsError {
    /// A value that the file would not accept either, or no setting at all.
    Invalid(String),
    /// It cannot be kept.
    Unwritable(String),
}

impl CameraSettings {
    /// The overlay of `config`, which was read from `source`, without the entries whose value in the file has changed.
    pub fn load(source: &Source, config: &Config) -> CameraSettings {
        CameraSettings::read(source.clone(), config.daemon.state_dir.clone(), values(&config.cameras))
    }

    fn read(source: Source, state_dir: PathBuf, file: Values) -> CameraSettings {
        let mut dropped = Vec::new();
        let overlay = read(&state_dir).unwrap_or_else(|error| {
            dropped.push(format!("cannot read {}: {error}; using the configuration file", NAME));
            BTreeMap::new()
        });
        let (overlay, outdated) = reconciled(overlay, &file);
        dropped.extend(outdated);
        let mut settings = CameraSettings { source, state_dir, file, overlay, dropped };
        if let Err(error) = settings.cameras() {
            settings.overlay.clear();
            settings.dropped.push(format!("{NAME}: {error}; using the configuration file"));
        }
        settings
    }

    /// Replaces the settings of the file by those of `newer`, and reads the overlay again: a change may have been saved
    /// since `newer` was loaded.
    pub fn reload(&mut self, newer: &CameraSettings) {
        *self = CameraSettings::read(newer.source.clone(), newer.state_dir.clone(), newer.file.clone());
    }

    /// Logs the dropped settings and writes the others; called only by the running daemon.
    pub fn settle(&mut self) {
        if self.dropped.is_empty() {
            return;
        }
        self.dropped.drain(..).for_each(|line| log::warn!("camera settings: {line}"));
        if let Err(error) = write(&self.state_dir, &self.overlay) {
            log::warn!("camera settings: cannot write {NAME}: {error}");
        }
    }

    /// The cameras' configuration with the changes.
    pub fn cameras(&self) -> Result<config::Cameras, ConfigError> {
        cameras(&self.source, &self.overlay)
    }

    /// Applies changes under PumaGuard's names or those of the file; other names are ignored, as PumaGuard does.
    /// Returns the new configuration, and a line for each change.
    pub fn change(
        &mut self,
        changes: &Map<String, Value>,
    ) -> Result<(config::Cameras, Vec<String>), SettingsError> {
        let known: Values =
            changes.iter().filter_map(|(name, value)| Some((key(name)?, value.clone()))).collect();
        if known.is_empty() {
            let names: Vec<_> = KEYS.iter().map(|key| public(key)).collect();
            return Err(SettingsError::Invalid(format!(
                "no setting that can be changed; there are {}",
                names.join(", ")
            )));
        }
        let mut overlay = self.overlay.clone();
        for (key, value) in known {
            let file = self.file.get(&key).cloned().unwrap_or(Value::Null);
            match value == file {
                true => _ = overlay.remove(&key),
                false => _ = overlay.insert(key, OverlayEntry { value, file }),
            }
        }
        self.replace(overlay)
    }

    /// Drops all changes: the file counts again.
    pub fn reset(&mut self) -> Result<(config::Cameras, Vec<String>), SettingsError> {
        self.replace(BTreeMap::new())
    }

    fn replace(
        &mut self,
        overlay: BTreeMap<String, OverlayEntry>,
    ) -> Result<(config::Cameras, Vec<String>), SettingsError> {
        let cameras =
            cameras(&self.source, &overlay).map_err(|error| SettingsError::Invalid(error.to_string()))?;
        write(&self.state_dir, &overlay)
            .map_err(|error| SettingsError::Unwritable(format!("cannot write {NAME}: {error}")))?;
        let before = self.effective();
        self.overlay = overlay;
        let now = self.effective();
        let changed = now.iter().filter(|(key, value)| before.get(*key) != Some(value));
        let lines = changed.map(|(key, value)| {
            let before = before.get(key).unwrap_or(&Value::Null);
            format!("{key} {before} -> {value}")
        });
        Ok((cameras, lines.collect()))
    }

    fn effective(&self) -> Values {
        let mut values = self.file.clone();
        values.extend(self.overlay.iter().map(|(key, entry)| (key.clone(), entry.value.clone())));
        values
    }

    /// The six settings under PumaGuard's names, and those that differ from the file.
    pub fn view(&self) -> Map<String, Value> {
        let mut view: Map<_, _> =
            self.effective().into_iter().map(|(key, value)| (public(&key), value)).collect();
        let changed: Map<_, _> =
            self.overlay.iter().map(|(key, entry)| (public(key), json!(entry))).collect();
        view.insert("changed".to_owned(), Value::Object(changed));
        view
    }

    /// A sentence for each changed setting.
    pub fn differences(&self) -> Vec<String> {
        let line = |(key, entry): (&String, &OverlayEntry)| {
            format!("[cameras] {key} = {} by the API (the file says {})", entry.value, entry.file)
        };
        self.overlay.iter().map(line).collect()
    }
}

/// The name in `[cameras]` of a setting that can be changed.
fn key(name: &str) -> Option<String> {
    let name = name.replace('-', "_");
    let key = name.strip_prefix(PREFIX).unwrap_or(&name);
    KEYS.contains(&key).then(|| key.to_owned())
}

/// PumaGuard's name.
fn public(key: &str) -> String {
    format!("{PREFIX}{key}").replace('_', "-")
}

/// As PumaGuard writes them: durations as seconds.
fn values(cameras: &config::Cameras) -> Values {
    let plan = &cameras.plan;
    let seconds = |time: Duration| match time.subsec_nanos() {
        0 => json!(time.as_secs()),
        _ => json!(time.as_secs_f64()),
    };
    let values = [
        json!(cameras.enabled),
        seconds(plan.interval),
        json!(plan.method.as_str()),
        json!(plan.port),
        seconds(plan.tcp_timeout),
        seconds(plan.icmp_timeout),
    ];
    KEYS.iter().map(|key| (*key).to_owned()).zip(values).collect()
}

/// Without the entries whose value in the file is not the remembered one, and a line for each of those.
fn reconciled(
    overlay: BTreeMap<String, OverlayEntry>,
    file: &Values,
) -> (BTreeMap<String, OverlayEntry>, Vec<String>) {
    let (kept, outdated): (BTreeMap<_, _>, BTreeMap<_, _>) =
        overlay.into_iter().partition(|(key, entry)| file.get(key) == Some(&entry.file));
    let line = |(key, entry): (&String, &OverlayEntry)| {
        let now = file.get(key).unwrap_or(&Value::Null);
        format!(
            "{key}: the file has changed from {} to {now} and counts; {} is dropped",
            entry.file, entry.value
        )
    };
    let lines = outdated.iter().map(line).collect();
    (kept, lines)
}

/// The overlay as a `[cameras]` section: JSON's literals are TOML's too.
fn cameras(
    source: &Source,
    overlay: &BTreeMap<String, OverlayEntry>,
) -> Result<config::Cameras, ConfigError> {
    let mut text = "[cameras]\n".to_owned();
    for (key, OverlayEntry { value, .. }) in overlay {
        if !(value.is_boolean() || value.is_number() || value.is_string()) {
            return Err(ConfigError::new(format!("{key}: expected one value, not {value}")));
        }
        text += &format!("{key} = {value}\n");
    }
    Config::cameras_with(source, &Source::new(NAME, text))
}

fn read(state_dir: &Path) -> io::Result<BTreeMap<String, OverlayEntry>> {
    let mut bytes = Vec::new();
    match open_regular(&state_dir.join(NAME)) {
        Ok(file) => file.take(LONGEST).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let overlay: BTreeMap<String, OverlayEntry> = serde_json::from_slice(&bytes)?;
    Ok(overlay.into_iter().filter(|(key, _)| KEYS.contains(&key.as_str())).collect())
}

/// Durable before it returns: a change that was confirmed survives a power cut.
fn write(state_dir: &Path, overlay: &BTreeMap<String, OverlayEntry>) -> io::Result<()> {
    atomic_file::replace_durably(&state_dir.join(NAME), |file| Ok(serde_json::to_writer(file, overlay)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn source(state_dir: &Path, cameras: &str) -> Source {
        let text = format!("[daemon]\nstate_dir = {state_dir:?}\n[cameras]\n{cameras}\n");
        Source::new("/etc/x.toml", text)
    }

    fn load(state_dir: &Path, cameras: &str) -> CameraSettings {
        let source = source(state_dir, cameras);
        let config = Config::from_source(&source, &|_| None).expect("good");
        CameraSettings::load(&source, &config)
    }

    fn change(settings: &mut CameraSettings, changes: Value) -> Result<config::Cameras, SettingsError> {
        settings.change(changes.as_object().expect("an object")).map(|(cameras, _)| cameras)
    }

    #[test]
    fn a_change_is_kept_and_applies_to_cameras_without_their_own_setting() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = "[[cameras.camera]]\nmac = \"02:00:00:00:00:01\"\nmethod = \"icmp\"";
        let mut settings = load(dir.path(), file);
        let changed =
            json!({"camera-heartbeat-interval": 30, "camera_heartbeat_method": "both", "volume": 80});
        let cameras = change(&mut settings, changed).expect("valid");
        assert_eq!((cameras.plan.interval, cameras.plan.method.as_str()), (Duration::from_secs(30), "both"));
        let own = &cameras.cameras[0].plan;
        assert_eq!((own.interval, own.method.as_str()), (Duration::from_secs(30), "icmp"));
        let again = load(dir.path(), file);
        assert_eq!(again.cameras().expect("valid"), cameras);
        assert_eq!(again.differences().len(), 2);
        assert_eq!(again.view()["camera-heartbeat-tcp-port"], 80);
        assert_eq!(again.view()["changed"]["camera-heartbeat-interval"], json!({"value": 30, "file": 60}));
    }

    #[test]
    fn a_later_change_of_the_file_wins_and_is_logged_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut settings = load(dir.path(), "interval = \"60s\"");
        change(&mut settings, json!({"interval": 30, "tcp_port": 8080})).expect("valid");
        let mut edited = load(dir.path(), "interval = \"90s\"");
        assert_eq!(edited.dropped.len(), 1, "{:?}", edited.dropped);
        let plan = edited.cameras().expect("valid").plan;
        assert_eq!((plan.interval, plan.port), (Duration::from_secs(90), 8080));
        edited.settle();
        assert!(load(dir.path(), "interval = \"90s\"").dropped.is_empty());
        assert!(load(dir.path(), "").dropped.is_empty(), "an entry that was dropped does not come back");
    }

    #[test]
    fn what_the_file_would_refuse_is_refused_and_nothing_changes() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut settings = load(dir.path(), "");
        for changes in [
            json!({"interval": 0}),
            json!({"interval": -1}),
            json!({"interval": "soon"}),
            json!({"method": "telepathy"}),
            json!({"tcp_port": 65_536}),
            json!({"tcp_port": "80"}),
            json!({"enabled": 1}),
            json!({"enabled": null}),
            json!({"method": {"a": 1}}),
            json!({"interval": 30, "tcp_port": 0}),
            json!({"volume": 80}),
            json!({}),
        ] {
            let refusal = change(&mut settings, changes.clone());
            assert!(matches!(refusal, Err(SettingsError::Invalid(_))), "{changes}: {refusal:?}");
        }
        assert!(settings.differences().is_empty() && !dir.path().join(NAME).exists());
    }

    #[test]
    fn a_reset_and_a_change_back_end_the_difference() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut settings = load(dir.path(), "");
        change(&mut settings, json!({"interval": 30, "enabled": false})).expect("valid");
        change(&mut settings, json!({"interval": 60})).expect("valid");
        assert_eq!(settings.differences().len(), 1);
        let (cameras, lines) = settings.reset().expect("writable");
        assert_eq!((cameras.enabled, lines), (true, vec!["enabled false -> true".to_owned()]));
        assert!(load(dir.path(), "").differences().is_empty());
    }

    #[test]
    fn a_broken_state_file_costs_the_changes_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        for text in ["", "{", "[]", "{\"interval\":{\"value\":0,\"file\":60}}", "{\"interval\":7}"] {
            fs::write(dir.path().join(NAME), text).expect("written");
            let settings = load(dir.path(), "");
            assert_eq!(settings.dropped.len(), 1, "{text}");
            assert_eq!(settings.cameras().expect("valid").plan.interval, Duration::from_secs(60));
        }
    }

    #[test]
    fn a_state_directory_that_cannot_be_written_refuses_the_change() {
        let mut settings = load(Path::new("/proc/nowhere"), "");
        let refusal = change(&mut settings, json!({"interval": 30}));
        assert!(matches!(refusal, Err(SettingsError::Unwritable(_))), "{refusal:?}");
        assert!(settings.differences().is_empty());
    }
}
