# shellcheck shell=bash
# A PostgreSQL server of one's own: a cluster in a scratch directory, on loopback.
#
#   prepare_postgres DIRECTORY [OPTION...]   makes the cluster, with options of initdb; sets $postgres_port
#   start_postgres [OPTION...]               starts the server, and returns when it accepts connections; sets $postgres (its pid)
#   stop_postgres SIGNAL                     ends it; INT disconnects all clients
#   signal_postgres SIGNAL                   to the server and each of its processes
#   sql TEXT                                 prints the rows of a statement

postgres_user=postgres
postgres=
# What stands before its command.
postgres_before=()
# Where it listens, besides its directory.
postgres_addresses=127.0.0.1

# The server refuses to run as root.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        exec setpriv --reuid "$postgres_user" --regid "$postgres_user" --clear-groups "$@"
    fi
    exec "$@"
}

# A port that was free a moment ago; another process may be faster.
free_port() {
    local port
    for port in $(shuf --input-range 20000-30000 --head-count 100); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

# find_postgres DIRECTORY
find_postgres() {
    postgres_directory=$1
    postgres_programs=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1) || {
        echo "PostgreSQL is not installed: tests/run setup" >&2
        return 1
    }
    [ "$(id -u)" != 0 ] || chown "$postgres_user:" "$postgres_directory"
    postgres_port=$(free_port)
}

prepare_postgres() {
    find_postgres "$1"
    (cd "$postgres_directory" && as_postgres "$postgres_programs/initdb" --no-sync --auth=trust --encoding=UTF8 --locale=C \
        --username=monitor -D "$postgres_directory/data" "${@:2}") >/dev/null
}

start_postgres() {
    (cd "$postgres_directory" && as_postgres "${postgres_before[@]}" "$postgres_programs/postgres" -D "$postgres_directory/data" \
        -k "$postgres_directory" -h "$postgres_addresses" -p "$postgres_port" "$@") 2>>"$postgres_directory/log" &
    postgres=$!
    for _ in $(seq 600); do
        if "$postgres_programs/pg_isready" --quiet --host 127.0.0.1 --port "$postgres_port"; then return; fi
        kill -0 "$postgres" 2>/dev/null || { cat "$postgres_directory/log" >&2; return 1; }
        sleep 0.1
    done
    echo "PostgreSQL does not accept connections" >&2
    return 1
}

stop_postgres() {
    [ -n "$postgres" ] || return 0
    kill "-$1" "$postgres" 2>/dev/null || true
    wait "$postgres" || true
    postgres=
}

# The server's processes have sessions of their own, so there is no group to signal.
signal_postgres() {
    [ -n "$postgres" ] || return 0
    { echo "$postgres"; pgrep --parent "$postgres"; } | xargs kill "-$1" 2>/dev/null || true
}

sql() {
    (as_postgres "$postgres_programs/psql" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 \
        --host 127.0.0.1 --port "$postgres_port" --username monitor --dbname postgres --command "$1")
}
