//! install.sh --try: monitor, daemon and a receiver of notifications together.

use crate::{PROGRAM, code, said, script};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Ctrl-C as the terminal's line discipline reads it.
const CTRL_C: &[u8] = b"\x03";
/// Interrupted demonstrations, as a wrong order of the two ends does not show each time.
const TIMES: usize = 4;

fn is_empty(scratch: &Path) -> bool {
    fs::read_dir(scratch).expect("readable").count() == 0
}

#[test]
fn both_notifications_arrive_and_nothing_is_left_behind() {
    let scratch = tempfile::tempdir().expect("a directory");
    let output = script()
        .args(["--try", "--seconds", "1", "--binary", PROGRAM])
        .env("TMPDIR", scratch.path())
        .output()
        .expect("it runs");
    code(&output, 0);
    let (text, name) = (said(&output), rustix::system::uname().nodename().to_string_lossy().into_owned());
    for line in [
        "monitor  Heartbeat monitor started (interval: 1s, threshold: 10s)",
        &format!("try      heartbeat-monitor machine add {name}: its token is in "),
        "daemon   heartbeat-daemon ",
        "try      kill -STOP ",
        "webhook  {\"event\":\"machine.offline\"",
        "webhook  {\"event\":\"machine.online\"",
        "try      Both notifications arrived.",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line}\n{text}");
    }
    let fleet = |status: &str| text.lines().any(|line| line.starts_with("fleet") && line.contains(status));
    assert!(fleet(" online "), "{text}");
    assert!(is_empty(scratch.path()), "{text}");
}

/// Runs --try in a terminal of its own and types Ctrl-C at the line that contains `at`; returns what it printed.
fn interrupted_at(at: &str) -> String {
    let scratch = tempfile::tempdir().expect("a directory");
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh");
    // Without exec a shell between script and install.sh gets the SIGINT too, and dash then exits with 130. A shell
    // cannot trap a SIGINT that was ignored when it started, as in tests that run in the background.
    let command = format!("exec env --default-signal=INT {} --try --binary {PROGRAM}", install.display());
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &command, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script (bsdutils) runs");
    let mut keyboard = terminal.stdin.take().expect("piped");
    let mut text = String::new();
    for line in BufReader::new(terminal.stdout.take().expect("piped")).lines().map_while(Result::ok) {
        if line.contains(at) {
            keyboard.write_all(CTRL_C).expect("typed");
        }
        text += &line;
        text += "\n";
    }
    let status = terminal.wait().expect("waited for");
    assert!(status.success(), "{status}\n{text}");
    assert!(is_empty(scratch.path()), "{text}");
    text
}

/// The terminal sends SIGINT to every process of its foreground group at the same moment.
#[test]
fn ctrl_c_ends_with_the_shutdown_heartbeat() {
    let demonstrations: Vec<_> = (0..TIMES)
        .map(|round| {
            // While everything runs, and while the daemon is paused.
            let at = if round % 2 == 0 { "Both notifications arrived" } else { "kill -STOP" };
            std::thread::spawn(move || interrupted_at(at))
        })
        .collect();
    for demonstration in demonstrations {
        let text = demonstration.join().expect("no assertion failed");
        assert!(text.contains(" was stopped on purpose"), "{text}");
        assert!(!text.contains("onnection refused"), "{text}");
    }
}

/// A machine's commands as far as install.sh calls them: apt lists no package before its lists are updated, and brings a
/// cargo whose "build" takes the programs of this test. Each call is a line in the file "calls".
struct Toolchain {
    dir: tempfile::TempDir,
}

impl Toolchain {
    /// `offers`: what `apt-cache policy` knows once the lists are there, such as `cargo=1.85.0`.
    fn new(offers: &str) -> Toolchain {
        let dir = tempfile::tempdir().expect("a directory");
        let toolchain = Toolchain { dir };
        fs::create_dir(toolchain.path("bin")).expect("made");
        fs::write(toolchain.path("offers"), offers.replace(' ', "\n") + "\n").expect("written");
        fs::write(toolchain.path("calls"), "").expect("written");
        let lists = toolchain.path("lists");
        let log = format!("echo \"$(basename \"$0\") $*\" >>{}", toolchain.path("calls"));
        toolchain.program("sudo", "exec \"$@\"");
        toolchain.program("id", "echo 1000");
        // As an old Debian has it, or none.
        toolchain.program("rustup", "exit 127");
        toolchain.program("cargo", "exit 127");
        toolchain.program(
            "apt-cache",
            &format!(
                "[ -e {lists} ] || exit 0\nversion=$(sed -n \"s/^$2=//p\" {})\n\
                 [ -z \"$version\" ] || printf '  Installed: (none)\\n  Candidate: %s-1\\n' \"$version\"",
                toolchain.path("offers")
            ),
        );
        let cargo = format!(
            "#!/bin/sh\n[ \"$1\" != --version ] || {{ echo cargo 1.85.1; exit; }}\n{log}\n\
             mkdir -p $CARGO_TARGET_DIR/try && cp {PROGRAM} {} $CARGO_TARGET_DIR/try\n",
            env!("CARGO_BIN_EXE_heartbeat-monitor")
        );
        fs::write(toolchain.path("cargo"), cargo).expect("written");
        toolchain.program(
            "apt-get",
            &format!(
                "case \"$*\" in\n*--assume-no*)\n echo 'Need to get 168 MB of archives.'\n \
                 echo 'After this operation, 698 MB of additional disk space will be used.'\n exit 1 ;;\n\
                 update) touch {lists} ;;\ninstall*) cp {} {} && chmod 755 {} ;;\nesac\n{log}",
                toolchain.path("cargo"),
                toolchain.path("bin/cargo"),
                toolchain.path("bin/cargo"),
            ),
        );
        toolchain
    }

