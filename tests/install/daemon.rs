//! The daemon's installation.

use crate::{Machine, PROGRAM, SECRET, code, said, script};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const CONFIG: &str = "etc/heartbeat-daemon/config.toml";
const TOKEN: &str = "etc/heartbeat-daemon/token";

#[test]
fn an_installation_is_these_files_and_no_others() {
    let machine = Machine::new();
    code(&machine.install(&[]), 0);
    assert_eq!(
        machine.names(),
        [
            CONFIG,
            "etc/sysctl.d/90-heartbeat-daemon.conf",
            "etc/systemd/system/heartbeat-daemon-enroll.service",
            "etc/systemd/system/heartbeat-daemon.service",
            "etc/sysusers.d/heartbeat-daemon.conf",
            "usr/local/bin/heartbeat-daemon",
            "usr/local/share/heartbeat-daemon/config.toml",
            "usr/local/share/heartbeat-daemon/heartbeat-camera-event",
            "usr/local/share/heartbeat-daemon/heartbeat-from-pumaguard",
        ]
    );
    let unit = machine.read("etc/systemd/system/heartbeat-daemon.service");
    assert!(unit.contains("\nExecStart=/usr/local/bin/heartbeat-daemon\n"), "{unit}");
    let installed = Command::new(machine.path("usr/local/bin/heartbeat-daemon")).arg("--version").output();
    assert!(installed.expect("it runs").status.success());
}

#[test]
fn a_second_run_changes_nothing_and_reports_it() {
    let machine = Machine::new();
    let token = machine.write("token-from-somewhere", SECRET);
    let options = ["--url", "https://barn.example/heartbeat", "--token-file", &token];
    code(&machine.install(&options), 0);
    let before = machine.tree();
    for options in [&options[..], &[]] {
        let second = machine.install(options);
        code(&second, 0);
        assert!(said(&second).contains("nothing changed"), "{}", said(&second));
        assert_eq!(machine.tree(), before);
    }
}

#[test]
fn an_edited_configuration_stays_and_the_new_default_is_beside_the_program() {
    let machine = Machine::new();
    code(&machine.install(&[]), 0);
    let edited = machine.read(CONFIG).replace("interval = \"5s\"", "interval = \"9s\"");
    machine.write(CONFIG, &edited);
    // As if the version before had had another default.
    machine.write("usr/local/share/heartbeat-daemon/config.toml", "# the old default\n");
    let update = machine.install(&[]);
    code(&update, 0);
    assert_eq!(machine.read(CONFIG), edited);
    assert!(said(&update).contains("stays as you edited it"), "{}", said(&update));
    let default = machine.read("usr/local/share/heartbeat-daemon/config.toml");
    assert!(default.contains("interval = \"5s\""));
}

#[test]
fn an_unedited_configuration_follows_the_version() {
    let machine = Machine::new();
    code(&machine.install(&[]), 0);
    for name in [CONFIG, "usr/local/share/heartbeat-daemon/config.toml"] {
        machine.write(name, "# the old default\n");
    }
    code(&machine.install(&[]), 0);
    assert!(machine.read(CONFIG).contains("interval = \"5s\""));
}

#[test]
fn url_and_token_file_set_two_lines_and_nothing_else() {
    let machine = Machine::new();
    code(&machine.install(&[]), 0);
    let before = machine.read(CONFIG);
    let token = machine.write("token-from-somewhere", SECRET);
    // What sed and awk would take as their own.
    let url = "https://barn.example/~x/|&%5C/h.php?a=1&b=$2";
    let output = machine.install(&["--url", url, "--token-file", &token]);
    code(&output, 0);
    let after = machine.read(CONFIG);
    let changed: Vec<&str> =
        after.lines().zip(before.lines()).filter(|(new, old)| new != old).map(|(new, _)| new).collect();
    assert_eq!(changed, [&format!("url = \"{url}\""), "token_file = \"/etc/heartbeat-daemon/token\""]);
    assert_eq!(after.lines().count(), before.lines().count());
    assert_eq!(machine.read(TOKEN), SECRET);
    assert_eq!(machine.tree()[Path::new(TOKEN)].1 & 0o7777, 0o640);
    assert!(!said(&output).contains(SECRET));

    code(&machine.install(&["--url", "http://other.example/"]), 0);
    assert_eq!(machine.read(CONFIG), after.replace(url, "http://other.example/"));
}

