//! How often a source is asked, and how soon again after it had nothing.

use std::time::Duration;

/// After an error a path is looked for again, a silent firmware asked again: not more often than this.
pub const SECOND_LOOK: Duration = Duration::from_secs(60);

/// How often a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// It costs a system call or two, or an ioctl.
    EachSample,
    /// It runs a program or asks a peer: asked after a sample was published, one such source at a time; its
    /// value is kept meanwhile.
    Every(Duration),
}
