#!/bin/sh
# Installs heartbeat-daemon or heartbeat-monitor on this machine and starts it. "./install.sh --help" lists the options.
set -eu

# The oldest compiler that builds it: rust-version in Cargo.toml.
RUST=1.85
EX_USAGE=2
EX_CONFIG=78

usage() {
    cat <<'TEXT'
usage: sudo ./install.sh [options]               install or update the daemon, enable, start
       sudo ./install.sh --monitor [options]     the same with heartbeat-monitor, on the server
       ./install.sh --try [--yes]                run both programs in a scratch directory and show an outage
       sudo ./install.sh --uninstall [--monitor] stop and remove it; keep configuration and state

  --url URL          send heartbeats to URL: sets url in the configuration
  --token-file FILE  copy the token in FILE to /etc/heartbeat-daemon/token and use that
  --enroll URL       enrol the device at the heartbeat-monitor at URL, with a key: it gets a token of its own. Below
                     DESTDIR, the device does so at its first boot
  --key-file FILE    with --enroll: read the key from FILE; default: ask for it on the terminal
  --ca-file FILE     copy the CA's certificate in FILE to /etc/heartbeat-daemon/ca.pem and trust only that
  --lan              with --monitor: HTTPS on port 8443 of the LAN, with a private CA and a certificate for this machine's
                     names and addresses. Run it again to renew the certificate; the CA stays
  --name NAME        with --lan: the name or address that devices use; default: an address of this machine
  --domain NAME      with --monitor: public at https://NAME/ behind Caddy, which obtains the certificate
  --binary FILE      install this program instead of the one in target (with --try: the daemon; its
                     monitor is heartbeat-monitor in the same directory)
  --deb FILE         install this package with apt instead: no compiler is needed, and apt removes it
  --prefix DIR       install the program into DIR/bin (default /usr/local)
  --observe          install without the privilege to change routes: the daemon sends over the best uplink only
  --networkmanager   allow the daemon to activate connections of NetworkManager (for mode = "networkmanager")
  --no-start         install and enable; the service starts at the next boot
  --purge            with --uninstall: also remove configuration, state and the user
  --seconds N        with --try: end N seconds after the demonstration instead of at Ctrl-C
  --yes              install a missing compiler without asking
  --help             print this text

If target has no program, or an older one than the sources, it is built first. That needs cargo 1.85 or newer
and a C compiler. A missing one is installed with apt: "cargo" on Debian 13, "cargo-web" on Debian 12.

--try installs a compiler and nothing else. It lists what is missing with its size, asks once, and uses sudo
for apt-get only; --yes answers the question. Without a terminal and without --yes it prints the commands and
exits with status 2.

An edited configuration is never overwritten. A second run without changes does nothing. If the
configuration is invalid, nothing is changed and the exit status is 78. --observe and --networkmanager apply to
later runs too, until --uninstall. Daemon and monitor can share a machine; each has its own user and files.

DESTDIR=DIR in the environment installs below DIR, without root: no user is created and nothing is started.
TEXT
}

say() { printf '%s\n' "$*"; }
complain() { printf 'install.sh: %s\n' "$*" >&2; }
fail() { complain "$1"; exit "${2:-1}"; }

# ---- options ------------------------------------------------------------------------------------------------

NAME=heartbeat-daemon ACCOUNT=heartbeat
action=install prefix=/usr/local binary='' url='' token_file='' start=yes purge='' seconds='' observe='' networkmanager=''
yes='' ca_file='' lan='' lan_name='' domain='' enroll='' key_file='' deb=''

value() { [ -n "${2:-}" ] || fail "$1 needs a value; see --help" "$EX_USAGE"; }

while [ $# -gt 0 ]; do
    case $1 in
        --url) value "$@"; url=$2; shift ;;
        --token-file) value "$@"; token_file=$2; shift ;;
        --ca-file) value "$@"; ca_file=$2; shift ;;
        --enroll) value "$@"; enroll=$2; shift ;;
        --key-file) value "$@"; key_file=$2; shift ;;
        --lan) lan=yes ;;
        --name) value "$@"; lan_name=$(printf '%s' "$2" | tr '[:upper:]' '[:lower:]'); shift ;;
        --domain) value "$@"; domain=$2; shift ;;
        --binary) value "$@"; binary=$2; shift ;;
        --deb) value "$@"; deb=$2; shift ;;
        --prefix) value "$@"; prefix=$2; shift ;;
        --seconds) value "$@"; seconds=$2; shift ;;
        --observe) observe=yes ;;
        --networkmanager) networkmanager=yes ;;
        --no-start) start='' ;;
        --yes) yes=yes ;;
        --purge) purge=yes ;;
        --monitor) NAME=heartbeat-monitor ACCOUNT=heartbeat-monitor ;;
        --try) action=try ;;
        --uninstall) action=uninstall ;;
        --help | -h) usage; exit 0 ;;
        *) fail "unknown option $1; see --help" "$EX_USAGE" ;;
    esac
    shift
