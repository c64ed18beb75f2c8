//! What a thousand cameras cost the daemon: memory, threads, descriptors.

use crate::figures::{Figure, Table};
use crate::full_check::{address, namespace};
use crate::lan::mac;
use crate::limits;
use crate::support::daemon::{Daemon, Setup};
use crate::support::eventually;
use std::time::Duration;

const CAMERAS: u16 = 1000;

struct Cost {
    pss: f64,
    most_rss: f64,
    threads: f64,
    most_descriptors: f64,
}

pub fn measure(_: &crate::parts::Plan) -> Vec<Table> {
    let without = cost(Setup::new(), 0);
    let mut table = Table::new(format!(
        "{CAMERAS} cameras that drop everything, checked every 5 s; the daemon sends a heartbeat a second to nobody"
    ));
    table.add(Figure::new("PSS without any", without.pss, "KiB"));
    for (source, setup) in [("lease file", leased()), ("configuration", configured())] {
        let with = cost(setup, usize::from(CAMERAS));
        let more = Figure::new(format!("{source}: PSS more"), with.pss - without.pss, "KiB");
        table.add(more.at_most(limits::MEMORY_KIB));
        table.add(Figure::new(
            format!("{source}: RSS at its most, more"),
            with.most_rss - without.most_rss,
            "KiB",
        ));
        table.add(
            Figure::new(format!("{source}: threads more"), with.threads - without.threads, "").at_most(0.0),
        );
        table.add(Figure::new(format!("{source}: descriptors, most"), with.most_descriptors, ""));
    }
    vec![table]
}

fn configured() -> Setup {
    let entry = |n: u16| {
        format!(
            "{{ mac = \"{}\", address = \"{}\", hostname = \"camera-{n}\" }}",
            mac(n),
            address(n, 80).ip()
        )
    };
    let entries: Vec<String> = (1..=CAMERAS).map(entry).collect();
    Setup::new().toml("cameras.camera", &format!("[{}]", entries.join(", ")))
}

fn leased() -> Setup {
    let lease = |n: u16| format!("1 {} {} camera-{n} *\n", mac(n), address(n, 80).ip());
    let setup = Setup::new();
    let file = setup.scratch().file("leases", &(1..=CAMERAS).map(lease).collect::<String>());
    setup.key("cameras.lease_file", &file).toml("cameras.hostname_patterns", "[\"camera-*\"]")
}

fn cost(setup: Setup, count: usize) -> Cost {
    let namespace = namespace();
    namespace.nft(
        "table ip t {\nchain c {\ntype filter hook input priority 0\nip daddr 127.32.0.0/16 drop\n}\n}\n",
    );
    let setup = setup.key("cameras.interval", "5s").key("cameras.tcp_timeout", "2s");
    let daemon = namespace.enter(|| setup.start());
    let listed = || daemon.snapshot()["cameras"].as_array().map_or(0, Vec::len);
    eventually("the list", || listed() == count.min(256));
    let mut most_descriptors = 0;
    // Three checks.
    for _ in 0..150 {
        most_descriptors = most_descriptors.max(daemon.vitals().descriptors);
        std::thread::sleep(Duration::from_millis(100));
    }
    Cost {
        pss: pss(&daemon),
        most_rss: daemon.proc_number("status", "VmHWM") as f64,
        threads: daemon.vitals().threads as f64,
        most_descriptors: most_descriptors as f64,
    }
}

fn pss(daemon: &Daemon) -> f64 {
    daemon.proc_number("smaps_rollup", "Pss") as f64
}