    fn updated(self) -> Toolchain {
        File::create(self.path("lists")).expect("made");
        self
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn program(&self, name: &str, body: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(&format!("bin/{name}"));
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).expect("readable")
    }

    fn settings(&self, command: &mut Command) {
        command
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin")))
            .env("HOME", self.dir.path())
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env("TMPDIR", self.dir.path());
    }

    /// --try without a terminal.
    fn run(&self, options: &[&str]) -> std::process::Output {
        let mut command = script();
        self.settings(&mut command);
        command.arg("--try").args(options).output().expect("it runs")
    }

    /// --try in a terminal, with `answer` typed to the first question.
    fn answer(&self, answer: &str) -> (Option<i32>, String) {
        let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh");
        let mut command = Command::new("script");
        self.settings(&mut command);
        let mut terminal = command
            .args(["--quiet", "--return", "--flush", "--command"])
            .env("SHELL", "/bin/sh")
            .arg(format!("{} --try --seconds 0", install.display()))
            .arg("/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script (bsdutils) runs");
        let mut keyboard = terminal.stdin.take().expect("piped");
        writeln!(keyboard, "{answer}").expect("typed");
        let mut text = String::new();
        for line in BufReader::new(terminal.stdout.take().expect("piped")).lines().map_while(Result::ok) {
            text += &line;
            text += "\n";
        }
        (terminal.wait().expect("waited for").code(), text)
    }
}

const TRIXIE: &str = "cargo=1.85.0+dfsg3";
const BOOKWORM: &str = "cargo=0.66.0+ds1 cargo-web=1.96.0+dfsg1";

#[test]
fn without_a_terminal_the_commands_are_printed_and_the_status_is_2() {
    for toolchain in [Toolchain::new(TRIXIE), Toolchain::new(TRIXIE).updated()] {
        let output = toolchain.run(&[]);
        code(&output, 2);
        let text = said(&output);
        for line in
            ["    sudo apt-get update", "    sudo apt-get install --no-install-recommends cargo", "--yes"]
        {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.contains("MB to download, "), "{text}");
        assert_eq!(toolchain.calls(), "");
    }
}

#[test]
fn a_fresh_machine_needs_one_answer_and_no_more() {
    let toolchain = Toolchain::new(TRIXIE);
    let output = toolchain.run(&["--yes", "--seconds", "0"]);
    code(&output, 0);
    let text = said(&output);
    let calls = toolchain.calls();
    let calls: Vec<&str> = calls.lines().collect();
    assert_eq!(calls[0], "apt-get update");
    let install = "apt-get install --yes --no-remove --no-install-recommends cargo";
    assert!(calls[1].starts_with(install), "{calls:?}");
    assert!(calls.len() == 4 && calls[2..].iter().all(|call| call.starts_with("cargo build ")), "{calls:?}");
    for line in ["    time    ", "    disk    ", "    memory  ", "try      Both notifications arrived."] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line}\n{text}");
    }
}

#[test]
fn there_is_one_question_and_no_means_no() {
    for (toolchain, answer) in [(Toolchain::new(TRIXIE), "n"), (Toolchain::new(TRIXIE).updated(), "no")] {
        let (status, text) = toolchain.answer(answer);
        assert_eq!((status, text.matches("[Y/n]").count()), (Some(1), 1), "{text}");
        assert!(text.contains("nothing was installed"), "{text}");
        assert_eq!(toolchain.calls(), "");
    }
    let toolchain = Toolchain::new(TRIXIE);
    let (status, text) = toolchain.answer("");
    assert_eq!((status, text.matches("[Y/n]").count()), (Some(0), 1), "{text}");
}

#[test]
fn on_bookworm_its_newer_cargo_is_installed() {
    let toolchain = Toolchain::new(BOOKWORM);
    code(&toolchain.run(&["--yes", "--seconds", "0"]), 0);
    let install = "apt-get install --yes --no-remove --no-install-recommends cargo-web";
    assert!(toolchain.calls().lines().any(|call| call.starts_with(install)), "{}", toolchain.calls());
}

#[test]
fn without_a_new_enough_cargo_it_gives_advice() {
    let toolchain = Toolchain::new("cargo=0.66.0+ds1").updated();
    let output = toolchain.run(&["--yes"]);
    code(&output, 1);
    let text = said(&output);
    assert!(text.contains("Installed: none. From apt: 0.66.0."), "{text}");
    assert!(text.contains("https://sh.rustup.rs | sh -s -- -y --profile minimal"), "{text}");
    toolchain.program("rustup", "echo rustup 1.28.0");
    toolchain.program("cargo", "echo cargo 1.70.0");
    let text = said(&toolchain.run(&["--yes"]));
    assert!(text.contains("Installed: 1.70.0."), "{text}");
    assert!(text.contains("rustup update stable"), "{text}");
    assert_eq!(toolchain.calls(), "");
}
