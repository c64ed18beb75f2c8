//! The modem, from ModemManager's `mmcli`.

use super::schedule::QuerySource;
use super::source::Source;
use crate::clock::remaining;
use crate::device::os::program;
use crate::wire;
use serde::Deserialize;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Where Debian and all others install it; the daemon's own PATH is not used.
const MMCLI: &str = "usr/bin/mmcli";

/// Modems that are queried; a device has one or two.
const MODEMS: usize = 4;

/// States of a modem as ModemManager names them, the most usable last. (A stick that lost its SIM stays in the list as
/// `failed`, in front of the one that carries the traffic.)
const STATES: [&str; 13] = [
    "failed",
    "unknown",
    "initializing",
    "locked",
    "disabled",
    "disabling",
    "enabling",
    "enabled",
    "searching",
    "registered",
    "disconnecting",
    "connecting",
    "connected",
];

/// The modem that is connected, or else the most usable one; `None` if ModemManager has none. `limit` is for everything
/// together: mmcli runs once for the list and once a modem until a connected one is found, each time a program start
/// and a call over D-Bus (8 ms on a PC; waiting for a busy modem, seconds).
///
/// # Errors
/// There is no mmcli on this machine (found out without starting anything), ModemManager does not run, or its answers
/// cannot be parsed.
pub fn query(root: &Path, limit: Duration) -> Result<Option<wire::Cellular>, String> {
    let program = root.join(MMCLI);
    if !program.exists() {
        return Err(format!("no {}", program.display()));
    }
    let deadline = Instant::now() + limit;
    let modems = parse_list(&run(&program, &["-J", "-L"], deadline)?)?;
    let mut best: Result<Option<wire::Cellular>, String> = Ok(None);
    for number in modems {
        let modem = run(&program, &["-J", "-m", &number], deadline).and_then(|text| parse_modem(&text));
        best = more_usable(best, modem);
        if best.as_ref().is_ok_and(|best| best.as_ref().is_some_and(|modem| modem.state == "connected")) {
            break;
        }
    }
    best
}

/// The one in the better state; an error counts only if nothing is known of any modem.
fn more_usable(
    best: Result<Option<wire::Cellular>, String>,
    next: Result<wire::Cellular, String>,
) -> Result<Option<wire::Cellular>, String> {
    let rank = |modem: &wire::Cellular| STATES.iter().position(|state| *state == modem.state);
    match (best, next) {
        (Ok(Some(best)), Ok(next)) if rank(&next) <= rank(&best) => Ok(Some(best)),
        (_, Ok(next)) => Ok(Some(next)),
        (Ok(None), Err(error)) => Err(error),
        (best, Err(_)) => best,
    }
}

/// [`query`], as a source.
pub fn source(root: &Path) -> impl Source + use<> {
    let root = root.to_owned();
    QuerySource {
        name: "modem",
        place: root.join(MMCLI).display().to_string(),
        query: move |limit| query(&root, limit),
        put: |modem: &wire::Cellular, reading| reading.connection.cellular = Some(modem.clone()),
        show: shown,
    }
}

fn shown(modem: &wire::Cellular) -> String {
    format!(
        "{}, {}, {}, {}",
        modem.state,
        modem.operator.as_deref().unwrap_or("no operator"),
        modem.technology.as_deref().unwrap_or("no technology"),
        modem.signal_percent.map_or("no signal".into(), |percent| format!("{percent} %")),
    )
}

fn run(program: &Path, arguments: &[&str], deadline: Instant) -> Result<String, String> {
    let left = remaining(deadline);
    match program::output(program, arguments, left) {
        Ok(said) if said.status.success() => Ok(said.text),
        Ok(said) => {
            Err(format!("ModemManager does not answer: mmcli {}, {}", arguments.join(" "), said.status))
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err("mmcli takes too long".into()),
        Err(error) => Err(format!("mmcli: {error}")),
    }
}

/// Numbers of the modems in the answer to `mmcli -J -L`.
fn parse_list(json: &str) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "modem-list")]
        modems: Vec<String>,
    }
    let answer: Answer =
        serde_json::from_slice(json.as_bytes()).map_err(|error| format!("mmcli -L: {error}"))?;
    answer.modems.iter().take(MODEMS).map(|path| number_of(path)).collect()
}

/// The object's path ends in the number that -m expects.
fn number_of(path: &str) -> Result<String, String> {
    let number = path.rsplit('/').next().unwrap_or_default();
    match !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()) {
        true => Ok(number.to_owned()),
        false => Err(format!("mmcli -L names a modem without a number: {path:.100}")),
    }
}

