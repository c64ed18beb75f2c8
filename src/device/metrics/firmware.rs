//! Questions to the firmware of a Raspberry Pi: by ioctl where there is a node, else by the program `vcgencmd`.

use super::terms::{Absent, Place};
use super::terms::{Cadence, SECOND_LOOK};
use crate::device::os::program;
use crate::device::os::vcio::{self, Vcio};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Raspberry Pi OS, and what came before bookworm.
const PROGRAMS: [&str; 2] = ["usr/bin/vcgencmd", "opt/vc/bin/vcgencmd"];

/// Each start of the program costs about 14 ms and has disturbed audio and video work.
const PROGRAM_PERIOD: Duration = Duration::from_secs(30);

/// All queries. None has an argument: one to `get_throttled` resets what the firmware
/// remembers since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    MeasureTemp,
    GetThrottled,
    PmicReadAdc,
}

impl Question {
    fn command(self) -> &'static str {
        match self {
            Question::MeasureTemp => "measure_temp",
            Question::GetThrottled => "get_throttled",
            Question::PmicReadAdc => "pmic_read_adc",
        }
    }
}

/// The way to the firmware, chosen once.
#[derive(Debug)]
pub struct Firmware {
    route: Route,
    /// No query before this: it did not answer, and each timeout costs 1 s.
    hold_until: Option<Instant>,
}

#[derive(Debug)]
enum Route {
    Node(Vcio),
    /// It is there, but could not be opened; `vcgencmd` would fail at the same node.
    Closed {
        node: PathBuf,
        error: io::Error,
        looked: Option<Instant>,
    },
    Program(PathBuf),
    Nowhere,
}

impl Firmware {
    /// Opens the node and asks it for the temperature (2.65 ms), because a node may be something else; no program
    /// is started here.
    pub fn choose(root: &Path) -> Firmware {
        let program = || PROGRAMS.iter().map(|p| root.join(p)).find(|p| p.is_file());
        let by_program = || program().map_or(Route::Nowhere, Route::Program);
        let route = match vcio::node(root).map(|node| (Vcio::open(node.clone()), node)) {
            None => by_program(),
            Some((Ok(node), _)) if is_the_driver(&node) => Route::Node(node),
            Some((Ok(_), _)) => by_program(),
            Some((Err(error), node)) => Route::Closed { node, error, looked: None },
        };
        Firmware { route, hold_until: None }
    }

    /// How often to ask: an ioctl each time, the program seldom.
    pub fn pace(&self) -> Cadence {
        match self.route {
            Route::Program(_) => Cadence::Every(PROGRAM_PERIOD),
            Route::Node(_) | Route::Closed { .. } | Route::Nowhere => Cadence::EachSample,
        }
    }

    pub fn place(&self, question: Question) -> Place {
        let command = question.command();
        let path = match &self.route {
            Route::Node(node) => node.path(),
            Route::Closed { node, .. } => node,
            Route::Program(program) => program,
            Route::Nowhere => return Place::words(format!("vcgencmd {command}")),
        };
        Place { text: format!("{} {command}", path.display()), file: Some(path.to_owned()) }
    }

    /// The firmware's answer, checked to be one.
    ///
    /// # Errors
    /// For good where there is no way to it or it does not know the command, else for this time.
    pub fn query(&mut self, question: Question, now: Instant, limit: Duration) -> Result<String, Absent> {
        if self.hold_until.is_some_and(|until| now < until) {
            return Err(Absent::because(
                "the firmware did not answer in time; it is queried again in a minute",
            ));
        }
        self.reopen(now);
        let (path, said) = match &self.route {
            Route::Node(node) => (node.path(), query_node(node, question)),
            Route::Closed { node, error, .. } => (node.as_path(), Err(same(error))),
            Route::Program(program) => (program.as_path(), query_program(program, question, limit)),
            Route::Nowhere => {
                return Err(Absent::for_good(
                    "no firmware of a Raspberry Pi: neither /dev/vcio nor the program vcgencmd is here",
                ));
            }
        };
        let path = path.to_owned();
        // A program has its own limit and its own turn; a node holds up the whole sample.
        if matches!((&self.route, &said), (Route::Node(_), Err(e)) if e.kind() == io::ErrorKind::TimedOut) {
            self.hold_until = Some(now + SECOND_LOOK);
        }
        let text = said.map_err(|error| Absent::Unreadable { path, error })?;
        judge(&text).map(str::to_owned)
    }

