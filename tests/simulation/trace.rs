//! What happened in the thread's simulation, for the report of a failure: its own events, and the monitor's log.

use std::cell::RefCell;
use std::sync::Once;

#[derive(Default)]
struct Trace {
    time: String,
    lines: Vec<String>,
    is_shown: bool,
}

thread_local! {
    static TRACE: RefCell<Trace> = RefCell::default();
}

/// Lines of a report; earlier ones are dropped.
const LINES: usize = 400;

struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        if record.target().starts_with("heartbeat_daemon") {
            note(format!("  log {}: {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

pub fn begin(is_shown: bool) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Log).expect("no other logger");
        log::set_max_level(log::LevelFilter::Info);
    });
    TRACE.set(Trace { is_shown, ..Trace::default() });
}

/// Lines from now on have this time.
pub fn at(t: u64) {
    let (hours, minutes, seconds) = (t / 3_600_000, t / 60_000 % 60, t % 60_000);
    TRACE.with_borrow_mut(|trace| {
        trace.time = format!("{hours:3}:{minutes:02}:{:02}.{:03}", seconds / 1000, seconds % 1000);
    });
}

pub fn note(line: String) {
    TRACE.with_borrow_mut(|trace| {
        let line = format!("{} {line}", trace.time);
        if trace.is_shown {
            println!("{line}");
        } else {
            trace.lines.push(line);
            if trace.lines.len() > 2 * LINES {
                trace.lines.drain(..LINES);
            }
        }
    });
}

pub fn report() -> String {
    TRACE.with_borrow(|trace| trace.lines.join("\n"))
}
