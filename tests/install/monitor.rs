//! The monitor's installation: by the same rules, beside the daemon or alone.

use crate::{Machine, PROGRAM as DAEMON, code, said};
use std::fs;
use std::process::{Command, Output};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_heartbeat-monitor");
pub const CONFIG: &str = "etc/heartbeat-monitor/config.toml";

pub fn install(machine: &Machine, options: &[&str]) -> Output {
    machine.run(&[&["--monitor", "--binary", PROGRAM], options].concat())
}

#[test]
fn an_installation_is_these_files_and_a_second_run_changes_nothing() {
    let machine = Machine::new();
    code(&install(&machine, &[]), 0);
    assert_eq!(
        machine.names(),
        [
            CONFIG,
            "etc/systemd/system/heartbeat-monitor.service",
            "etc/sysusers.d/heartbeat-monitor.conf",
            "usr/local/bin/heartbeat-monitor",
            "usr/local/share/heartbeat-monitor/config.toml",
        ]
    );
    let unit = machine.read("etc/systemd/system/heartbeat-monitor.service");
    assert!(unit.contains("\nExecStart=/usr/local/bin/heartbeat-monitor\n"), "{unit}");
    let installed = Command::new(machine.path("usr/local/bin/heartbeat-monitor")).arg("--version").output();
    assert!(installed.expect("it runs").status.success());
    let before = machine.tree();
    let second = install(&machine, &[]);
    code(&second, 0);
    assert!(said(&second).contains("nothing changed"), "{}", said(&second));
    assert_eq!(machine.tree(), before);
}

#[test]
fn an_edited_configuration_stays_and_a_wrong_one_is_named() {
    let machine = Machine::new();
    code(&install(&machine, &[]), 0);
    let edited = machine.read(CONFIG).replace("offline_threshold = \"2m\"", "offline_threshold = \"9m\"");
    machine.write(CONFIG, &edited);
    code(&install(&machine, &[]), 0);
    assert_eq!(machine.read(CONFIG), edited);
    machine.write(CONFIG, "[detection]\ncheck_interval = \"soon\"\n");
    let before = machine.tree();
    let output = install(&machine, &[]);
    code(&output, 78);
    let place = "/etc/heartbeat-monitor/config.toml:2: [detection] check_interval = \"soon\": ";
    assert!(said(&output).contains(place), "{}", said(&output));
    assert_eq!(machine.tree(), before);
}

#[test]
fn each_program_is_removed_without_the_other() {
    let machine = Machine::new();
    code(&machine.run(&["--binary", DAEMON]), 0);
    let daemon = machine.tree();
    code(&install(&machine, &[]), 0);
    fs::create_dir_all(machine.path("var/lib/heartbeat-monitor")).expect("a directory");
    machine.write("var/lib/heartbeat-monitor/monitor.db", "machines");
    code(&machine.run(&["--uninstall", "--monitor"]), 0);
    assert!(machine.path(CONFIG).exists() && machine.path("var/lib/heartbeat-monitor/monitor.db").exists());
    code(&machine.run(&["--uninstall", "--monitor", "--purge"]), 0);
    assert_eq!(machine.tree(), daemon);
}

#[test]
fn what_is_the_daemons_is_refused() {
    let machine = Machine::new();
    for options in [&["--url", "http://x/"][..], &["--observe"], &["--networkmanager"], &["--try"]] {
        code(&install(&machine, options), 2);
        assert_eq!(machine.names(), [""; 0], "{options:?}");
    }
}

#[test]
fn the_unit_is_hardened_and_grants_nothing() {
    let machine = Machine::new();
    code(&install(&machine, &[]), 0);
    let unit = machine.read("etc/systemd/system/heartbeat-monitor.service");
    for line in [
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "NoNewPrivileges=yes",
        "PrivateUsers=yes",
        "ProtectSystem=strict",
        "SystemCallFilter=@system-service",
        "UMask=0077",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
}
