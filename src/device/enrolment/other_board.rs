//! On another board than the one that the card was enrolled in: one thread asks to be approved, with the card's token as its
//! credential and a new token for this board, until a person has decided. Without a key, it needs no more rights than the
//! daemon has.

use super::client::{EnrolmentAnswer, EnrolmentClient};
use super::pace::EnrolmentPace;
use super::record::EnrolmentRecord;
use super::server::MonitorAddress;
use super::state_dir::EnrolmentDirectory;
use super::stored::{EnrolmentState, StoredEnrolment};
use crate::device::config::{Config, HeartbeatConfig};
use crate::device::metrics::read_identity;
use crate::startup::spawn;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the thread needs.
struct ApprovalRequest {
    config: HeartbeatConfig,
    state_dir: PathBuf,
    /// Of the board that the card was enrolled in.
    card: Arc<EnrolmentRecord>,
    /// Of this one.
    hardware_id: String,
    hostname: Option<String>,
    pace: EnrolmentPace,
}

/// Starts the thread if this is another board. It ends with the approval, or when the sender is dropped. The daemon reads the
/// new enrolment as soon as it is stored.
pub fn request_approval(config: &Config) -> Option<Sender<()>> {
    let StoredEnrolment { state: EnrolmentState::OtherBoard { record, hardware_id }, .. } =
        &config.heartbeat.enrolment
    else {
        return None;
    };
    let state_dir = config.daemon.state_dir.clone();
    let request = ApprovalRequest {
        config: config.heartbeat.clone(),
        card: record.clone(),
        hardware_id: hardware_id.clone(),
        hostname: read_identity(Path::new("/"), &state_dir).hostname,
        state_dir,
        pace: EnrolmentPace::default(),
    };
    let (stop, stopped) = bounded(0);
    match spawn("enrolment", move || request.run(&stopped)) {
        Ok(_) => Some(stop),
        Err(error) => {
            log::error!("{error}; this board is not enrolled before the next start");
            None
        }
    }
}

impl ApprovalRequest {
    fn run(mut self, stopped: &Receiver<()>) {
        loop {
            let answer =
                self.send().unwrap_or_else(|problem| EnrolmentAnswer::Failed { problem, hold: None });
            if let EnrolmentAnswer::Granted { name, machine } = &answer {
                return log::info!("{} approved this board as {name} (machine {machine})", self.card.url);
            }
            self.log(&answer);
            let delay = self.pace.delay(&answer, fastrand::f64());
            if stopped.recv_timeout(delay) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn log(&mut self, answer: &EnrolmentAnswer) {
        let (card, board) = (&self.card, &self.hardware_id);
        let line = match answer {
            EnrolmentAnswer::Waiting(reason) => {
                format!(
                    "board {board} waits for approval at {}: {reason} (heartbeat-monitor enroll list)",
                    card.url
                )
            }
            EnrolmentAnswer::Refused(reason) => {
                format!("{} refuses board {board}: {reason}; asking again in an hour", card.url)
            }
            EnrolmentAnswer::Failed { problem, .. } => {
                format!("{} was not asked to approve board {board}: {problem}; trying again", card.url)
            }
            EnrolmentAnswer::Granted { .. } => return,
        };
        if self.pace.is_news(&line) {
            log::warn!("{line}");
        }
    }

    /// One request; the granted enrolment is on the disk afterwards.
    ///
    /// # Errors
    /// The state directory is in use or cannot be written, or a certificate file cannot be used.
    fn send(&self) -> Result<EnrolmentAnswer, String> {
        let cannot_store =
            |error: std::io::Error| format!("cannot store a token in {}: {error}", self.state_dir.display());
        // A key is better than an approval: while heartbeat-daemon-enroll.service uses one, nothing is asked here.
        let directory = EnrolmentDirectory::lock(&self.state_dir).map_err(cannot_store)?;
        let directory = directory.ok_or("an enrolment with a key is running")?;
        let EnrolmentRecord { url, ca, token, .. } = &*self.card;
        let new = EnrolmentRecord::new(url, &self.hardware_id, ca.as_deref(), "").map_err(cannot_store)?;
        let record = directory.pending(new).map_err(cannot_store)?;
        let client = EnrolmentClient::new(&self.config, &MonitorAddress::parse(url)?, &record)
            .map_err(|error| error.to_string())?;
        let answer = client.send(token, &record, self.hostname.as_deref());
        if let EnrolmentAnswer::Granted { .. } = answer {
            directory.grant(&record).map_err(cannot_store)?;
        }
        Ok(answer)
    }
}
