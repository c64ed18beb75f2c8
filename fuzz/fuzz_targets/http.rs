//! Random bytes through the HTTP front's parser and connection: cargo +nightly fuzz run http -- -max_total_time=300
//!
//! The first three bytes say where the rest is cut.

#![no_main]

use heartbeat_daemon::http::exercise::exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((cuts, rest)) = bytes.split_at_checked(3) {
        exercise(rest, cuts);
    }
});