/// The answer to `mmcli -J -m N`. Every value is text there, and "--" or nothing means that there is none.
fn parse_modem(json: &str) -> Result<wire::Cellular, String> {
    let answer: serde_json::Value =
        serde_json::from_slice(json.as_bytes()).map_err(|error| format!("mmcli -m: {error}"))?;
    let text = |path: &str| answer.pointer(path).and_then(serde_json::Value::as_str).and_then(present);
    let state = text("/modem/generic/state").ok_or("mmcli -m shows no state")?;
    let technologies =
        answer.pointer("/modem/generic/access-technologies").and_then(serde_json::Value::as_array);
    let technologies: Vec<&str> =
        technologies.into_iter().flatten().filter_map(|value| present(value.as_str()?)).take(4).collect();
    let quality = text("/modem/generic/signal-quality/value").and_then(|value| value.parse().ok());
    // A modem that is off or searches has an unmeasured quality of 0.
    let measured = !technologies.is_empty() || quality != Some(0);
    Ok(wire::Cellular {
        state: state.to_owned(),
        operator: text("/modem/3gpp/operator-name").map(str::to_owned),
        technology: (!technologies.is_empty()).then(|| technologies.join(",")),
        signal_percent: quality.filter(|&percent: &u8| percent <= 100 && measured),
    })
}

