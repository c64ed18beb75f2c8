//! The program on the server; all of it is in [`heartbeat_daemon::monitor`].

use std::process::ExitCode;

fn main() -> ExitCode {
    heartbeat_daemon::monitor::cli::main()
}
