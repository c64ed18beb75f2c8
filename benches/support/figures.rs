//! The limits, and how a figure is printed beside its own.

// Each benchmark uses a part of it.
#![allow(dead_code)]

use std::fmt;

/// What the project promises; each figure names the one that it is held against.
pub mod limits {
    pub const BINARY_KIB: f64 = 3.0 * 1024.0;
    pub const PSS_HTTP_KIB: f64 = 3.0 * 1024.0;
    pub const PSS_HTTPS_KIB: f64 = 4.0 * 1024.0;
    pub const RSS_KIB: f64 = 6.0 * 1024.0;
    /// One a subsystem: main (signals), resolver, metrics, failover, cameras, heartbeat, api.
    pub const THREADS: f64 = 7.0;
    pub const CPU_MS: f64 = 0.8;
    pub const SYSCALLS: f64 = 80.0;
    pub const HTTPS_WIRE_BYTES: f64 = 1.6 * 1024.0;
    /// With the body of `wire::SAMPLE`, which has 1,588 bytes since it reports file systems and all uplinks.
    pub const HTTPS_SAMPLE_WIRE_BYTES: f64 = 2.2 * 1024.0;
    pub const TRIGGER_P50_MS: f64 = 2.0;
    pub const TRIGGER_P99_MS: f64 = 10.0;
    pub const NONE: f64 = 0.0;
}

/// One line of a table.
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    limit: Option<Limit>,
}

#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Figure {
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Figure {
        Figure { name: name.into(), value, unit, limit: None }
    }

    pub fn at_most(mut self, limit: f64) -> Figure {
        self.limit = Some(Limit::AtMost(limit));
        self
    }

    pub fn at_least(mut self, limit: f64) -> Figure {
        self.limit = Some(Limit::AtLeast(limit));
        self
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "  {:<42}{:>10} {:<6}", self.name, number(self.value), self.unit)?;
        let (word, limit, is_met) = match self.limit {
            Some(Limit::AtMost(limit)) => ("at most", limit, self.value <= limit),
            Some(Limit::AtLeast(limit)) => ("at least", limit, self.value >= limit),
            None => return Ok(()),
        };
        write!(out, "  {word} {:>7}  {}", number(limit), if is_met { "met" } else { "MISSED" })
    }
}

/// As many digits as mean something: 2304, 17.5, 0.412, 0.
pub fn number(value: f64) -> String {
    let is_whole = (value - value.round()).abs() < 0.0005;
    match value.abs() {
        size if size >= 100.0 || is_whole => format!("{:.0}", value.round() + 0.0),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Figures that were measured together.
pub struct Table {
    title: String,
    lines: Vec<String>,
    /// Something of it could not be measured.
    pub incomplete: bool,
}

impl Table {
    pub fn new(title: impl Into<String>) -> Table {
        Table { title: title.into(), lines: Vec::new(), incomplete: false }
    }

    pub fn add(&mut self, figure: Figure) {
        self.lines.push(figure.to_string());
    }

    /// Says why something could not be measured; the other figures stand.
    pub fn miss(&mut self, problem: &str) {
        self.incomplete = true;
        self.note(format!("not measured: {problem}"));
    }

    /// A line of words, or of several figures.
    pub fn note(&mut self, line: impl fmt::Display) {
        self.lines.push(format!("  {line}"));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\n{}", self.title)?;
        self.lines.iter().try_for_each(|line| write!(out, "\n{}", line.trim_end()))
    }
}

/// Where all this was measured.
pub fn machine() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "heartbeat-daemon {} at one heartbeat in {} s; {processors} CPUs, {}, Linux {}",
        env!("CARGO_PKG_VERSION"),
        crate::INTERVAL.as_secs(),
        std::env::consts::ARCH,
        kernel.trim()
    )
}