fn present(value: &str) -> Option<&str> {
    let value = value.trim();
    (!value.is_empty() && value != "--" && value.len() <= 64).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::process::Command;

    /// Shaped as ModemManager 1.20 prints it, in one line there.
    const CONNECTED: &str = r#"{"modem":{
        "3gpp":{"5gnr":{"registration-settings":{"drx-cycle":"--","mico-mode":"--"}},"enabled-locks":["fixed-dialing"],
            "imei":"860000000000001","operator-code":"26201","operator-name":"Telekom.de","packet-service-state":"--",
            "pco":"--","registration-state":"home"},
        "cdma":{"activation-state":"--","esn":"--","meid":"--"},
        "dbus-path":"/org/freedesktop/ModemManager1/Modem/0",
        "generic":{"access-technologies":["lte"],"bearers":["/org/freedesktop/ModemManager1/Bearer/1"],
            "current-modes":"allowed: 3g, 4g; preferred: 4g","drivers":["option","qmi_wwan"],
            "manufacturer":"QUALCOMM INCORPORATED","model":"QUECTEL Mobile Broadband Module","power-state":"on",
            "primary-port":"cdc-wdm0","signal-quality":{"recent":"yes","value":"67"},
            "state":"connected","state-failed-reason":"--","unlock-required":"sim-pin2"}}}"#;

    const FAILED: &str = r#"{"modem":{"3gpp":{"operator-name":"--"},"generic":{"access-technologies":[],
        "signal-quality":{"recent":"no","value":"0"},"state":"failed","state-failed-reason":"sim-missing"}}}"#;

    #[test]
    fn a_connected_modem_has_operator_technology_and_signal() {
        let modem = parse_modem(CONNECTED).expect("a modem");
        let expected = wire::Cellular {
            state: "connected".into(),
            operator: Some("Telekom.de".into()),
            technology: Some("lte".into()),
            signal_percent: Some(67),
        };
        assert_eq!(modem, expected);
    }

    #[test]
    fn two_technologies_are_joined_by_commas() {
        let modem = parse_modem(&CONNECTED.replace(r#"["lte"]"#, r#"["lte","5gnr"]"#)).expect("a modem");
        assert_eq!(modem.technology.as_deref(), Some("lte,5gnr"));
    }

    #[test]
    fn a_modem_without_sim_has_a_state_and_nothing_else() {
        let modem = parse_modem(FAILED).expect("a modem");
        let expected =
            wire::Cellular { state: "failed".into(), operator: None, technology: None, signal_percent: None };
        assert_eq!(modem, expected);
    }

    #[test]
    fn a_signal_that_cannot_be_is_absent() {
        for value in ["101", "-5", "300", "good", "--", ""] {
            let modem = parse_modem(&CONNECTED.replace("\"67\"", &format!("{value:?}"))).expect("a modem");
            assert_eq!(modem.signal_percent, None, "{value}");
        }
    }

    #[test]
    fn an_answer_without_state_or_sense_is_an_error() {
        for json in
            ["", "{", "[]", "null", r#"{"modem":{"generic":{"state":"--"}}}"#, r#"{"modem":{"generic":[]}}"#]
        {
            assert!(parse_modem(json).is_err(), "{json}");
        }
    }

    #[test]
    fn the_list_gives_the_numbers_of_the_modems() {
        let list = r#"{"modem-list":["/org/freedesktop/ModemManager1/Modem/12","/org/freedesktop/ModemManager1/Modem/3"]}"#;
        assert_eq!(parse_list(list), Ok(vec!["12".to_owned(), "3".to_owned()]));
        assert_eq!(parse_list(r#"{"modem-list":[]}"#), Ok(Vec::new()));
        assert!(parse_list(r#"{"modem-list":["--help"]}"#).is_err());
        assert!(parse_list("error: couldn't find the ModemManager process in the bus").is_err());
    }

    /// A root whose mmcli is this shell script.
    struct FakeRoot(PathBuf);

    impl FakeRoot {
        fn new(name: &str, script: &str) -> FakeRoot {
            let root = std::env::temp_dir().join(format!("heartbeat-modem-{name}-{}", std::process::id()));
            let program = root.join(MMCLI);
            std::fs::create_dir_all(program.parent().expect("a directory")).expect("created");
            // Written by another process: a test that forks just now would hold the file open for writing,
            // and the kernel does not run such a file.
            let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#;
            let written = Command::new("/bin/sh").arg("-c").arg(write).arg(&program).arg(script).status();
            assert!(written.expect("a shell").success());
            FakeRoot(root)
        }
    }

    impl Drop for FakeRoot {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn the_list_is_queried_first_and_then_its_modem() {
        let script = format!(
            r#"case "$*" in
            "-J -L") echo '{{"modem-list":["/org/freedesktop/ModemManager1/Modem/4"]}}';;
            "-J -m 4") echo '{CONNECTED}';;
            *) exit 2;;
            esac"#
        );
        let root = FakeRoot::new("present", &script);
        let modem = query(&root.0, LONG).expect("an answer").expect("a modem");
        assert_eq!(modem.operator.as_deref(), Some("Telekom.de"));
    }

    #[test]
    fn a_failed_first_modem_does_not_hide_a_connected_second_one() {
        for (first, second) in [("0", "1"), ("1", "0"), ("2", "1")] {
            let script = format!(
                r#"case "$*" in
                "-J -L") echo '{{"modem-list":["/org/Modem/{first}","/org/Modem/{second}"]}}';;
                "-J -m 0") echo '{FAILED}';;
                "-J -m 1") echo '{CONNECTED}';;
                *) exit 2;;
                esac"#
            );
            let root = FakeRoot::new(&format!("two-{first}"), &script);
            let modem = query(&root.0, LONG).expect("an answer").expect("a modem");
            assert_eq!(modem.state, "connected", "{first} before {second}");
        }
    }

    #[test]
    fn the_state_decides_between_two_modems_and_an_error_only_counts_alone() {
        let modem = |state: &str| wire::Cellular {
            state: state.to_owned(),
            operator: None,
            technology: None,
            signal_percent: None,
        };
        let gone = || Err("gone".to_owned());
        let best = |modems: Vec<Result<wire::Cellular, String>>| {
            modems.into_iter().fold(Ok(None), more_usable).map(|best| best.map(|modem| modem.state))
        };
        let searching = Ok(Some("searching".to_owned()));
        assert_eq!(best(vec![Ok(modem("searching")), Ok(modem("disabled"))]), searching);
        assert_eq!(best(vec![Ok(modem("of the future")), gone(), Ok(modem("searching"))]), searching);
        assert_eq!(best(vec![gone(), gone()]), Err("gone".to_owned()));
        assert_eq!(best(Vec::new()), Ok(None));
    }

    #[test]
    fn no_modem_is_no_error() {
        let root = FakeRoot::new("none", r#"echo '{"modem-list":[]}'"#);
        assert_eq!(query(&root.0, LONG), Ok(None));
    }

    #[test]
    fn a_stopped_modem_manager_is_reported() {
        let root = FakeRoot::new("stopped", "exit 1");
        assert!(query(&root.0, LONG).expect_err("no answer").starts_with("ModemManager does not answer"));
    }

    #[test]
    fn the_limit_holds_for_both_calls_together() {
        let root = FakeRoot::new("slow", "exec sleep 60");
        let begin = Instant::now();
        assert_eq!(query(&root.0, Duration::from_millis(100)), Err("mmcli takes too long".into()));
        assert!(begin.elapsed() < LONG);
    }

    #[test]
    fn a_machine_without_mmcli_is_reported_at_once() {
        assert_eq!(query(Path::new("/nowhere"), LONG), Err("no /nowhere/usr/bin/mmcli".into()));
    }
}
