//! Terms that the sources, the firmware and the schedule share: how often a value is read, where it comes from, and why
//! there is none.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Shortest time between two searches for a path that failed, and between two attempts at a silent firmware.
pub const SECOND_LOOK: Duration = Duration::from_secs(60);

/// How often a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// For every sample: it costs a system call or two, or an ioctl.
    EachSample,
    /// It runs a program or asks a peer: read after a sample was published, one such source at a time. Its last value is
    /// used meanwhile.
    Every(Duration),
}

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum Absent {
    /// This machine cannot have it before a restart of the daemon; it is not read again.
    #[error("{0}")]
    ForGood(Cow<'static, str>),
    #[error("{}: {error}", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{0}")]
    Because(Cow<'static, str>),
}

impl Absent {
    pub fn because(reason: impl Into<Cow<'static, str>>) -> Absent {
        Absent::Because(reason.into())
    }

    pub fn for_good(reason: impl Into<Cow<'static, str>>) -> Absent {
        Absent::ForGood(reason.into())
    }

    /// The text of a file is not what it should be; at most 40 characters of it are shown.
    pub fn garbage(path: &Path, text: &str) -> Absent {
        let start: String = text.trim().chars().take(40).collect();
        Absent::Because(format!("{}: not understood: {start:?}", path.display()).into())
    }
}

/// The origin of a value: a file, a device node, a program, or a description.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    pub text: String,
    /// The file whose permissions decide.
    pub file: Option<PathBuf>,
}

impl Place {
    pub fn file(path: &Path) -> Place {
        Place { text: path.display().to_string(), file: Some(path.to_owned()) }
    }

    /// A file if it looks like a path, else words.
    pub fn named(text: impl Into<String>) -> Place {
        let text = text.into();
        let file = text.starts_with('/').then(|| PathBuf::from(&text)).filter(|path| path.exists());
        Place { text, file }
    }

    pub fn words(text: impl Into<String>) -> Place {
        Place { text: text.into(), file: None }
    }
}