    /// udev may grant access only after the daemon has started.
    fn reopen(&mut self, now: Instant) {
        let Route::Closed { node, error, looked } = &mut self.route else { return };
        if looked.is_some_and(|looked| now.saturating_duration_since(looked) < SECOND_LOOK) {
            return;
        }
        *looked = Some(now);
        match Vcio::open(node.clone()) {
            Ok(open) => self.route = Route::Node(open),
            Err(now) => *error = now,
        }
    }
}

/// io::Error cannot be cloned.
fn same(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// False where the kernel says that this is not the device for such a request.
fn is_the_driver(node: &Vcio) -> bool {
    const NOT_THIS_DEVICE: [i32; 4] = [libc::ENOTTY, libc::EINVAL, libc::ENODEV, libc::ENOSYS];
    match node.query(Question::MeasureTemp.command()) {
        Ok(_) => true,
        Err(error) => !error.raw_os_error().is_some_and(|code| NOT_THIS_DEVICE.contains(&code)),
    }
}

fn query_node(node: &Vcio, question: Question) -> io::Result<String> {
    let reply = node.query(question.command())?;
    match reply.code {
        0 => Ok(reply.text),
        // The text is judged by the caller, as the program's is.
        _ if reply.text.contains("error=") => Ok(reply.text),
        code => Err(io::Error::other(format!("the firmware answers with code {code:#x}"))),
    }
}

fn query_program(program: &Path, question: Question, limit: Duration) -> io::Result<String> {
    let said = program::output(program, &[question.command()], limit)?;
    // The text is judged first: it says more than the status, and the program may end with 0 after an error.
    match said.status.success() || !said.text.trim().is_empty() {
        true => Ok(said.text),
        false => Err(io::Error::other(format!("ended with {}", said.status))),
    }
}

/// The text without the white space around it, unless it is one of the ways in which the firmware, or the program
/// on its standard output, says that there is none.
fn judge(text: &str) -> Result<&str, Absent> {
    const NO_DEVICE: [&str; 2] = ["Can't open device file", "VCHI initialization failed"];
    if let Some(line) = text.lines().find(|line| line.contains("error=")) {
        return Err(match line.contains("not registered") {
            true => {
                Absent::for_good(format!("the firmware of this board does not know the command ({line})"))
            }
            false => Absent::because(format!("the firmware refuses: {line}")),
        });
    }
    if let Some(line) = text.lines().find(|line| NO_DEVICE.iter().any(|fault| line.contains(fault))) {
        return Err(Absent::because(format!(
            "vcgencmd cannot reach the firmware: {line}; add the daemon's user to group video"
        )));
    }
    match text.trim() {
        "" => Err(Absent::because("the firmware gives an empty answer")),
        text => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_distinguished_from_a_refusal_by_its_text() {
        assert_eq!(judge("temp=49.9'C\n").expect("an answer"), "temp=49.9'C");
        let unknown = [
            "error=1 error_msg=\"Command not registered\"",
            "vc_gencmd_read_response returned -1\nerror=1 error_msg=\"Command not registered\"\n",
        ];
        for text in unknown {
            assert!(matches!(judge(text), Err(Absent::ForGood(_))), "{text}");
        }
        for text in [
            "error=2 error_msg=\"Invalid arguments\"\n",
            "Can't open device file: /dev/vcio\nTry creating a device file with: sudo mknod\n",
            "VCHI initialization failed\n",
            "",
            " \n",
        ] {
            assert!(matches!(judge(text), Err(Absent::Because(_))), "{text}");
        }
    }

    #[test]
    fn no_question_carries_an_argument() {
        for question in [Question::MeasureTemp, Question::GetThrottled, Question::PmicReadAdc] {
            assert!(question.command().chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        }
    }

    #[test]
    fn without_node_and_program_it_is_absent_for_good() {
        let root = tempfile::tempdir().expect("a directory");
        let mut firmware = Firmware::choose(root.path());
        let answer = firmware.query(Question::MeasureTemp, Instant::now(), Duration::from_secs(1));
        assert!(matches!(answer, Err(Absent::ForGood(_))), "{answer:?}");
    }

    #[test]
    fn a_node_that_cannot_be_opened_is_named_and_the_program_is_not_started_in_vain() {
        let root = tempfile::tempdir().expect("a directory");
        for directory in ["dev", "usr/bin"] {
            std::fs::create_dir_all(root.path().join(directory)).expect("created");
        }
        std::fs::write(root.path().join("usr/bin/vcgencmd"), "").expect("written");
        // Opening a socket fails for root too (ENXIO), which a mode does not.
        let node = root.path().join("dev/vcio");
        let _socket = std::os::unix::net::UnixListener::bind(&node).expect("bound");
        let mut firmware = Firmware::choose(root.path());
        assert_eq!(firmware.pace(), Cadence::EachSample);
        let answer = firmware.query(Question::MeasureTemp, Instant::now(), Duration::from_secs(1));
        assert!(matches!(answer, Err(Absent::Unreadable { path, .. }) if path == node));
    }

    #[test]
    fn a_node_that_opens_later_is_used_within_a_minute() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(root.path().join("dev")).expect("created");
        let node = root.path().join("dev/vcio");
        let socket = std::os::unix::net::UnixListener::bind(&node).expect("bound");
        let mut firmware = Firmware::choose(root.path());
        let begin = Instant::now();
        let mut error_after = |seconds| {
            let now = begin + Duration::from_secs(seconds);
            match firmware.query(Question::MeasureTemp, now, Duration::ZERO) {
                Err(Absent::Unreadable { error, .. }) => error.raw_os_error(),
                answer => panic!("{answer:?}"),
            }
        };
        assert_eq!(error_after(0), Some(libc::ENXIO));
        drop(socket);
        std::fs::remove_file(&node).expect("removed");
        std::fs::write(&node, "").expect("written");
        assert_eq!(error_after(59), Some(libc::ENXIO), "not looked at yet");
        assert_eq!(error_after(60), Some(libc::ENOTTY), "opened, and asked");
    }

    #[test]
    fn a_firmware_that_kept_silent_is_left_alone_for_a_minute() {
        let mut firmware = Firmware::choose(Path::new("/proc/nowhere"));
        let begin = Instant::now();
        firmware.hold_until = Some(begin + SECOND_LOOK);
        let mut read = |now| firmware.query(Question::GetThrottled, now, Duration::ZERO);
        assert!(matches!(read(begin), Err(Absent::Because(_))));
        assert!(matches!(read(begin + SECOND_LOOK), Err(Absent::ForGood(_))), "asked again: there is none");
    }

    #[test]
    fn a_node_that_is_something_else_is_passed_over_for_the_program() {
        let root = tempfile::tempdir().expect("a directory");
        for file in ["dev/vcio", "usr/bin/vcgencmd"] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            std::fs::write(path, "").expect("written");
        }
        let firmware = Firmware::choose(root.path());
        assert_eq!(firmware.pace(), Cadence::Every(PROGRAM_PERIOD));
        let place = firmware.place(Question::GetThrottled).text;
        assert!(place.ends_with("/usr/bin/vcgencmd get_throttled"), "{place}");
    }
}
