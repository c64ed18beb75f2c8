# shellcheck shell=bash
# Scenarios of tests/system/scale in which the primary is lost and its streaming standby is promoted.
# shellcheck disable=SC2034,SC2154  # of scale and the files that it reads

writer=

promoted_settings() {
    usual_settings
    round_time=50
    is_synchronous=yes
}
promoted_async_settings() {
    promoted_settings
    is_synchronous=
    # What the standby does not know happens again.
    faults='missing false'
}

# The server of postgres.sh is the primary; $standby, $standby_directory and $standby_port are the other one.
exchange_servers() {
    local pid=$postgres directory=$postgres_directory port=$postgres_port
    postgres=$standby postgres_directory=$standby_directory postgres_port=$standby_port
    standby=$pid standby_directory=$directory standby_port=$port
}

promoted_database() {
    standby='' standby_directory=$scratch/two
    mkdir "$scratch/one" "$standby_directory"
    find_postgres "$standby_directory"
    standby_port=$postgres_port
    prepare_postgres "$scratch/one"
    run_postgres -c max_wal_senders=10
    add_standby
    database_url="postgres://monitor@127.0.0.1:$postgres_port,127.0.0.1:$standby_port/postgres?sslmode=disable"
    database_url+='&target_session_attrs=read-write'
}

# Commits wait for the standby from then on, if they are to.
add_standby() {
    rm -rf "$standby_directory/data"
    (as_postgres "$postgres_programs/pg_basebackup" --no-sync --checkpoint fast --write-recovery-conf \
        --dbname "host=127.0.0.1 port=$postgres_port user=monitor dbname=postgres" -D "$standby_directory/data")
    exchange_servers
    run_postgres -c max_wal_senders=10 -c hot_standby=on
    exchange_servers
    if [ -n "$is_synchronous" ]; then
        sql "ALTER SYSTEM SET synchronous_standby_names = '*'"
        sql 'SELECT pg_reload_conf()' >/dev/null
    fi
}

# Adds machines, and notes those that were acknowledged.
write_always() {
    local number=0
    while true; do
        number=$((number + 1))
        if monitor 1 machine add "kept-$number" >/dev/null 2>>"$scratch/refused"; then
            echo "kept-$number" >>"$scratch/acknowledged"
        fi
        sleep 0.05
    done
}

promoted_round() {
    write_always &
    writer=$!
    sleep 5
    if [ -z "$is_synchronous" ]; then
        # The standby is a second behind.
        pgrep --parent "$postgres" --full walsender | xargs kill -STOP
        sleep 1
    fi
    echo "  $(date +%T) the primary is killed"
    signal_postgres KILL
    wait "$postgres" 2>/dev/null || true
    exchange_servers
    signal_postgres CONT
    sleep 2
    echo "  $(date +%T) the standby is promoted"
    # It waits for no standby until it has one.
    sql "ALTER SYSTEM RESET synchronous_standby_names" 2>/dev/null || true
    sed -i '/^synchronous_standby_names/d' "$postgres_directory/data/postgresql.auto.conf"
    (as_postgres "$postgres_programs/pg_ctl" promote --silent -D "$postgres_directory/data")
    sleep 10
    kill "$writer"
    wait "$writer" 2>/dev/null || true
    writer=
    compare_with_acknowledged
    standby=
    add_standby
    sleep 20
}

compare_with_acknowledged() {
    sql "SELECT name FROM machine WHERE name LIKE 'kept-%'" | sort >"$scratch/there"
    sort "$scratch/acknowledged" | comm -23 - "$scratch/there" >>"$scratch/lost"
    echo "  $(wc -l <"$scratch/acknowledged") machines were added, $(wc -l <"$scratch/lost") of them are lost"
    : >"$scratch/acknowledged"
    sql "DELETE FROM machine WHERE name LIKE 'kept-%'"
}

promoted_check() { [ -z "$is_synchronous" ] || [ ! -s "$scratch/lost" ]; }

promoted_clean() {
    [ -z "$writer" ] || kill "$writer" 2>/dev/null || true
    exchange_servers
    signal_postgres CONT
    stop_postgres INT
    exchange_servers
}