#[test]
fn a_ca_is_copied_and_a_file_that_has_none_is_refused_by_its_name() {
    let machine = Machine::new();
    let no_ca = machine.write("no-ca", "hunter2\n");
    let output = machine.install(&["--ca-file", &no_ca]);
    code(&output, 78);
    assert!(said(&output).contains(&no_ca), "{}", said(&output));
    assert_eq!(machine.names(), ["no-ca"]);

    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(["barn".into()]).expect("a name").self_signed(&key);
    let text = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        BASE64_STANDARD.encode(certificate.expect("a certificate").der())
    );
    let ca = machine.write("ca-from-somewhere", &text);
    code(&machine.install(&["--ca-file", &ca]), 0);
    assert_eq!(machine.read("etc/heartbeat-daemon/ca.pem"), text);
    assert!(machine.read(CONFIG).contains("\nca_file = \"/etc/heartbeat-daemon/ca.pem\"\n"));
    assert!(said(&machine.install(&[])).contains("nothing changed"));
}

#[test]
fn an_image_has_the_key_and_the_server_for_the_first_boot() {
    let machine = Machine::new();
    let key = machine.write("key-from-somewhere", SECRET);
    let output = machine.install(&["--enroll", "https://barn.example/", "--key-file", &key]);
    code(&output, 0);
    assert!(!said(&output).contains(SECRET) && !said(&output).contains("no server"), "{}", said(&output));
    assert!(machine.read(CONFIG).contains("\nurl = \"https://barn.example/api/v1/heartbeat\"\n"));
    assert_eq!(machine.read("etc/heartbeat-daemon/enroll.key"), SECRET);
    assert_eq!(machine.tree()[Path::new("etc/heartbeat-daemon/enroll.key")].1 & 0o7777, 0o600);
}

#[test]
fn url_finds_its_place_in_a_file_that_a_person_wrote() {
    for (written, expected) in [
        ("", "\n[heartbeat]\nurl = \"http://new/\"\n"),
        ("[log]\nlevel = \"warn\"", "[log]\nlevel = \"warn\"\n\n[heartbeat]\nurl = \"http://new/\"\n"),
        ("[heartbeat]\nnote = \"x\"\n", "[heartbeat]\nurl = \"http://new/\"\nnote = \"x\"\n"),
        ("[heartbeat]\n  url=\"http://old/\"\n", "[heartbeat]\nurl = \"http://new/\"\n"),
        (
            "[heartbeat] # mine\n#url = \"http://a/\"\nurl = \"http://old/\"\n[log]\n",
            "[heartbeat] # mine\n#url = \"http://a/\"\nurl = \"http://new/\"\n[log]\n",
        ),
    ] {
        let machine = Machine::new();
        fs::create_dir_all(machine.path("etc/heartbeat-daemon")).expect("a directory");
        machine.write(CONFIG, written);
        code(&machine.install(&["--url", "http://new/"]), 0);
        assert_eq!(machine.read(CONFIG), expected, "{written:?}");
    }
}

#[test]
fn what_is_wrong_is_refused_and_nothing_changes() {
    let machine = Machine::new();
    let empty = machine.write("empty", "");
    let two_lines = machine.write("two-lines", "hunter2\nhunter2\n");
    let before = machine.tree();
    for (options, expected) in [
        (&["--url", "barn"][..], 78),
        (&["--url", "http://a b/"], 2),
        (&["--url", "http://x/\"\nnote = \"y"], 2),
        (&["--url", "http://x/\\"], 2),
        (&["--url", ""], 2),
        (&["--url"], 2),
        (&["--token-file", "/no/such/file"], 2),
        (&["--token-file", &empty], 2),
        (&["--token-file", &two_lines], 78),
        (&["--prefix", "usr"], 2),
        (&["--prefix", "/a|b"], 2),
        (&["--seconds", "5"], 2),
        (&["--purge"], 2),
        (&["--ca-file", "/no/such/file"], 2),
        (&["--enroll", "https://barn.example"], 2),
        (&["--enroll", "https://barn.example", "--key-file", &empty], 2),
        (&["--enroll", "https://a b/", "--key-file", &two_lines], 2),
        (&["--enroll", "barn", "--key-file", &two_lines], 78),
        (&["--enroll", "https://barn.example", "--key-file", &two_lines, "--url", "https://x/"], 2),
        (&["--key-file", &two_lines], 2),
        (&["--lan"], 2),
        (&["--deb", "/no/such/file"], 2),
        (&["--domain", "monitor.example.org"], 2),
        (&["--uninstall", "--observe"], 2),
        (&["--uninstall", "--networkmanager"], 2),
        (&["--binary", "/no/such/program"], 2),
        (&["--binary", "/bin/false"], 1),
        (&["--frobnicate"], 2),
        (&["surprise"], 2),
    ] {
        let output = machine.install(options);
        code(&output, expected);
        assert!(!said(&output).contains("hunter2"), "{}", said(&output));
        assert_eq!(machine.tree(), before, "{options:?}");
    }
}

