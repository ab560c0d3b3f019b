# A PostgreSQL of our own for the tests: on this machine only, in a folder that is thrown away. Sourced by tests/all.sh.
#
#   start_postgres   installs PostgreSQL from the distribution when it is missing, starts a server and exports DATABASE_URL
#   stop_postgres    stops it and removes its folder
#
# PostgreSQL refuses to run as root, so root runs it as the user that the package made for it.

postgres_folder=""

as_postgres() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

# The newest version that is installed.
postgres_programs() {
    local programs
    programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1) || true
    if [ -z "$programs" ] && command -v initdb >/dev/null 2>&1; then programs=$(dirname "$(command -v initdb)"); fi
    printf '%s' "$programs"
}

start_postgres() {
    if [ -z "$(postgres_programs)" ]; then install postgresql; fi
    local programs port
    programs=$(postgres_programs)
    postgres_folder=$(mktemp -d)
    if [ "$(id -u)" = 0 ]; then chown postgres "$postgres_folder"; fi
    as_postgres "$programs/initdb" --pgdata "$postgres_folder/data" --username leadfold --auth trust --encoding UTF8 \
        --locale C >"$postgres_folder.log" 2>&1 || { cat "$postgres_folder.log"; return 1; }
    port=$(free_port)
    # Durable as in production: what is kept is only proven where it costs what it costs.
    as_postgres "$programs/pg_ctl" --pgdata "$postgres_folder/data" --log "$postgres_folder/log" --wait start -o \
        "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$postgres_folder -c max_connections=300" \
        >>"$postgres_folder.log" 2>&1 || { cat "$postgres_folder.log" "$postgres_folder/log"; return 1; }
    export DATABASE_URL="postgres://leadfold@127.0.0.1:$port/postgres"
    # For tests that restart it: kills it as a crash would, and starts it again.
    export LEADFOLD_RESTART_POSTGRES
    LEADFOLD_RESTART_POSTGRES="$(as_postgres_text)$programs/pg_ctl --pgdata $postgres_folder/data --log $postgres_folder/log --wait --mode immediate restart"
}

as_postgres_text() {
    if [ "$(id -u)" = 0 ]; then printf 'runuser -u postgres -- '; fi
}

stop_postgres() {
    [ -n "$postgres_folder" ] || return 0
    as_postgres "$(postgres_programs)/pg_ctl" --pgdata "$postgres_folder/data" --mode immediate stop >/dev/null 2>&1 || true
    rm -rf "$postgres_folder" "$postgres_folder.log"
}

# A port that nobody listens on.
free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s' "$port"
            return
        fi
    done
}
