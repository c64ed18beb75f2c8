//! The program on the server: start-up, threads, and the pages for people. What it serves is in
//! [`heartbeat_daemon::monitor`], which knows nothing of what is here.
//!
//! | file | what it owns |
//! |---|---|
//! | `serve`, `threads` | start-up, signals, stop; which threads there are |
//! | `gate` | which requests are refused before their body has come |
//! | `web/` | the pages for people |

mod gate;
mod serve;
mod threads;
mod web;

use std::process::ExitCode;

fn main() -> ExitCode {
    heartbeat_daemon::monitor::cli::main(serve::run)
}
