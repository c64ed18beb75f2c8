//! Adds the enrolment of the state directory to a configuration, and what `doctor` says about it.

use super::order::key_files;
use super::record::{EnrolmentRecord, FileStamp};
use super::state_dir::{ENROLMENT, is_pending};
use super::stored::{EnrolmentState, StoredEnrolment, Surroundings};
use crate::config::ConfigError;
use crate::device::config::{Config, HeartbeatConfig, is_same_server, server_url};
use crate::device::heartbeat::credentials::own_token;
use crate::device::metrics::read_identity;
use std::path::Path;

/// Reads the enrolment. One that is used adds its server, token and CA to `[heartbeat]`; on another board than its own, no
/// heartbeat is sent.
///
/// # Errors
/// The token file of the configuration cannot be read.
pub fn apply(config: &mut Config) -> Result<(), ConfigError> {
    let path = config.daemon.state_dir.join(ENROLMENT);
    // First: a change after it is noticed, at worst twice.
    let stamp = FileStamp::of(&path);
    let state = match EnrolmentRecord::read(&path) {
        Ok(Some(record)) => state(record, config)?,
        Ok(None) => EnrolmentState::Absent,
        Err(error) => EnrolmentState::Unused(error.to_string()),
    };
    config.heartbeat.enrolment = StoredEnrolment { path, stamp, state };
    Ok(())
}

fn state(record: EnrolmentRecord, config: &mut Config) -> Result<EnrolmentState, ConfigError> {
    let Ok(url) = server_url(&record.url) else {
        return Ok(EnrolmentState::Unused("its url is damaged".to_owned()));
    };
    let board = read_identity(Path::new("/"), &config.daemon.state_dir).hardware_id;
    let heartbeat = &mut config.heartbeat;
    let servers = heartbeat.servers();
    let is_granting =
        |server: &&HeartbeatConfig| server.url.as_ref().is_some_and(|own| is_same_server(own, &url));
    let granting = servers.iter().find(is_granting);
    let surroundings = Surroundings {
        has_token: own_token(granting.unwrap_or(heartbeat))?.is_some(),
        is_elsewhere: !servers.is_empty() && granting.is_none(),
        hardware_id: board.as_ref().map(|board| board.id.as_str()),
    };
    let state = EnrolmentState::of(record, &surroundings);
    match &state {
        EnrolmentState::Used(_) => _ = heartbeat.url.get_or_insert(url),
        EnrolmentState::OtherBoard { .. } => (heartbeat.url, heartbeat.backups) = (None, Vec::new()),
        EnrolmentState::Absent | EnrolmentState::Unused(_) => {}
    }
    Ok(state)
}

/// The enrolment of this device in one sentence.
///
/// # Errors
/// The sentence, if something is left to do.
pub fn examine(config: &Config) -> Result<String, String> {
    match &config.heartbeat.enrolment.state {
        EnrolmentState::Used(record) => Ok(format!("board {} at {}", record.hardware_id, record.url)),
        EnrolmentState::Unused(reason) => Err(format!("not used: {reason}")),
        EnrolmentState::OtherBoard { record, hardware_id } => Err(format!(
            "the card was enrolled in board {}, and this is {hardware_id}: it waits for approval (heartbeat-monitor enroll \
             list)",
            record.hardware_id
        )),
        EnrolmentState::Absent => absent(config),
    }
}

fn absent(config: &Config) -> Result<String, String> {
    if is_pending(&config.daemon.state_dir) {
        return Err("requested, not granted yet (journalctl -u heartbeat-daemon-enroll)".to_owned());
    }
    if let Some(file) = key_files(Path::new("/")).first() {
        return Err(format!("{} holds a key: systemctl start heartbeat-daemon-enroll", file.display()));
    }
    match own_token(&config.heartbeat) {
        Ok(Some(_)) => Ok("none, and none is needed: [heartbeat] has a token".to_owned()),
        _ => Err("none (heartbeat-daemon enroll URL)".to_owned()),
    }
}
