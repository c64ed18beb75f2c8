//! Whether the daemon uses the enrolment in the state directory, and whether that has changed. The configuration wins: an
//! enrolment adds a server and a token where `[heartbeat]` has none.

use super::record::{EnrolmentRecord, FileStamp};
use crate::tls_client::trust::Trust;
use rustix::process::{Signal, getpid, kill_process};
use std::path::PathBuf;
use std::sync::Arc;

/// The enrolment in the state directory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredEnrolment {
    pub path: PathBuf,
    /// Of the file that was read; `None`: there was none.
    pub stamp: Option<FileStamp>,
    pub state: EnrolmentState,
}

/// What the enrolment is to this device and its configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum EnrolmentState {
    #[default]
    Absent,
    Used(Arc<EnrolmentRecord>),
    /// Why not.
    Unused(String),
    /// The card was enrolled in a board with another hardware id than this one, `hardware_id`. Its token is not this
    /// device's.
    OtherBoard {
        record: Arc<EnrolmentRecord>,
        hardware_id: String,
    },
}

/// What the configuration and the board say.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// `[heartbeat]` has a token, from a file or a systemd credential.
    pub has_token: bool,
    /// The URL in `[heartbeat]` names another server.
    pub is_elsewhere: bool,
    /// Of this board; `None`: it has none, and cannot be told from others.
    pub hardware_id: Option<&'a str>,
}

impl EnrolmentState {
    /// Whether a record is used.
    pub fn of(record: EnrolmentRecord, surroundings: &Surroundings<'_>) -> EnrolmentState {
        let unusable_ca = record.ca.as_ref().and_then(|ca| Trust::only(ca.as_bytes()).err());
        let unused = match (surroundings, unusable_ca) {
            (Surroundings { has_token: true, .. }, _) => "[heartbeat] has a token of its own".to_owned(),
            (Surroundings { is_elsewhere: true, .. }, _) => {
                format!("it is for {}, and url in [heartbeat] names another server", record.url)
            }
            (_, Some(problem)) => format!("its CA {problem}"),
            (Surroundings { hardware_id, .. }, None) => {
                let record = Arc::new(record);
                return match hardware_id.filter(|id| *id != record.hardware_id) {
                    None => EnrolmentState::Used(record),
                    Some(id) => EnrolmentState::OtherBoard { record, hardware_id: id.to_owned() },
                };
            }
        };
        EnrolmentState::Unused(unused)
    }
}

impl StoredEnrolment {
    /// The record whose token and CA are used.
    pub fn record(&self) -> Option<&EnrolmentRecord> {
        match &self.state {
            EnrolmentState::Used(record) => Some(record),
            _ => None,
        }
    }

    pub fn is_of_other_board(&self) -> bool {
        matches!(self.state, EnrolmentState::OtherBoard { .. })
    }

    /// Logged at start and after each reload.
    pub fn announce(&self) {
        let path = self.path.display();
        match &self.state {
            EnrolmentState::Absent => {}
            EnrolmentState::Used(_) => log::info!("enrolled: the token is that of {path}"),
            EnrolmentState::Unused(reason) => log::warn!("{path} is not used: {reason}"),
            EnrolmentState::OtherBoard { record, hardware_id } => log::warn!(
                "this card was enrolled in the board {}, and this is {hardware_id}: no heartbeat is sent until {} approves \
                 it (heartbeat-monitor enroll list)",
                record.hardware_id,
                record.url
            ),
        }
    }

    /// Reloads the configuration, as SIGHUP does, if the file is another one than before. Costs one stat(2), answered from
    /// the kernel's memory; called after a heartbeat, so that even a slow one delays nothing.
    pub fn reload_if_changed(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        let stamp = FileStamp::of(&self.path);
        // Once for each change: if the configuration is refused, the old one stays.
        if std::mem::replace(&mut self.stamp, stamp) != stamp {
            log::info!("{} has changed; reloading the configuration", self.path.display());
            if let Err(error) = kill_process(getpid(), Signal::HUP) {
                log::error!("cannot reload the configuration: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_and_the_board_decide_whether_a_record_is_used() {
        let record = |ca: Option<&str>| {
            EnrolmentRecord::new("https://m.example.org/api/v1/heartbeat", "a", ca, "k")
                .expect("random numbers")
        };
        let here = Surroundings { has_token: false, is_elsewhere: false, hardware_id: Some("a") };
        let state = |surroundings| match EnrolmentState::of(record(None), &surroundings) {
            EnrolmentState::Absent => "absent".to_owned(),
            EnrolmentState::Used(_) => "used".to_owned(),
            EnrolmentState::Unused(reason) => reason,
            EnrolmentState::OtherBoard { hardware_id, .. } => format!("board {hardware_id}"),
        };
        assert_eq!(state(here), "used");
        assert_eq!(state(Surroundings { hardware_id: None, ..here }), "used");
        assert_eq!(state(Surroundings { hardware_id: Some("b"), ..here }), "board b");
        let own_token = Surroundings { has_token: true, hardware_id: Some("b"), ..here };
        assert_eq!(state(own_token), "[heartbeat] has a token of its own");
        assert!(state(Surroundings { is_elsewhere: true, ..here }).contains("names another server"));
        let damaged = EnrolmentState::of(record(Some("no PEM")), &here);
        assert!(matches!(damaged, EnrolmentState::Unused(reason) if reason.starts_with("its CA holds no")));
    }
}