done

case $prefix in /*) prefix=${prefix%/} ;; *) fail "--prefix $prefix: must start with /" "$EX_USAGE" ;; esac
case $prefix in *[!A-Za-z0-9/._+-]*) fail "--prefix $prefix: only letters, digits and / . _ + -" "$EX_USAGE" ;; esac
case $seconds in *[!0-9]*) fail "--seconds $seconds: must be a whole number" "$EX_USAGE" ;; esac
[ -z "$seconds" ] || [ "$action" = try ] || fail '--seconds needs --try' "$EX_USAGE"
[ -z "$yes" ] || [ "$action" != uninstall ] || fail '--yes cannot be combined with --uninstall' "$EX_USAGE"
[ -z "$purge" ] || [ "$action" = uninstall ] || fail '--purge needs --uninstall' "$EX_USAGE"
[ -z "$observe$networkmanager" ] || [ "$action" = install ] ||
    fail '--observe and --networkmanager cannot be combined with --try or --uninstall' "$EX_USAGE"
[ "$NAME" = heartbeat-daemon ] || [ -z "$url$token_file$ca_file$enroll$observe$networkmanager" ] ||
    fail '--url, --token-file, --ca-file, --enroll, --observe and --networkmanager are for the daemon' "$EX_USAGE"
[ -z "$enroll" ] || [ "$action" = install ] || fail '--enroll cannot be combined with --try or --uninstall' "$EX_USAGE"
[ -z "$enroll" ] || [ -z "$url$token_file" ] || fail '--enroll replaces --url and --token-file' "$EX_USAGE"
[ -n "$enroll" ] || [ -z "$key_file" ] || fail '--key-file needs --enroll' "$EX_USAGE"
[ -z "$enroll" ] || [ -z "${DESTDIR:-}" ] || [ -n "$key_file" ] ||
    fail '--enroll below DESTDIR needs --key-file' "$EX_USAGE"
[ "$NAME$action" = heartbeat-monitorinstall ] || [ -z "$lan$domain" ] ||
    fail '--lan and --domain need --monitor, and cannot be combined with --try or --uninstall' "$EX_USAGE"
[ -z "$lan" ] || [ -z "$domain" ] || fail 'use either --lan or --domain' "$EX_USAGE"
[ -n "$lan" ] || [ -z "$lan_name" ] || fail '--name needs --lan' "$EX_USAGE"
case $lan_name in *[!a-z0-9.:-]*) fail "--name $lan_name: only a host name or an address" "$EX_USAGE" ;; esac
[ "$NAME" = heartbeat-daemon ] || [ "$action" != try ] || fail '--try runs both programs; leave out --monitor' "$EX_USAGE"
check_file() {
    [ -z "$2" ] || [ -s "$2" ] || fail "$1 $2: the file is missing or empty" "$EX_USAGE"
    [ -z "$2" ] || [ -r "$2" ] || fail "cannot read $1 $2" "$EX_USAGE"
}
check_file --token-file "$token_file"
check_file --ca-file "$ca_file"
check_file --key-file "$key_file"
check_file --deb "$deb"
[ -z "$deb" ] || [ "$action$binary$prefix$start" = install/usr/localyes ] ||
    fail '--deb cannot be combined with --binary, --prefix, --no-start, --try or --uninstall (to remove it: apt remove)' "$EX_USAGE"
[ -z "$binary" ] || [ -x "$binary" ] || fail "--binary $binary: not an executable file" "$EX_USAGE"

absolute() { case $1 in '' | /*) printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac; }
binary=$(absolute "$binary")
token_file=$(absolute "$token_file")
ca_file=$(absolute "$ca_file")
key_file=$(absolute "$key_file")
deb=$(absolute "$deb")

# The rest runs in the sources' directory, wherever the script was called from.
cd "$(dirname "$0")"

dest=${DESTDIR:-}
dest=${dest%/}
etc=/etc/$NAME
state=/var/lib/$NAME
program=$prefix/bin/$NAME
# The default configuration as installed: a configuration that differs from it was edited and is not replaced.
default=$prefix/share/$NAME/config.toml
unit=/etc/systemd/system/$NAME.service
enroll_unit=/etc/systemd/system/heartbeat-daemon-enroll.service
case $NAME in heartbeat-monitor) units=$NAME ;; *) units="$NAME $NAME-enroll" ;; esac
sysusers=/etc/sysusers.d/$NAME.conf
case $NAME in
    heartbeat-monitor) default_config=packaging/heartbeat-monitor.toml ;;
    *) default_config=packaging/config.toml ;;
esac

scratch=$(mktemp -d)
half_written=''
trap 'rm -rf "$scratch" ${half_written:+"$half_written"}' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- the program --------------------------------------------------------------------------------------------

. packaging/compiler.sh
. packaging/lan.sh
. packaging/domain.sh
. packaging/package.sh
[ -z "$domain" ] || check_domain "$domain"

target=$(absolute "${CARGO_TARGET_DIR:-target}")

# Sets $binary.
find_binary() {
    [ -z "$binary" ] || return 0
    case $NAME in
        heartbeat-monitor) binary=$target/monitor/$NAME ;;
        *) binary=$target/release/$NAME ;;
    esac
    if up_to_date "$binary"; then return; fi
    if has_little_memory; then memory=600; else memory=1000; fi
    prepare_build $NAME 5 650 $memory
    case $NAME in
        heartbeat-monitor) cargo_build --profile monitor --no-default-features --features postgres --bin $NAME ;;
        *) cargo_build --release --bin $NAME ;;
    esac
}

# ---- the configuration --------------------------------------------------------------------------------------

# set_key FILE SECTION KEY VALUE: KEY = "VALUE" in [SECTION], in place of the line that is there (active before
# commented), or below the section's head. Only for keys and values without quotes and backslashes.
set_key() { set_list "$1" "$2" "$3" "\"$4\""; }

# set_list FILE SECTION KEY VALUE: the same with VALUE as TOML writes it.
set_list() {
    awk -v section="$2" -v key="$3" -v value="$4" '
        function begins(line) { return line ~ /^[ \t]*\[/ }
        { line[NR] = $0 }
        begins($0) { inside = ($0 ~ "^[ \t]*\\[" section "\\]"); if (inside && !head) head = NR }
        inside && $0 ~ "^[ \t]*" key "[ \t]*=" { active = NR }
        inside && $0 ~ "^[ \t]*#" key "[ \t]*=" && !commented { commented = NR }
        END {
            at = active ? active : commented
            new = key " = " value
            for (n = 1; n <= NR; n++) {
                print n == at ? new : line[n]
                if (n == head && !at) print new
            }
            if (!head) print "\n[" section "]\n" new
        }' "$1" >"$scratch/edited"
    cat "$scratch/edited" >"$1"
}

# get_key FILE SECTION KEY: the text that is set there; empty if there is none.
get_key() {
    awk -v section="$2" -v key="$3" '
        /^[ \t]*\[/ { inside = ($0 ~ "^[ \t]*\\[" section "\\]") }
        inside && $0 ~ "^[ \t]*" key "[ \t]*=" { sub(/^[^=]*=[ \t]*/, ""); split($0, part, "\""); found = part[2] }
        END { print found }' "$1"
}

