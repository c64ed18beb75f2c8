//! install.sh --monitor --domain: the site of Caddy, and the keys of the configuration that belong to it.

use crate::monitor::{CONFIG, install};
use crate::skip::skip_without;
use crate::{Machine, code, said};
use std::fs;
use std::process::Command;

const SITE: &str = "etc/caddy/heartbeat-monitor.caddy";
const CADDYFILE: &str = "etc/caddy/Caddyfile";
const DOMAIN: [&str; 2] = ["--domain", "monitor.farm.example"];

/// A machine with a file where Caddy's program is.
fn with_caddy(caddyfile: Option<&str>) -> Machine {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new();
    for directory in ["usr/bin", "etc/caddy"] {
        fs::create_dir_all(machine.path(directory)).expect("a directory");
    }
    machine.write("usr/bin/caddy", "");
    fs::set_permissions(machine.path("usr/bin/caddy"), fs::Permissions::from_mode(0o755)).expect("its mode");
    if let Some(text) = caddyfile {
        machine.write(CADDYFILE, text);
    }
    machine
}

#[test]
fn the_site_is_written_and_the_monitor_stays_behind_it() {
    let machine = with_caddy(None);
    code(&install(&machine, &[]), 0);
    let before = machine.read(CONFIG);
    let output = install(&machine, &DOMAIN);
    code(&output, 0);
    assert!(said(&output).contains("--enroll https://monitor.farm.example/\n"), "{}", said(&output));
    let after = machine.read(CONFIG);
    let changed: Vec<&str> = after.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
    let expected =
        ["trusted_proxies = [\"127.0.0.1\", \"::1\"]", "public_url = \"https://monitor.farm.example/\""];
    assert_eq!(changed, expected);
    let site = machine.read(SITE);
    assert!(
        site.contains("\nmonitor.farm.example {\n") && site.contains("reverse_proxy 127.0.0.1:8080 {"),
        "{site}"
    );
    assert!(!site.contains("example.org"), "{site}");
    assert_eq!(machine.read(CADDYFILE), format!("import /{SITE}\n"));

    let tree = machine.tree();
    let second = install(&machine, &DOMAIN);
    code(&second, 0);
    assert!(said(&second).contains("nothing changed"), "{}", said(&second));
    assert_eq!(machine.tree(), tree);

    let removed = machine.run(&["--uninstall", "--monitor", "--purge"]);
    assert!(said(&removed).contains("Caddy's site stays"), "{}", said(&removed));
    assert_eq!(machine.names(), [CADDYFILE, SITE, "usr/bin/caddy"]);
}

#[test]
fn what_a_person_has_edited_stays() {
    let own = "farm.example {\n\trespond ok\n}\n";
    let machine = with_caddy(Some(own));
    let output = install(&machine, &DOMAIN);
    code(&output, 0);
    assert!(said(&output).contains("add this line to /etc/caddy/Caddyfile"), "{}", said(&output));
    assert_eq!(machine.read(CADDYFILE), own);
    let edited = machine.read(SITE) + "# mine\n";
    machine.write(SITE, &edited);
    machine.write(CADDYFILE, &format!("{own}import /{SITE}\n"));
    let again = install(&machine, &DOMAIN);
    code(&again, 0);
    assert!(
        said(&again).contains("stays as you edited it") && !said(&again).contains("add this line"),
        "{}",
        said(&again)
    );
    assert_eq!(machine.read(SITE), edited);
}

#[test]
fn without_caddy_its_file_is_left_to_the_package() {
    let machine = Machine::new();
    code(&install(&machine, &DOMAIN), 0);
    assert!(machine.path(SITE).exists() && !machine.path(CADDYFILE).exists());
}

#[test]
fn what_cannot_have_a_certificate_is_refused() {
    let machine = Machine::new();
    for name in ["farm", "192.168.7.20", "-x.example", "a..b", "a.example/", "a b.example", "x.example {"] {
        code(&install(&machine, &["--domain", name]), 2);
        assert_eq!(machine.names(), [""; 0], "{name}");
    }
    code(&install(&machine, &["--lan", DOMAIN[0], DOMAIN[1]]), 2);
    code(&install(&machine, &[]), 0);
    let exposed = machine.read(CONFIG).replace("listen = \"127.0.0.1:8080\"", "listen = \"0.0.0.0:8080\"");
    machine.write(CONFIG, &exposed);
    let output = install(&machine, &DOMAIN);
    code(&output, 78);
    assert!(said(&output).contains("Caddy needs an address of this machine"), "{}", said(&output));
    assert_eq!(machine.read(CONFIG), exposed);
}

#[test]
fn caddy_accepts_the_site() {
    if Command::new("caddy").arg("version").output().is_err() {
        return skip_without("caddy");
    }
    let machine = with_caddy(None);
    code(&install(&machine, &DOMAIN), 0);
    // As installed, with the path that the file has here.
    let site = machine.path(SITE);
    let caddyfile = machine.write(
        "Caddyfile",
        &machine.read(CADDYFILE).replace(&format!("/{SITE}"), &site.display().to_string()),
    );
    let home = machine.path("home");
    let output = Command::new("caddy")
        .args(["validate", "--adapter", "caddyfile", "--config", &caddyfile])
        .env("HOME", home)
        .output()
        .expect("caddy runs");
    code(&output, 0);
    assert!(said(&output).contains("Valid configuration"), "{}", said(&output));
}
