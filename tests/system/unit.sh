# shellcheck shell=bash
# What systemd, its journal and the kernel say about the service in $UNIT. After holds.sh, in the root of the sources.

# The test of a monitor has others meanwhile.
UNIT=heartbeat-daemon
# shellcheck disable=SC2034  # for who reads this file
CONFIG=/etc/$UNIT/config.toml

property() { systemctl show --property "$1" --value "$UNIT"; }
is_active() { [ "$(property ActiveState)" = active ]; }
is_inactive() { [ "$(property ActiveState)" = inactive ]; }
is_enabled() { [ "$(systemctl is-enabled "$UNIT")" = enabled ]; }
restarted_after() { [ "$(property NRestarts)" -gt "$1" ] && is_active; }
logged() { journalctl --quiet --no-pager --unit "$UNIT" --output cat; }
# Reads to the end, as grep -q does not: with pipefail, a journalctl that nobody listens to would be a failure.
has_logged() { logged | grep -e "$1" >/dev/null; }

# What a person would look at.
witnesses() {
    systemctl status --no-pager --full --lines 0 "$UNIT"
    logged | tail -n 20
}

# is_ready_in_time SECONDS: from the start of the program to READY=1.
is_ready_in_time() {
    becomes is_active || return
    local from to
    from=$(property ExecMainStartTimestampMonotonic)
    to=$(property ActiveEnterTimestampMonotonic)
    awk -v from="$from" -v to="$to" -v limit="$1" \
        'BEGIN { s = (to - from) / 1e6; printf "figure READY after %.2f s\n", s; exit !(s > 0 && s <= limit) }'
}

# comes_back_after SIGNAL COMMAND...: systemd starts it again, and COMMAND succeeds.
comes_back_after() {
    local signal=$1 before begin=$EPOCHREALTIME
    shift
    before=$(property NRestarts)
    kill -s "$signal" "$(property MainPID)" && becomes restarted_after "$before" && "$@" && took "$begin"
}

# stops_within SECONDS
stops_within() {
    local begin=$EPOCHREALTIME
    systemctl stop "$UNIT" && [ "$(property Result)" = success ] && took "$begin" "$1"
}

# Exposure as systemd sees it, at most $1.
is_hardened() {
    local exposure
    exposure=$(systemd-analyze security --no-pager "$UNIT" | sed -n 's/.*Overall exposure level.*: \([0-9.]*\) .*/\1/p')
    echo "figure exposure $exposure"
    awk -v exposure="$exposure" -v most="$1" 'BEGIN { exit !(exposure != "" && exposure <= most) }'
}

# The man pages are left out where a root has none.
knows_every_line() {
    ! systemd-analyze verify "$(property FragmentPath)" 2>&1 | grep "$UNIT" | grep -v 'Documentation\|man '
}

# refuses_the_rest PATH...: the service's own unit with tests/system/probe.pl in place of the program. It may write to
# its own directories; nothing else that it tries succeeds, nor is one of the PATHs read.
refuses_the_rest() {
    local drop_in=/run/systemd/system/$UNIT.service.d
    install -m 0644 tests/system/probe.pl /usr/share/probe.pl
    mkdir -p /home/person "$drop_in" && touch /home/person/diary
    printf '%s\n' '[Service]' Type=oneshot Restart=no WatchdogSec=0 ExecStart= ExecStopPost= \
        "ExecStart=/usr/bin/perl /usr/share/probe.pl $UNIT $*" >"$drop_in/90-probe.conf"
    systemctl daemon-reload && systemctl restart "$UNIT"
    journalctl --sync
    logged | grep '^probe: '
    rm -r "$drop_in" /usr/share/probe.pl /home/person
    systemctl daemon-reload && systemctl restart "$UNIT"
    echo "figure $(logged | grep -c '^probe: .*refused') attempts refused"
    has_logged '^probe: writes to its own directories' && has_logged '^probe: done' &&
        ! has_logged '^probe: .*: \(allowed\|unclear\)' && [ ! -e /tmp/probe ]
}

# is_gone NAME ACCOUNT: of a program that was purged there is nothing left, neither files nor unit, user or group. What
# the test itself and the packages' tools keep does not count.
is_gone() {
    local name=$1 account=$2
    ! find / -xdev \( -path /proc -o -path /sys -o -path /src -o -path /given -o -path "$SCRATCH" -o -path /var/log/journal \
        -o -path /var/log/apt -o -path /var/cache/apt \) -prune -o -name "*$name*" -print | grep . &&
        ! getent passwd "$account" && ! getent group "$account" &&
        [ "$(systemctl show --property LoadState --value "$name")" = not-found ]
}