# Runs the program without the variables that configure the service.
without_environment() {
    # shellcheck disable=SC2046  # names without blanks
    env $(env | sed -n 's/^\(HEARTBEAT_MONITOR_[A-Za-z0-9_]*\)=.*/-u \1/p') -u HEARTBEAT_URL -u HEARTBEAT_INTERVAL -u REQUEST_TIMEOUT -u PIDFILE \
        -u MACHINE_HEARTBEAT_CHECK_INTERVAL -u MACHINE_OFFLINE_THRESHOLD "$@"
}

# stand_in PATH FILE: the check reads FILE in place of PATH, which is not installed yet, or is below DESTDIR.
stand_in() {
    printf 's|"%s"|"%s"|\n' "$1" "$2" >>"$scratch/to-check"
    printf 's|%s|%s|\n' "$2" "$1" >>"$scratch/from-check"
}

stand_in_secrets() {
    for each in token ca.pem lan/ca.pem lan/certificate.pem lan/key.pem; do
        case $each in token) given=$token_file ;; ca.pem) given=$ca_file ;; *) given='' ;; esac
        if [ -n "$given" ]; then
            cat "$given" >"$scratch/given-$each"
            stand_in "$etc/$each" "$scratch/given-$each"
            # Its errors name the file that the user knows.
            printf 's|%s|%s|\n' "$etc/$each" "$given" >>"$scratch/from-check"
        else
            stand_in "$etc/$each" "$dest$etc/$each"
        fi
    done
}

