# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # of scale and the files that it reads
# Monitors that share a database, and a proxy in front of them. After postgres.sh; tests/system/scale reads this file.
#
# Everything is in $scratch. The hooks of a scenario say where the database is and how a monitor is run:
#
#   NAME_database        starts it and sets $database_url
#   NAME_runs NUMBER     sets the array $before, which stands before the command of a monitor

MONITORS=3
# The proxy, and the receiver of the alerts.
own_address=127.0.0.1
pids=()
ports=()
# Where the machines send to, and the processes behind it.
proxy_url=
proxies=()
before=()

# hook NAME [ARG...]: that of the scenario; or of its family, which is called like it up to "_"; or the usual one.
hook() {
    local owner
    for owner in "$scenario" "${scenario%%_*}" usual; do
        if declare -F "${owner}_$1" >/dev/null; then break; fi
    done
    "${owner}_$1" "${@:2}"
}

usual_database() {
    mkdir "$scratch/postgres"
    prepare_postgres "$scratch/postgres"
    # shellcheck disable=SC2119
    run_postgres
    database_url="postgres://monitor@127.0.0.1:$postgres_port/postgres?sslmode=disable"
}
# run_postgres [OPTION...]
# shellcheck disable=SC2120  # scenarios give some
run_postgres() { start_postgres -c fsync=off -c max_connections=200 -c full_page_writes=off "$@"; }

usual_runs() { before=(); }
usual_address() { echo 127.0.0.1; }
usual_listens() { hook address "$1"; }
# Where it is reached.
monitor_at() { echo "$(hook address "$1"):${ports[$1]}"; }

# configure NUMBER
configure() {
    mkdir -p "$scratch/monitor$1"
    cat >"$scratch/monitor$1.toml" <<TOML
[http]
listen = "$(hook listens "$1"):${ports[$1]}"
trusted_proxies = ["127.0.0.1", "$own_address"]
[store]
state_dir = "$scratch/monitor$1"
database = "$database_url"
[detection]
check_interval = "${check}s"
offline_threshold = "${threshold}s"
[limits]
connections = 100000
[notify]
allow_private_webhooks = true
TOML
}

# monitor NUMBER COMMAND...
monitor() { "$program" --config "$scratch/monitor$1.toml" "${@:2}"; }

start_monitor() {
    hook runs "$1"
    "${before[@]}" "$program" --config "$scratch/monitor$1.toml" serve >>"$scratch/monitor$1.log" 2>&1 &
    pids[$1]=$!
}

is_healthy() { curl --silent --fail --output /dev/null --max-time 2 "http://$(monitor_at "$1")/healthz"; }

wait_until_healthy() {
    for _ in $(seq 300); do
        if is_healthy "$1"; then return; fi
        sleep 0.1
    done
    echo "monitor $1 is not healthy:" >&2
    tail -n 20 "$scratch/monitor$1.log" >&2
    return 1
}

start_monitors() {
    local number
    for number in $(seq $MONITORS); do
        # One that is a machine of its own has the usual port.
        if [ "$(hook address "$number")" = 127.0.0.1 ]; then ports[number]=$(free_port); else ports[number]=8080; fi
        configure "$number"
        # The first one makes the tables.
        start_monitor "$number"
        wait_until_healthy "$number"
    done
}

# Without --group: each simulation adds its machines and removes them.
add_receiver() {
    alerts=$own_address:$(free_port)
    head -c 24 /dev/urandom | base64 >"$scratch/secret"
    monitor 1 recipient add simulation --events offline,online >/dev/null
    monitor 1 channel add webhook "http://$alerts/" --recipient simulation --secret-file "$scratch/secret" >/dev/null
}

# ---- proxies ----

# with_monitors FILE: an example of packaging/, with the addresses of our monitors.
with_monitors() {
    local number edits=()
    for number in $(seq $MONITORS); do edits+=(-e "s|monitor$number.example.org:8080|$(monitor_at "$number")|"); done
    sed "${edits[@]}" "$here/../../packaging/$1"
}

# With both parts of packaging/nginx/several-monitors.conf.
start_nginx() {
    local port
    port=$(free_port)
    with_monitors nginx/several-monitors.conf >"$scratch/upstream.conf"
    sed -n 's/^#  *\(proxy_[a-z_]* .*;\)$/\1/p' "$scratch/upstream.conf" >"$scratch/location.conf"
    [ "$(wc -l <"$scratch/location.conf")" = 3 ] || { echo 'the example of nginx has changed' >&2; return 1; }
    cat >"$scratch/nginx.conf" <<CONF
daemon off; pid $scratch/nginx.pid; error_log $scratch/nginx.log; worker_processes 1; worker_rlimit_nofile 20000;
events { worker_connections 10000; }
http {
    access_log off; keepalive_requests 1000000000; keepalive_timeout 75s;
    client_body_temp_path $scratch/body; proxy_temp_path $scratch/p; fastcgi_temp_path $scratch/f;
    uwsgi_temp_path $scratch/u; scgi_temp_path $scratch/s;
    include $scratch/upstream.conf;
    server {
        listen 127.0.0.1:$port;
        location / {
            proxy_pass http://heartbeat_monitor; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host \$host; proxy_set_header X-Forwarded-For \$remote_addr;
            include $scratch/location.conf;
        }
    }
}
CONF
    nginx -c "$scratch/nginx.conf" &
    proxies=($!)
    proxy_url=http://127.0.0.1:$port
}

# With packaging/haproxy/several-monitors.cfg.
start_haproxy() {
    local port
    port=$(free_port)
    with_monitors haproxy/several-monitors.cfg | sed -e "s|bind :443 .*|bind 127.0.0.1:$port|" \
        -e 's|log /dev/log .*|log stderr format raw local0 notice|' -e 's|maxconn .*|maxconn 5000|' >"$scratch/haproxy.cfg"
    haproxy -db -f "$scratch/haproxy.cfg" 2>"$scratch/haproxy.log" &
    proxies=($!)
    proxy_url=http://127.0.0.1:$port
}

wait_for_proxy() {
    for _ in $(seq 300); do
        if curl --silent --fail --output /dev/null --max-time 1 "$proxy_url/healthz"; then return; fi
        sleep 0.1
    done
    echo "no monitor is reached through $proxy_kind" >&2
    return 1
}

# The machines have the addresses of all monitors.
start_none() { :; }

end_monitors() {
    local pid
    for pid in "${proxies[@]}" "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    # They write everything before the database ends.
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
}
