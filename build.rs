//! How the programs are linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=HEARTBEAT_OLD_GLIBC");
    println!("cargo:rerun-if-changed=packaging/monitor.ld");
    let is_gnu = std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu");
    // In packages, not where a build must be quick. GNU ld and lld read the file.
    let is_small = std::env::var("OPT_LEVEL").is_ok_and(|level| level == "s" || level == "z");
    if let (true, Ok(directory)) = (is_gnu && is_small, std::env::var("CARGO_MANIFEST_DIR")) {
        println!("cargo:rustc-link-arg-bin=heartbeat-monitor=-Wl,-T,{directory}/packaging/monitor.ld");
    }
    // Packages say so: theirs run from glibc 2.34 on (Ubuntu 22.04, RHEL 9), wherever they are linked.
    let old_glibc = std::env::var_os("HEARTBEAT_OLD_GLIBC").is_some();
    if old_glibc && is_gnu {
        // Rust's library looks whether these two of glibc 2.39 are there; linked on a system that has them, the loader
        // would insist on it. Absent, a child is started as it was before.
        for symbol in ["pidfd_getpid", "pidfd_spawnp"] {
            println!("cargo:rustc-link-arg-bins=-Wl,--defsym={symbol}=0");
        }
    }
}
