//! Random bytes as the answers of a mail server: cargo +nightly fuzz run smtp -- -max_total_time=600
//!
//! The first three bytes say where the rest is cut.

#![no_main]

use heartbeat_daemon::monitor::notify::smtp::exercise::exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((cuts, rest)) = bytes.split_at_checked(3) {
        exercise(rest, cuts);
    }
});
