# shellcheck shell=bash
# Scenarios of tests/system/scale in which monitors are machines of their own, in network namespaces, and lose the way to
# PostgreSQL. The proxy, PostgreSQL and the receiver of the alerts are on the host, where a bridge leads to all of them.
# shellcheck disable=SC2034,SC2154  # of scale and the files that it reads

bridge=hb-$$
inside=()

needs_root() { [ "$(id -u)" = 0 ] || { echo "$scenario: needs root" >&2; return 1; }; }

# make_network NUMBER...: these monitors are in namespaces, with addresses like own_address.
make_network() {
    local number
    needs_root
    network=10.97.$((RANDOM % 250))
    own_address=$network.1
    inside=("$@")
    ip link add "$bridge" type bridge
    ip address add "$own_address/24" dev "$bridge"
    ip link set "$bridge" up
    for number; do
        ip netns add "$bridge-$number"
        ip link add "v$number-$$" type veth peer name eth0 netns "$bridge-$number"
        ip link set "v$number-$$" master "$bridge" up
        in_machine "$number" ip address add "$network.1$number/24" dev eth0
        in_machine "$number" ip link set eth0 up
        in_machine "$number" ip link set lo up
    done
}
in_machine() { ip netns exec "$bridge-$1" "${@:2}"; }
is_inside() { case " ${inside[*]} " in *" $1 "*) ;; *) false ;; esac; }

remove_network() {
    local number
    for number in "${inside[@]}"; do ip netns delete "$bridge-$number" || true; done
    ip link delete "$bridge" 2>/dev/null || true
}

# Reachable for monitors inside and outside.
networked_database() {
    mkdir "$scratch/postgres"
    prepare_postgres "$scratch/postgres"
    echo "host all all $network.0/24 trust" >>"$postgres_directory/data/pg_hba.conf"
    postgres_addresses=127.0.0.1,$own_address
    run_postgres
    database_url="postgres://monitor@$own_address:$postgres_port/postgres?sslmode=disable"
}

# cut_off NUMBER SECONDS
cut_off() {
    echo "  $(date +%T) monitor $1 does not reach PostgreSQL"
    # Dropped, in both directions, as by a switch that fails: nobody is told.
    in_machine "$1" nft -f - <<NFT
table ip cut {
    chain in { type filter hook input priority 0; tcp sport $postgres_port drop; }
    chain out { type filter hook output priority 0; tcp dport $postgres_port drop; }
}
NFT
    sleep "$2"
    in_machine "$1" nft delete table ip cut
    echo "  $(date +%T) it reaches PostgreSQL again"
}

# ---- one is cut off ----

CUT=3

cut_settings() {
    usual_settings
    threshold=30
    # 15 s and up to 4 s until the monitor counts as dead, and the silence of its machines counts from then.
    slack=52
    cut_for=60
    round_time=$((cut_for + 50))
}
cut_long_settings() {
    cut_settings
    cut_for=600
    round_time=$((cut_for + 50))
}
cut_database() {
    make_network $CUT
    networked_database
}
cut_address() { if is_inside "$1"; then echo "$network.1$1"; else echo 127.0.0.1; fi; }
cut_runs() {
    before=()
    ! is_inside "$1" || before=(ip netns exec "$bridge-$1")
}
cut_round() {
    cut_off $CUT "$cut_for"
    sleep 50
}
# It has returned by itself.
cut_check() { is_healthy $CUT; }
cut_clean() { remove_network; }

# ---- an address that moves ----

keepalived_settings() {
    cut_settings
    round_time=150
    proxy_kind=keepalived
}
keepalived_database() {
    local numbers
    mapfile -t numbers < <(seq "$MONITORS")
    make_network "${numbers[@]}"
    networked_database
}
keepalived_address() { cut_address "$1"; }
keepalived_runs() { cut_runs "$1"; }
# Also at the address that moves.
keepalived_listens() { echo 0.0.0.0; }
keepalived_clean() { remove_network; }

# With packaging/keepalived/several-monitors.conf.
start_keepalived() {
    local number
    shared_address=$network.100
    proxy_url=http://$shared_address:8080
    for number in $(seq "$MONITORS"); do
        sed -e "s|192.0.2.10/24|$shared_address/24|" -e "s|priority 100|priority $((110 - number * 10))|" \
            "$here/../../packaging/keepalived/several-monitors.conf" >"$scratch/keepalived$number.conf"
        in_machine "$number" keepalived --dont-fork --log-console --use-file "$scratch/keepalived$number.conf" \
            --pid "$scratch/keepalived$number.pid" --vrrp_pid "$scratch/vrrp$number.pid" >>"$scratch/keepalived.log" 2>&1 &
        proxies+=($!)
    done
}
# Prints the number of the machine that has the shared address.
holder() {
    local number
    for number in $(seq "$MONITORS"); do
        if in_machine "$number" ip -oneline address show dev eth0 | grep --quiet "$shared_address/"; then echo "$number"; fi
    done
}
keepalived_round() {
    local first second
    first=$(holder)
    # Longer than the two checks after which keepalived lets go.
    replaced KILL "$first" 10
    sleep 20
    second=$(holder)
    [ "$second" != "$first" ] || { echo "the address stayed at monitor $first" >&2; false; }
    cut_off "$second" 60
    [ "$(holder)" != "$second" ] || { echo "the address stayed at monitor $second" >&2; false; }
    sleep 50
}