# check_config FILE: prints nothing if the program accepts FILE. Its errors name the installed files.
check_config() {
    stand_in_secrets
    sed -f "$scratch/to-check" "$1" >"$scratch/checked.toml"
    # The service's user cannot read the copy. Only root can check as another user.
    if [ "$(id -u)" = 0 ]; then set -- --user root; else set --; fi
    answer=0
    without_environment "$binary" --config "$scratch/checked.toml" check-config "$@" >"$scratch/said" 2>&1 || answer=$?
    [ "$answer" = 0 ] ||
        sed -e "s|$scratch/checked.toml|$etc/config.toml|" -f "$scratch/from-check" "$scratch/said" >&2
    return "$answer"
}

# is_unedited CONFFILE PACKAGE: it is as dpkg has installed it.
is_unedited() {
    shipped=$(dpkg-query --show --showformat '${Conffiles}\n' "$2" 2>/dev/null | awk -v file="$1" '$1 == file { print $2 }')
    [ -n "$shipped" ] && [ "$(md5sum <"$dest$1" | cut -d ' ' -f 1)" = "$shipped" ]
}

# The installed configuration is the default of its version.
has_default_config() {
    if [ -n "$deb" ]; then is_unedited "$etc/config.toml" "$NAME"; else cmp -s "$installed" "$dest$default"; fi
}

