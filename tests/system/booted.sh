# shellcheck shell=bash
# What the tests on a booted Debian share: they count sentences, wait, and ask systemd about the service in $UNIT.
# Read by them with "."; whoever reads it sets UNIT.

SCRATCH=$(mktemp -d)
passed=0 failed=0

# holds SENTENCE COMMAND...: counts one test; a line that begins with "figure" is shown.
holds() {
    local sentence=$1
    shift
    if "$@" >"$SCRATCH/output" 2>&1; then
        passed=$((passed + 1))
        echo "ok: $sentence$(sed -n 's/^figure/:/p' "$SCRATCH/output" | tr -d '\n')"
    else
        failed=$((failed + 1))
        echo "FAILED: $sentence"
        tail -n 60 "$SCRATCH/output" | sed 's/^/    /'
    fi
}

# The last line, from which tests/run takes the sum.
sum_up() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}

# Waits until a command succeeds, far longer than it may take.
becomes() {
    local tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 900 ] || return 1
        sleep 0.1
    done
}

property() { systemctl show --property "$1" --value "$UNIT"; }
is_active() { [ "$(property ActiveState)" = active ]; }
is_inactive() { [ "$(property ActiveState)" = inactive ]; }
is_enabled() { [ "$(systemctl is-enabled "$UNIT")" = enabled ]; }
restarted_after() { [ "$(property NRestarts)" -gt "$1" ] && is_active; }
logged() { journalctl --quiet --no-pager --unit "$UNIT" --output cat; }
# Reads to the end, as grep -q does not: with pipefail, a journalctl that nobody listens to would be a failure.
has_logged() { logged | grep -e "$1" >/dev/null; }

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
    kill -s "$signal" "$(property MainPID)" && becomes restarted_after "$before" && "$@" &&
        awk -v from="$begin" -v to="$EPOCHREALTIME" 'BEGIN { printf "figure after %.1f s\n", to - from }'
}

# stops_within SECONDS
stops_within() {
    local begin=$EPOCHREALTIME
    systemctl stop "$UNIT" && [ "$(property Result)" = success ] &&
        awk -v from="$begin" -v to="$EPOCHREALTIME" -v limit="$1" \
            'BEGIN { printf "figure after %.1f s\n", to - from; exit !(to - from < limit) }'
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
    install -m 0644 "$(dirname "${BASH_SOURCE[0]}")/probe.pl" /usr/share/probe.pl
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
        ! has_logged '^probe: .*allowed' && [ ! -e /tmp/probe ]
}
