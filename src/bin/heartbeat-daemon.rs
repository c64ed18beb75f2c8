//! The program on the device; all of it is in [`heartbeat_daemon::device`].

use std::process::ExitCode;

fn main() -> ExitCode {
    heartbeat_daemon::device::cli::main()
}
