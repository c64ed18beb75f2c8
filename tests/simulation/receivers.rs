//! The receivers behind the channels: they answer, hang, refuse, limit, and lose answers.

use crate::world::{MINUTE, SECOND, about, pick};
use fastrand::Rng;
use heartbeat_daemon::monitor::notify::message::DeliveryError;
use std::time::Duration;

pub struct Receiver {
    pub kind: &'static str,
    mode: Mode,
    /// When it last failed.
    pub failed_at: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Healthy,
    Refusing,
    Limiting,
    Hanging,
    Losing,
    /// All of it.
    Flaky,
}

/// What becomes of one delivery; times are from its start.
#[derive(Debug, Clone)]
pub struct Fate {
    /// When the receiver has it; `None`: never.
    pub received: Option<u64>,
    /// When the courier has the result.
    pub answered: u64,
    pub result: Result<(), DeliveryError>,
}

const TIMEOUT: u64 = 10 * SECOND;

impl Receiver {
    pub fn new(kind: &'static str) -> Receiver {
        Receiver { kind, mode: Mode::Healthy, failed_at: None }
    }

    pub fn heal(&mut self) {
        self.mode = Mode::Healthy;
    }

    /// Changes how it answers; returns for how long.
    pub fn change(&mut self, rng: &mut Rng) -> (String, u64) {
        let bad = [Mode::Refusing, Mode::Limiting, Mode::Hanging, Mode::Losing, Mode::Flaky];
        self.mode = if self.mode == Mode::Healthy { pick(rng, &bad) } else { Mode::Healthy };
        let length = about(rng, if self.mode == Mode::Healthy { 40 * MINUTE } else { 10 * MINUTE });
        (format!("{:?}", self.mode), length.min(90 * MINUTE))
    }

    pub fn deliver(&mut self, rng: &mut Rng, may_refuse: bool) -> Fate {
        let mode = match self.mode {
            Mode::Flaky => pick(
                rng,
                &[Mode::Healthy, Mode::Healthy, Mode::Refusing, Mode::Limiting, Mode::Hanging, Mode::Losing],
            ),
            mode => mode,
        };
        let is_mail = self.kind == "email";
        let soon = rng.u64(20..500);
        let later = |why: &str| Err(DeliveryError::later(why));
        match mode {
            Mode::Healthy if may_refuse && rng.u8(..40) == 0 => Fate {
                received: None,
                answered: soon,
                result: Err(DeliveryError::Never { why: "refused".into() }),
            },
            Mode::Healthy => Fate { received: Some(soon / 2), answered: soon, result: Ok(()) },
            Mode::Refusing | Mode::Flaky => Fate { received: None, answered: soon, result: later("500") },
            Mode::Limiting => Fate {
                received: None,
                answered: soon,
                result: Err(DeliveryError::Later {
                    why: "429".into(),
                    after: Some(Duration::from_secs(rng.u64(1..100))),
                    limits_us: true,
                }),
            },
            Mode::Hanging => {
                let patience = if is_mail { 5 * MINUTE } else { TIMEOUT };
                Fate { received: None, answered: patience, result: later("no response in time") }
            }
            Mode::Losing if is_mail => Fate {
                received: Some(soon),
                answered: rng.u64(SECOND..10 * MINUTE),
                result: Err(DeliveryError::Unknown { why: "no response to the mail".into() }),
            },
            Mode::Losing => {
                let answered = if rng.bool() { soon + 1 } else { TIMEOUT };
                Fate { received: Some(soon), answered, result: later("connection reset") }
            }
        }
    }
}
