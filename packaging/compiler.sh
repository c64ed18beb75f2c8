# shellcheck shell=sh
# Part of install.sh: finds the compiler, installs a missing one with apt, and builds.
#
# Uses $RUST, $yes, $action and $target, and the functions say, complain and fail of install.sh.
# shellcheck disable=SC2154,SC2034

# Runs a command as the user who called sudo, so that target/ stays theirs, with their own cargo in PATH.
as_builder() {
    if [ "$(id -u)" = 0 ] && [ "${SUDO_UID:-0}" != 0 ]; then
        # shellcheck disable=SC2016  # for the inner shell
        sudo -u "#$SUDO_UID" -H -- sh -c 'PATH=$HOME/.cargo/bin:$PATH; exec "$@"' sh "$@"
    else
        (PATH=${HOME:-/root}/.cargo/bin:$PATH; exec "$@")
    fi
}

# at_least VERSION WANTED: both look like 1.85.0
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

cargo_version() { as_builder cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9.]*\).*/\1/p'; }

# The version of a package that apt would install, without epoch and revision.
candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *\([0-9.]*\).*/\1/p'; }

# The Debian package with a new enough cargo; empty if there is none.
cargo_package() {
    for package in cargo cargo-web; do
        offered=$(candidate "$package")
        if [ -n "$offered" ] && at_least "$offered" "$RUST"; then
            printf '%s' "$package"
            return
        fi
    done
}

# Sets $have to the version of the installed cargo, $wants_cargo if that is too old, and $packages to the packages to
# install.
find_missing() {
    have=$(cargo_version) wants_cargo='' packages=''
    if [ -z "$have" ] || ! at_least "$have" "$RUST"; then
        wants_cargo=yes
        packages=$(cargo_package)
    fi
    command -v cc >/dev/null || packages="${packages:+$packages }gcc"
    # gcc only recommends the C library's headers.
    [ -e /usr/include/stdio.h ] || packages="${packages:+$packages }libc6-dev"
}

# size_of PACKAGE...: download and disk size according to apt. Without a lock, which only root could take.
size_of() {
    LC_ALL=C apt-get install --assume-no --no-install-recommends -o Debug::NoLocking=true "$@" 2>/dev/null |
        sed -n 's/^Need to get \(.*\) of archives\.$/\1 to download/p
            s/^After this operation, \(.*\) of additional disk space will be used\.$/, \1 on disk/p' | tr -d '\n'
}

no_cargo_here() {
    offered=$(candidate cargo)
    complain "building needs cargo $RUST or newer. Installed: ${have:-none}. From apt: ${offered:-none}."
    if as_builder rustup --version >/dev/null 2>&1; then
        fail 'Update it, then run this again:  rustup update stable && rustup default stable'
    fi
    complain 'Install it for your own user (without root), then run this again:'
    complain "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal"
    fail 'Or build it on another machine, and pass the program with --binary FILE.'
}

# Asks before apt-get runs, except with "sudo ./install.sh", which is a request to install already.
ask_for_compiler() {
    say 'Building needs a compiler. These commands install it:'
    say "    ${sudo:+sudo }apt-get update"
    say "    ${sudo:+sudo }apt-get install --no-install-recommends $1"
    say "$2; one to five minutes. Nothing else is installed."
    [ -z "$sudo" ] || command -v sudo >/dev/null || fail 'sudo is not installed: run the commands as root, then run this again' "$EX_USAGE"
    if [ -n "$yes" ] || { [ -z "$sudo" ] && [ "$action" = install ]; }; then return; fi
    [ -t 0 ] || fail 'there is no terminal to ask on: run the commands, or run this again with --yes' "$EX_USAGE"
    printf 'Install it now? [Y/n] '
    read -r answer || answer=no
    case $answer in '' | [Yy] | [Yy][Ee][Ss]) ;; *) fail 'nothing was installed' ;; esac
}

need_compiler() {
    find_missing
    [ -n "$wants_cargo$packages" ] || return 0
    command -v apt-get >/dev/null || no_cargo_here
    # With rustup, the user's own compiler would be used instead of apt's.
    if [ -n "$wants_cargo" ] && as_builder rustup --version >/dev/null 2>&1; then no_cargo_here; fi
    if [ "$(id -u)" = 0 ]; then sudo=''; else sudo=sudo; fi
    if [ -n "$wants_cargo" ] && [ -z "$(candidate cargo)" ]; then
        # A fresh image has no lists of packages; the sizes are those of Debian 13.
        ask_for_compiler "cargo $packages" 'About 170 MB to download, 700 MB on disk'
    else
        [ -z "$wants_cargo" ] || [ -n "$(cargo_package)" ] || no_cargo_here
        # shellcheck disable=SC2086  # several packages
        ask_for_compiler "$packages" "$(size_of $packages)"
    fi
    $sudo apt-get update || complain 'apt-get update failed; continuing with the existing package lists'
    find_missing
    [ -z "$wants_cargo" ] || [ -n "$(cargo_package)" ] || no_cargo_here
    # --no-remove: an installed older cargo is not replaced without a question.
    # shellcheck disable=SC2086  # several packages
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-remove --no-install-recommends $packages ||
        fail 'apt-get could not install the compiler; nothing was built'
}

# up_to_date PROGRAM: it exists, and no source is newer.
up_to_date() { [ -x "$1" ] && [ -z "$(find src Cargo.toml Cargo.lock -newer "$1" -type f)" ]; }

kilobytes() { awk -v key="$1:" '$1 == key { print $2 }' /proc/meminfo; }

# prepare_build WHAT MINUTES DISK MEMORY: installs a missing compiler, and says what the build takes: minutes on two cores,
# MB of disk, MB of memory.
prepare_build() {
    need_compiler
    room=$(df -Pk . | awk 'NR == 2 { print int($4 / 1000) }')
    free=$((($(kilobytes MemAvailable) + $(kilobytes SwapFree)) / 1000))
    say "Building $1. It takes:"
    say "    time    about $2 minutes on two cores of a PC; a Raspberry Pi takes several times as long"
    say "    disk    $3 MB in $target ($room MB are free)"
    say "    memory  up to $4 MB ($free MB are free)"
}

has_little_memory() { [ "$(kilobytes MemTotal)" -lt 2000000 ]; }

# cargo_build OPTION...: below 2 GB of memory it uses one compiler process at a time and no link-time optimisation, which
# takes 950 MB.
cargo_build() {
    if has_little_memory; then
        # Small units, because the compiler keeps a whole unit in memory while it optimises it.
        set -- --jobs 1 --config profile.release.lto=false --config profile.release.codegen-units=16 "$@"
        # Makes glibc return freed memory at once.
        set -- env MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072 \
            cargo build --locked "$@"
    else
        set -- cargo build --locked "$@"
    fi
    as_builder "$@" || fail 'the build failed; nothing was changed'
}
