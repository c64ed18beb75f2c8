//! Log lines on standard error, in the form that its reader needs.
//!
//! A terminal gets colours and times; a file or a pipe gets times; journald gets neither, because it records the time
//! itself, but a priority prefix (`<4>`), which `journalctl -p warning` needs.

use log::LevelFilter;
use simplelog::{
    ColorChoice, Config, ConfigBuilder, LevelPadding, TermLogger, TerminalMode, WriteLogger,
    format_description,
};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// Starts logging; a second call only changes the level.
pub fn init(level: LevelFilter) {
    // The logger itself accepts every level, so that a reload can change the maximum.
    let all = LevelFilter::Trace;
    let started = if is_journal() {
        WriteLogger::init(all, without_time(), Lines::new(io::stderr(), to_journal))
    } else if io::stderr().is_terminal() {
        TermLogger::init(all, with_time(), TerminalMode::Stderr, ColorChoice::Auto)
    } else {
        WriteLogger::init(all, with_time(), Lines::new(io::stderr(), unchanged))
    };
    // Fails only if logging was started before.
    let _ = started;
    log::set_max_level(level);
}

/// Whether to use colours on `stream`: it is a terminal, `NO_COLOR` (no-color.org) is not set, and the terminal is not
/// "dumb".
pub fn takes_colours(stream: &impl IsTerminal) -> bool {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !no_colour && !dumb
}

/// Whether standard error is the stream that systemd connected to the journal: it names device and inode of
/// that stream in `$JOURNAL_STREAM` (sd-journal documentation), and a child's redirected one differs.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() else { return false };
    let Ok(metadata) = File::from(stderr).metadata() else { return false };
    stream == format!("{}:{}", metadata.dev(), metadata.ino())
}

fn with_time() -> Config {
    common()
        .set_time_format_custom(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        ))
        .set_level_padding(LevelPadding::Right)
        .build()
}

fn without_time() -> Config {
    common().set_time_level(LevelFilter::Off).build()
}

fn common() -> ConfigBuilder {
    let mut builder = ConfigBuilder::new();
    builder
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        // Libraries log URLs, which may contain a token.
        .add_filter_allow_str("heartbeat_");
    builder
}

/// Writes whole lines with one system call each, so that lines of two threads never mix; `form` converts each line.
struct Lines<W> {
    out: W,
    line: Vec<u8>,
    form: fn(&[u8]) -> Vec<u8>,
}

impl<W: Write> Lines<W> {
    fn new(out: W, form: fn(&[u8]) -> Vec<u8>) -> Lines<W> {
        Lines { out, line: Vec::new(), form }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if self.line.ends_with(b"\n") {
            let line = std::mem::take(&mut self.line);
            self.out.write_all(&(self.form)(&line))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn unchanged(line: &[u8]) -> Vec<u8> {
    line.to_vec()
}

/// `[WARN] text` becomes `<4>text`, by the numbers of syslog(3).
fn to_journal(line: &[u8]) -> Vec<u8> {
    let levels: [(&[u8], &[u8]); 5] = [
        (b"[ERROR] ", b"<3>"),
        (b"[WARN] ", b"<4>"),
        (b"[INFO] ", b"<6>"),
        (b"[DEBUG] ", b"<7>"),
        (b"[TRACE] ", b"<7>"),
    ];
    let known = levels.iter().find_map(|(word, prefix)| Some((*prefix, line.strip_prefix(*word)?)));
    let (prefix, text) = known.unwrap_or((b"<6>", line));
    [prefix, text].concat()
}

#[cfg(test)]
pub mod captured {
    //! The lines that a test's own thread logs.

    use log::{LevelFilter, Log, Metadata, Record};
    use std::cell::RefCell;

    thread_local! {
        /// `Some` while they are captured.
        static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
    }

    struct ThreadLog;

    impl Log for ThreadLog {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let line = format!("[{}] {}", record.level(), record.args());
            LINES.with_borrow_mut(|lines| lines.iter_mut().for_each(|lines| lines.push(line.clone())));
        }

        fn flush(&self) {}
    }

    /// The lines of `run` from level info on, like `[WARN] text`.
    pub fn logged(run: impl FnOnce()) -> Vec<String> {
        // Fails if another test has set it.
        let _ = log::set_logger(&ThreadLog);
        log::set_max_level(LevelFilter::Info);
        LINES.set(Some(Vec::new()));
        run();
        LINES.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::{Level, Log, Record};

    fn journal_line(level: Level, target: &str, text: &str) -> String {
        let file = tempfile::NamedTempFile::new().expect("a scratch file");
        let out = file.reopen().expect("opened twice");
        let logger = WriteLogger::new(LevelFilter::Trace, without_time(), Lines::new(out, to_journal));
        logger.log(&Record::builder().level(level).target(target).args(format_args!("{text}")).build());
        std::fs::read_to_string(file.path()).expect("readable")
    }

    #[test]
    fn under_journald_a_line_is_its_priority_and_its_text() {
        for (level, line) in [
            (Level::Error, "<3>it burns\n"),
            (Level::Warn, "<4>it burns\n"),
            (Level::Info, "<6>it burns\n"),
            (Level::Debug, "<7>it burns\n"),
        ] {
            assert_eq!(journal_line(level, "heartbeat_daemon::device", "it burns"), line);
        }
    }

    #[test]
    fn log_lines_of_libraries_are_dropped_because_they_may_contain_a_token() {
        assert_eq!(journal_line(Level::Error, "ureq::run", "https://example.org/?token=hunter2"), "");
    }
}