# Writes the configuration to install to $scratch/config.toml, and checks it before anything changes.
prepare_config() {
    config=$scratch/config.toml
    installed=$dest$etc/config.toml
    if [ -e "$installed" ] && ! has_default_config; then
        cp "$installed" "$config"
        edited=yes
    else
        cp "$default_config" "$config"
        edited=''
    fi
    # The program checks the rest of the URL.
    case $url in *[\"\\[:space:][:cntrl:]]*) fail '--url contains a character that no URL has' "$EX_USAGE" ;; esac
    case $enroll in *[\"\\[:space:][:cntrl:]]*) fail '--enroll: a character that no URL has' "$EX_USAGE" ;; esac
    [ -z "$url" ] || set_key "$config" heartbeat url "$url"
    # Where the device enrols at its first boot, and where its heartbeats go.
    [ -z "$enroll" ] || [ -z "$dest" ] || set_key "$config" heartbeat url "${enroll%/}/api/v1/heartbeat"
    [ -z "$token_file" ] || set_key "$config" heartbeat token_file "$etc/token"
    [ -z "$ca_file" ] || set_key "$config" heartbeat ca_file "$etc/ca.pem"
    [ -z "$lan" ] || prepare_lan "$config"
    [ -z "$domain" ] || prepare_domain "$config"
    check_config "$config" || fail "the configuration is invalid: see above. Nothing was changed." "$EX_CONFIG"
}

# ---- files --------------------------------------------------------------------------------------------------

changed=''

# put SOURCE TARGET MODE [GROUP]: installs a file of root. Skips an equal file, and never leaves a half-written one.
put() {
    target=$dest$2
    if [ -n "$dest" ]; then group='' wanted=$3; else group=${4:-root} wanted="$3 root ${4:-root}"; fi
    if cmp -s "$1" "$target" && [ "$(stat -c "0%a${group:+ %U %G}" "$target")" = "$wanted" ]; then return; fi
    mkdir -p "$(dirname "$target")"
    half_written=$(mktemp "$target.XXXXXX")
    cat "$1" >"$half_written"
    [ -z "$group" ] || chown "root:$group" "$half_written"
    chmod "$3" "$half_written"
    mv -f "$half_written" "$target"
    half_written=''
    changed=yes
    say "  $2"
}

# Creates the user; the files of its group follow.
make_user() {
    put packaging/$NAME.sysusers "$sysusers" 0644
    [ -z "$dest" ] || return 0
    # The daemon's unit names this group.
    [ "$NAME" = heartbeat-daemon ] && group=video || group=root
    if getent passwd "$ACCOUNT" >/dev/null && getent group "$group" >/dev/null; then return; fi
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers "$sysusers"
    elif command -v useradd >/dev/null; then
        getent group "$group" >/dev/null || groupadd --system "$group"
        useradd --system --user-group --home-dir $state --no-create-home --shell /usr/sbin/nologin "$ACCOUNT"
    else
        fail "neither systemd-sysusers nor useradd is installed: create a system user named $ACCOUNT, then run this again"
    fi
    changed=yes
    say "  user $ACCOUNT"
}

# for_each_file COMMAND: calls it with source, target, mode and option of each line in the list of files.
for_each_file() {
    while read -r source mode target _ option; do
        case $source in '' | '#'*) continue ;; esac
        case $target in
            -) continue ;;
            PREFIX/*) target=$prefix/${target#PREFIX/} ;;
        esac
        "$1" "$source" "$target" "$mode" "$option"
    done <"packaging/$NAME.files"
}

install_listed() {
    # An option of an earlier run still applies: an update must not grant what a person has taken away.
    case $4 in
        --observe) [ -n "$observe" ] || [ -e "$dest$2" ] || return 0 ;;
        --networkmanager) [ -n "$networkmanager" ] || [ -e "$dest$2" ] || return 0 ;;
        # The package has all other files.
        *) [ -z "$deb" ] || return 0 ;;
    esac
    case $2 in
        "$unit" | "$enroll_unit")
            sed "s|^\(Exec[A-Za-z]*=[-+]*\)/usr/bin/$NAME|\1$program|" "$1" >"$scratch/unit"
            put "$scratch/unit" "$2" "$3"
            ;;
        */sysctl.d/*) set_kernel "$@" ;;
        *) put "$1" "$2" "$3" ;;
    esac
}

install_files() {
    if [ -n "$deb" ]; then
        install_package
    else
        make_user
        put "$binary" "$program" 0755
    fi
    [ -z "$token_file" ] || put "$token_file" "$etc/token" 0640 "$ACCOUNT"
    [ -z "$ca_file" ] || put "$ca_file" "$etc/ca.pem" 0644
    [ -z "$enroll" ] || [ -z "$dest" ] || put "$key_file" "$etc/enroll.key" 0600
    [ -z "$lan" ] || install_lan
    [ -z "$domain" ] || install_site
    # Below DESTDIR the group does not exist yet, and without it the daemon could not read a closed file.
    if [ -n "$dest" ]; then closed=0644; else closed=0640; fi
    put "$scratch/config.toml" "$etc/config.toml" "$closed" "$ACCOUNT"
    for_each_file install_listed
}

# Runs before the start: another program that needs port 5000 keeps it. Prints a line only if there is one.
settle_port() {
    [ "$NAME" = heartbeat-daemon ] || return 0
    found=$(without_environment "$binary" --config "$dest$etc/config.toml" port check --root "$dest/") ||
        complain 'cannot determine whether another program needs port 5000'
    [ -z "$found" ] || { changed=yes; say "$found"; }
}

# set_kernel: applies the settings now, not only at the next boot. In a container the kernel may refuse.
set_kernel() {
    before=$changed changed=''
    put "$1" "$2" "$3"
    if [ -n "$changed" ] && [ -z "$dest" ]; then
        sysctl --quiet --load="$2" >"$scratch/said" 2>&1 ||
            complain "could not apply all of $2: $(head -n 1 "$scratch/said")"
    fi
    changed=$changed$before
}

# ---- the service --------------------------------------------------------------------------------------------

systemd_runs() { [ -z "$dest" ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null; }

show_service() {
    systemctl --no-pager --lines=0 status "$NAME" || :
    journalctl --no-pager --unit "$NAME" --lines 8 --output short 2>/dev/null || :
}

start_service() {
    if [ -n "$changed" ]; then systemctl daemon-reload; fi
    for each in $units; do
        systemctl --quiet is-enabled "$each" 2>/dev/null && continue
        systemctl --quiet enable "$each"
        changed=yes
    done
    if [ -z "$start" ]; then
        say "enabled, not started (--no-start). To start it: systemctl start $NAME"
        return
    fi
    if [ -z "$changed" ] && systemctl --quiet is-active "$NAME"; then return; fi
    changed=yes
    if ! systemctl restart "$NAME"; then
        show_service
        fail 'installed, but it did not start: see above'
    fi
    # Does nothing without a key file.
    [ "$units" = "$NAME" ] || systemctl start --no-block "$NAME-enroll"
}

# The running daemon uses the new token at once. Below DESTDIR, the device does this at its first boot: install_files.
enroll_now() {
    [ -n "$enroll" ] && [ -z "$dest" ] || return 0
    without_environment "$program" --config "$etc/config.toml" enroll "$enroll" ${key_file:+--key-file "$key_file"} ||
        fail 'installed, but not enrolled: see above'
}

install_all() {
    [ -n "$dest" ] || [ "$(id -u)" = 0 ] || fail 'needs root: sudo ./install.sh   (without root: --try)'
    if [ -n "$deb" ]; then prepare_package; else find_binary; fi
    "$binary" --version >/dev/null 2>&1 || fail "$binary cannot run on this machine"
    prepare_config
    install_files
    settle_port
    if systemd_runs; then start_service; fi
    enroll_now
    [ -z "$domain" ] || start_caddy
    [ -n "$changed" ] || say 'everything is up to date: nothing changed'
    if systemd_runs; then
        show_service
    elif [ -n "$dest" ]; then
        say "installed below $dest; no user was created and nothing was started"
    else
        say "systemd is not running: installed, not started. To start it: $program --config $etc/config.toml"
    fi
    [ -z "$edited" ] || [ -n "$deb" ] || cmp -s "$dest$etc/config.toml" "$dest$default" ||
        say "your $etc/config.toml stays as you edited it; this version's default is $default"
    case $NAME in
        heartbeat-monitor)
            [ -z "$lan" ] || explain_lan
            [ -z "$domain" ] || explain_domain
            [ -n "$dest" ] || say "next, add a machine: sudo $program machine add NAME --token-file FILE   (writes its token to FILE)"
            ;;
        *)
            [ -n "$enroll" ] || [ -e "$dest$state/enrolment.json" ] ||
                grep -q '^[[:space:]]*url[[:space:]]*=' "$dest$etc/config.toml" ||
                say "no server is configured yet: sudo ./install.sh --url URL [--token-file FILE], or --enroll URL with a key"
            ;;
    esac
}

remove_listed() { rm -f "$dest$2"; }

uninstall() {
    [ -n "$dest" ] || [ "$(id -u)" = 0 ] || fail 'needs root: sudo ./install.sh --uninstall'
    # shellcheck disable=SC2086  # two names
    if systemd_runs && [ -e "$unit" ]; then systemctl --quiet disable --now $units || :; fi
    rm -f "$dest$program"
    for_each_file remove_listed
    [ "$NAME" = heartbeat-daemon ] || remove_site
    rmdir "$dest$prefix/share/$NAME" "$dest$unit.d" 2>/dev/null || :
    if systemd_runs; then systemctl daemon-reload; fi
    if [ -z "$purge" ]; then
        say "removed; $etc and $state stay (--purge removes them)"
        return
    fi
    rm -rf "$dest$etc" "$dest$state"
    if [ -z "$dest" ] && getent passwd "$ACCOUNT" >/dev/null; then userdel "$ACCOUNT"; fi
    say 'removed, including configuration, state and user'
}

# ---- the demonstration -------------------------------------------------------------------------------------------

# One after the other: one program takes less memory than both, and the dependencies are compiled once.
build_for_try() {
    prepare_build 'heartbeat-daemon and heartbeat-monitor' 4 400 850
    cargo_build --profile try --bin heartbeat-daemon
    cargo_build --profile try --no-default-features --features monitor --bin heartbeat-monitor
}

# Both programs, not optimised: see [profile.try] in Cargo.toml.
try() {
    [ -z "$dest$url$token_file$ca_file" ] ||
        fail '--try cannot be combined with DESTDIR, --url, --token-file or --ca-file' "$EX_USAGE"
    if [ -n "$binary" ]; then
        # A daemon that was built elsewhere needs its monitor beside it.
        monitor=$(dirname "$binary")/heartbeat-monitor
        [ -x "$monitor" ] || fail "--binary: $monitor does not exist" "$EX_USAGE"
    else
        binary=$target/try/heartbeat-daemon monitor=$target/try/heartbeat-monitor
        { up_to_date "$binary" && up_to_date "$monitor"; } || build_for_try
    fi
    rm -rf "$scratch"
    trap - EXIT
    exec packaging/try "$binary" "$monitor" ${seconds:+"$seconds"}
}

case $action in
    install) install_all ;;
    uninstall) uninstall ;;
    try) try ;;
esac