#[test]
fn a_wrong_configuration_on_the_machine_is_named_and_nothing_changes() {
    let machine = Machine::new();
    code(&machine.install(&[]), 0);
    machine.write(CONFIG, "[heartbeat]\ninterval = \"5 parsecs\"\n");
    machine.write("usr/local/bin/heartbeat-daemon", "the version before");
    let before = machine.tree();
    let output = machine.install(&[]);
    code(&output, 78);
    let place = "/etc/heartbeat-daemon/config.toml:2: [heartbeat] interval = \"5 parsecs\": ";
    assert!(said(&output).contains(place), "{}", said(&output));
    assert_eq!(machine.tree(), before);
    // The options mend what they are for.
    machine.write(CONFIG, "[heartbeat]\nurl = \"barn\"\n");
    code(&machine.install(&["--url", "http://barn/"]), 0);
}

#[test]
fn another_prefix_is_in_the_unit_too() {
    let machine = Machine::new();
    code(&machine.install(&["--prefix", "/opt/heartbeat/"]), 0);
    let unit = machine.read("etc/systemd/system/heartbeat-daemon.service");
    assert!(unit.contains("\nExecStart=/opt/heartbeat/bin/heartbeat-daemon\n"), "{unit}");
    let enroll = machine.read("etc/systemd/system/heartbeat-daemon-enroll.service");
    assert!(enroll.contains("\nExecStart=/opt/heartbeat/bin/heartbeat-daemon enroll --boot\n"), "{enroll}");
    assert!(unit.contains("\nExecStopPost=-/opt/heartbeat/bin/heartbeat-daemon cleanup\n"), "{unit}");
    assert!(machine.path("opt/heartbeat/bin/heartbeat-daemon").exists());
    code(&machine.run(&["--uninstall", "--prefix", "/opt/heartbeat"]), 0);
    assert_eq!(machine.names(), [CONFIG]);
}

#[test]
fn uninstall_leaves_configuration_and_state_and_purge_leaves_nothing() {
    let machine = Machine::new();
    let token = machine.write("token", SECRET);
    code(&machine.install(&["--token-file", &token]), 0);
    fs::remove_file(token).expect("removed");
    fs::create_dir_all(machine.path("var/lib/heartbeat-daemon")).expect("a directory");
    machine.write("var/lib/heartbeat-daemon/hardwareid", "10000000a5bd2dd2\n");
    for _ in 0..2 {
        code(&machine.run(&["--uninstall"]), 0);
        assert_eq!(machine.names(), [CONFIG, TOKEN, "var/lib/heartbeat-daemon/hardwareid"]);
    }
    code(&machine.run(&["--uninstall", "--purge"]), 0);
    assert_eq!(machine.names(), [""; 0]);
}

