# shellcheck shell=bash
# Scenarios of tests/system/scale in which monitors end, or are of another version, or have another clock.
# shellcheck disable=SC2034,SC2154  # of scale and the files that it reads

# Prints the number of a monitor.
any_monitor() { echo $((RANDOM % MONITORS + 1)); }

# replaced SIGNAL NUMBER [SECONDS]: ends a monitor and starts it again, after 3 s if nothing else is said.
replaced() {
    echo "  $(date +%T) monitor $2: SIG$1"
    kill "-$1" "${pids[$2]}"
    wait "${pids[$2]}" 2>/dev/null || true
    sleep "${3:-3}"
    start_monitor "$2"
    wait_until_healthy "$2"
}

calm_round() { sleep 20; }

killed_settings() {
    usual_settings
    round_time=18
    # Another one, which was to notice that, may be killed as well.
    [ "$1" -le 2 ] || slack=$((slack + 19))
}
killed_round() { replaced KILL "$(any_monitor)"; sleep $((RANDOM % 10)); }

stopped_settings() { killed_settings "$1"; }
stopped_round() { replaced TERM "$(any_monitor)"; sleep $((RANDOM % 10)); }

# Sets an_hour_off, which stands before a command whose wall clock is to be an hour ahead.
set_an_hour_off() {
    local library
    library=$(compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' | head -n 1)
    an_hour_off=(env "LD_PRELOAD=$library" FAKETIME=+1h FAKETIME_DONT_FAKE_MONOTONIC=1)
}
clock_settings() {
    usual_settings
    set_an_hour_off
    round_time=50
}
clock_runs() { if [ "$1" = 2 ]; then before=("${an_hour_off[@]}"); else before=(); fi; }
clock_round() {
    sleep 20
    replaced KILL "$(any_monitor)"
    sleep 20
}
clock_check() {
    grep -E "clock is (1h0m|59m59\.).* off the database's" "$scratch/monitor2.log" &&
        [ "$(monitor 1 monitor list | grep --count right)" = $((MONITORS - 1)) ]
}

# PostgreSQL has the right clock, by definition, and those of all monitors are off.
clock_all_database() {
    postgres_before=("${an_hour_off[@]}")
    usual_database
}
clock_all_runs() { before=(); }
clock_all_check() {
    local number
    for number in $(seq "$MONITORS"); do
        grep -E "clock is (1h0m|59m59\.).* off the database's" "$scratch/monitor$number.log" || return
    done
    ! monitor 1 monitor list | grep right
}

# ---- a later version ----

upgraded_settings() {
    usual_settings
    round_time=50
    # Each of the three listens anew, one after the other, and the silence of its machines counts from then.
    slack=$((MONITORS * 15 + threshold + 4))
}
# The first monitor of a later version migrates the tables, and those of this one go on, also after a start.
upgraded_round() {
    local number
    for number in $(seq "$MONITORS"); do
        replaced TERM "$number"
        if [ "$number" = 1 ]; then
            sql 'ALTER TABLE machine ADD COLUMN IF NOT EXISTS later TEXT; UPDATE schema_version SET version = version + 1'
        fi
        sleep 8
    done
}
# It migrates them to what this version cannot use.
upgraded_check() {
    local number
    sql 'UPDATE schema_version SET version = version + 1, oldest = version + 1'
    for number in $(seq "$MONITORS"); do
        ends_within_seconds 10 "${pids[$number]}" && grep --count 'this monitor ends' "$scratch/monitor$number.log" || return
    done
    start_monitor 1
    ends_within_seconds 10 "${pids[1]}" && tail -n 1 "$scratch/monitor1.log" | grep 'install the later'
}
# ends_within_seconds SECONDS PID
ends_within_seconds() {
    for _ in $(seq $(($1 * 10))); do
        if ! kill -0 "$2" 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "process $2 still runs" >&2
    return 1
}
