# shellcheck shell=bash
# Where heartbeats arrive: at the daemon's own "receive", which writes a line for each, as
#   22:05:03Z barn-cam #42 failover | 12% 48.8°C | wlan0 10.2.0.2 "barn" -45 dBm
# or at a heartbeat-monitor on this machine. After holds.sh.

receiver=''

# start_receiver ADDRESS PROGRAM...
start_receiver() {
    "${@:2}" receive --listen "$1" >>"$SCRATCH/received" &
    receiver=$!
    becomes grep -q listening "$SCRATCH/received"
}
stop_receiver() { kill "$receiver"; }

heartbeats() { grep -c '#' "$SCRATCH/received"; }
forget_heartbeats() { : >"$SCRATCH/received"; }
more_heartbeats_than() { [ "$(heartbeats)" -gt "$1" ]; }
arrives() { becomes more_heartbeats_than "$(heartbeats)"; }
# arrived REASON UPLINK, extended regular expressions.
arrived() { grep -E "#[0-9]+ $1 .*\| $2 " "$SCRATCH/received"; }
arrived_over() { grep "| $1 " "$SCRATCH/received"; }
sent_last_over() { tail -n 1 "$SCRATCH/received" | grep "| $1 "; }

# pauses_at_most SECONDS: the longest time between two heartbeats, from the receiver's clock, to the second.
pauses_at_most() {
    awk -v limit="$1" '/#/ { split(substr($1, 1, 8), t, ":"); s = t[1] * 3600 + t[2] * 60 + t[3]
        if (count++ && s - before > most) most = s - before; before = s }
        END { printf "figure %d s at most between two heartbeats\n", most; exit !(count > 2 && most <= limit) }' \
        "$SCRATCH/received"
}

# With its account and its configuration: every command that a person is told to use so.
as_monitor() { setpriv --reuid heartbeat-monitor --regid heartbeat-monitor --clear-groups heartbeat-monitor "$@"; }
# The one machine that it knows, "barn" or "barn-cam".
machine_is() { as_monitor machine list | grep "barn.*$1"; }
