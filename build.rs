//! How the programs are linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=HEARTBEAT_OLD_GLIBC");
    // Packages say so: theirs run from glibc 2.34 on (Ubuntu 22.04, RHEL 9).
    let old_glibc = std::env::var_os("HEARTBEAT_OLD_GLIBC").is_some();
    if !std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu") {
        return;
    }
    if old_glibc {
        // Rust's library looks whether these two of glibc 2.39 are there; linked on a system that has them, the loader
        // would insist on it. Absent, a child is started as it was before.
        for symbol in ["pidfd_getpid", "pidfd_spawnp"] {
            println!("cargo:rustc-link-arg-bins=-Wl,--defsym={symbol}=0");
        }
    } else {
        // Relative relocations packed (RELR): 95 KiB that the loader would read at each start become 3 KiB. Takes glibc
        // 2.36 (Debian 12) to run; a linker that does not know the word says so and links as before.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
