# shellcheck shell=bash
# Scenarios of tests/system/scale in which PostgreSQL, its disk or the way to it fails.
# shellcheck disable=SC2034,SC2154  # of scale and the files that it reads

restarted_settings() {
    usual_settings
    round_time=24
    [ "$1" -le 2 ] || slack=$((slack + 19))
}
restarted_round() {
    echo "  $(date +%T) PostgreSQL is restarted"
    stop_postgres INT
    run_postgres
    sleep $((10 + RANDOM % 10))
}

frozen_settings() {
    usual_settings
    round_time=95
    slack=100
}
frozen_round() {
    echo "  $(date +%T) PostgreSQL is frozen"
    signal_postgres STOP
    sleep 60
    signal_postgres CONT
    sleep 30
}

# ---- pgbouncer in between ----

bouncer=
bouncer_port=

pgbouncer_settings() {
    usual_settings
    round_time=70
    slack=$((slack + 19))
}
pgbouncer_database() {
    usual_database
    mkdir "$scratch/bouncer"
    [ "$(id -u)" != 0 ] || chown "$postgres_user:" "$scratch/bouncer"
    bouncer_port=$(free_port)
    cat >"$scratch/bouncer.ini" <<INI
[databases]
postgres = host=127.0.0.1 port=$postgres_port dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $bouncer_port
unix_socket_dir =
logfile = $scratch/bouncer/log
pidfile = $scratch/bouncer/pid
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 500
INI
    sed -i 's/^postgres = .*/& user=monitor/' "$scratch/bouncer.ini"
    start_bouncer
    database_url="postgres://monitor@127.0.0.1:$bouncer_port/postgres?sslmode=disable"
}
start_bouncer() {
    (as_postgres pgbouncer --quiet "$scratch/bouncer.ini") &
    bouncer=$!
    for _ in $(seq 100); do
        if "$postgres_programs/pg_isready" --quiet --host 127.0.0.1 --port "$bouncer_port"; then return; fi
        sleep 0.1
    done
    echo "pgbouncer does not accept connections" >&2
    return 1
}
pgbouncer_round() {
    echo "  $(date +%T) pgbouncer is restarted"
    kill -KILL "$bouncer"
    wait "$bouncer" 2>/dev/null || true
    start_bouncer
    sleep 15
    echo "  $(date +%T) pgbouncer loses its servers"
    sql "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'monitor'" >/dev/null
    sleep 15
    replaced KILL "$(any_monitor)"
    sleep 30
}
pgbouncer_clean() { [ -z "$bouncer" ] || kill "$bouncer" 2>/dev/null || true; }

# ---- a full disk ----

full_settings() {
    usual_settings
    round_time=80
    # Heartbeats are refused meanwhile.
    slack=80
}
# The log's segments are small, so that the disk is full for it, too.
full_database() {
    needs_root
    mkdir "$scratch/postgres"
    mount -t tmpfs -o size=120m tmpfs "$scratch/postgres"
    prepare_postgres "$scratch/postgres" --wal-segsize=1
    run_small_postgres
    database_url="postgres://monitor@127.0.0.1:$postgres_port/postgres?sslmode=disable"
}
run_small_postgres() { run_postgres -c min_wal_size=2MB -c max_wal_size=8MB; }
full_round() {
    echo "  $(date +%T) the disk is full"
    cat /dev/zero 2>/dev/null >"$postgres_directory/filler" || true
    sleep 40
    rm "$postgres_directory/filler"
    if kill -0 "$postgres" 2>/dev/null; then
        echo "  $(date +%T) there is room again"
    else
        # As the service manager would.
        echo "  $(date +%T) there is room again, and PostgreSQL, which had ended, is started"
        wait "$postgres" 2>/dev/null || true
        run_small_postgres
    fi
    sleep 38
}
full_clean() { stop_postgres INT; umount "$scratch/postgres"; }
