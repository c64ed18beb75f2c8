//! Random chunked bodies through the HTTP front: cargo +nightly fuzz run chunked -- -max_total_time=600
//!
//! The first three bytes say where the rest is cut, and in which chunks it is encoded.

#![no_main]

use heartbeat_daemon::http::exercise::{exercise_chunked, exercise_chunks};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((sizes, rest)) = bytes.split_at_checked(3) {
        exercise_chunked(rest, sizes);
        exercise_chunks(rest, sizes);
    }
});
