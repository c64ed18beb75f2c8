//! Packages for devices: the files below `[packages] directory` are served as `/apt/`, and `/install` is the script that
//! installs the daemon from there.
//!
//! The thread `packages` opens and reads the files, so that neither a disk that hangs nor a slow client delays a heartbeat.
//!
//! | file | what it owns |
//! |---|---|
//! | `offer` | what is offered under the current configuration |
//! | `index` | the list of files, and how one is opened |
//! | `service` | the thread, and the way of a request to it |
//! | `install` | the script `/install`, and the command that runs it |
//! | `private_ca` | the certificate of a private CA |
//! | `card` | files for the boot partition of a new SD card |

pub mod card;
pub mod index;
pub mod install;
pub mod offer;
pub mod private_ca;
pub mod service;