/// install.sh on a machine with this cargo and this apt, which are scripts, and an empty build directory.
fn build_with(machine: &Machine, cargo: &str, apt_cache: &str) -> Output {
    let bin = machine.path("fake-bin");
    fs::create_dir_all(&bin).expect("a directory");
    for (name, script) in [("cargo", cargo), ("apt-cache", apt_cache)] {
        machine.write(&format!("fake-bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    script()
        .env("DESTDIR", machine.path("root"))
        .env("CARGO_TARGET_DIR", machine.path("target"))
        .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()))
        .env("HOME", machine.path("home"))
        .env_remove("SUDO_UID")
        .output()
        .expect("it runs")
}

#[test]
fn a_compiler_that_is_too_old_is_named_with_what_to_do() {
    let machine = Machine::new();
    let output = build_with(&machine, "echo cargo 1.65.0", "echo '  Candidate: 0.66.0+ds1-1'");
    code(&output, 1);
    for words in ["needs cargo 1.85", "Installed: 1.65.0", "apt: 0.66.0", "rustup.rs", "--binary"] {
        assert!(said(&output).contains(words), "{}", said(&output));
    }
    assert!(!machine.path("root").exists());
}

#[test]
fn a_program_is_built_only_if_missing() {
    let machine = Machine::new();
    let cargo = format!(
        "if [ \"$1\" = --version ]; then echo cargo 1.85.1; exit; fi\n\
         mkdir -p $CARGO_TARGET_DIR/release && cp {PROGRAM} $CARGO_TARGET_DIR/release/ && echo built with $*"
    );
    let first = build_with(&machine, &cargo, "exit 1");
    code(&first, 0);
    let how = "built with build --locked --release --bin heartbeat-daemon";
    assert!(said(&first).contains(how), "{}", said(&first));
    let second = build_with(&machine, &cargo, "exit 1");
    code(&second, 0);
    assert!(!said(&second).contains("built with"), "{}", said(&second));
}

#[test]
fn a_build_that_fails_changes_nothing() {
    let machine = Machine::new();
    let cargo = "if [ \"$1\" = --version ]; then echo cargo 1.85.1; else exit 101; fi";
    code(&build_with(&machine, cargo, "exit 1"), 1);
    assert!(!machine.path("root").exists());
}

#[test]
fn the_unit_grants_one_capability_and_observe_removes_it() {
    const DROP_IN: &str = "etc/systemd/system/heartbeat-daemon.service.d/50-observe.conf";
    let machine = Machine::new();
    code(&machine.install(&[]), 0);
    let granted = |unit: &str| -> Vec<String> {
        let about = ["CapabilityBoundingSet=", "AmbientCapabilities=", "PrivateUsers="];
        let lines = unit.lines().filter(|line| about.iter().any(|name| line.starts_with(name)));
        lines.map(str::to_owned).collect()
    };
    let unit = machine.read("etc/systemd/system/heartbeat-daemon.service");
    assert_eq!(granted(&unit), ["CapabilityBoundingSet=CAP_NET_ADMIN", "AmbientCapabilities=CAP_NET_ADMIN"]);
    assert!(!machine.path(DROP_IN).exists());

    code(&machine.install(&["--observe"]), 0);
    let expected = ["CapabilityBoundingSet=", "AmbientCapabilities=", "PrivateUsers=yes"];
    assert_eq!(granted(&machine.read(DROP_IN)), expected);
    // An update without the option does not give the privilege back, and brings a newer drop-in.
    machine.write(DROP_IN, "# of the version before\n");
    code(&machine.install(&[]), 0);
    assert_eq!(granted(&machine.read(DROP_IN)), expected);
    code(&machine.run(&["--uninstall"]), 0);
    assert_eq!(machine.names(), [CONFIG]);
}

#[test]
fn the_rule_for_networkmanager_is_installed_only_on_request() {
    const RULE: &str = "etc/polkit-1/rules.d/50-heartbeat-daemon.rules";
    let machine = Machine::new();
    code(&machine.install(&[]), 0);
    assert!(!machine.path(RULE).exists());
    code(&machine.install(&["--networkmanager"]), 0);
    let rule = machine.read(RULE);
    assert!(rule.contains("org.freedesktop.NetworkManager.network-control"), "{rule}");
    assert!(rule.contains("subject.user == \"heartbeat\""), "{rule}");
    code(&machine.install(&[]), 0);
    assert_eq!(machine.read(RULE), rule);
    code(&machine.run(&["--uninstall"]), 0);
    assert_eq!(machine.names(), [CONFIG]);
}

#[test]
fn port_5000_is_left_to_a_program_of_the_systems_before_this_one() {
    const CHOICE: &str = "var/lib/heartbeat-daemon/api-port";
    let machine = Machine::new();
    code(&machine.install(&[]), 0);
    assert!(!machine.path(CHOICE).exists(), "nothing else is installed");
    machine.write("etc/systemd/system/pumaguard.service", "");
    let output = machine.install(&[]);
    code(&output, 0);
    let sentence = "port 5000 is left to PumaGuard (/etc/systemd/system/pumaguard.service)";
    assert!(said(&output).contains(sentence), "{}", said(&output));
    assert!(machine.read(CHOICE).starts_with("leave\n"));
    let output = machine.install(&[]);
    assert!(said(&output).contains("nothing changed"), "{}", said(&output));
}
