# shellcheck shell=bash
# What every test here begins with: it counts sentences that hold, waits, and cleans up. The rest of what they share stands
# beside it, by what it is about:
#   throwaway.sh    booting a machine, and running in it        machine.sh    what boot and vm need for that
#   unit.sh         a service: systemd, its journal, its sandbox
#   heartbeats.sh   which have arrived
#   uplinks.sh      cables to a router, routes                  managed.sh    those that NetworkManager configures

SCRATCH=$(mktemp -d)
# How long "becomes" waits, in seconds: far longer than anything may take.
PATIENCE=90
passed=0 failed=0

# What is in the background ends with the test.
end() {
    local running
    mapfile -t running < <(jobs -pr)
    [ ${#running[@]} = 0 ] || kill "${running[@]}" 2>/dev/null || :
    rm -rf "$SCRATCH"
}
trap end EXIT

# holds SENTENCE COMMAND...: counts one test. A line that begins with "figure" is shown; of one that fails, all is.
holds() {
    local sentence=$1 figures
    shift
    if "$@" >"$SCRATCH/output" 2>&1; then
        passed=$((passed + 1))
        figures=$(sed -n 's/^figure /, /p' "$SCRATCH/output" | tr -d '\n')
        echo "ok: $sentence${figures/#, /: }"
    else
        failed=$((failed + 1))
        echo "FAILED: $sentence"
        { tail -n 60 "$SCRATCH/output"; witnesses 2>&1 || :; } | sed 's/^/    /'
    fi
}

# What a person would look at besides, where a sentence does not hold: for a test to define.
witnesses() { :; }

# The last line, from which tests/run takes the sum.
sum_up() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}

# Waits until a command succeeds.
becomes() {
    local end=$((SECONDS + PATIENCE))
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# within LIMIT COMMAND...: it succeeds, and says when; later than LIMIT seconds is a failure.
within() {
    local limit=$1 begin=$EPOCHREALTIME
    shift
    becomes "$@" && took "$begin" "$limit"
}

# took BEGIN [LIMIT]: says how many seconds have passed since BEGIN, a time of $EPOCHREALTIME.
took() {
    awk -v from="$1" -v to="$EPOCHREALTIME" -v limit="${2:-}" \
        'BEGIN { printf "figure after %.2f s\n", to - from; exit !(limit == "" || to - from <= limit) }'
}
