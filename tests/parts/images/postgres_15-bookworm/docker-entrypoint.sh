#!/bin/bash
# Makes the database where $PGDATA is empty, then becomes the server. Knows the POSTGRES_* variables of the image of this
# name elsewhere. While it initialises, the server listens on its Unix socket alone: only TCP tells that it is really ready.
set -euo pipefail

from_file() { # NAME: its value, or what stands in the file that NAME_FILE names
    local file=$1_FILE
    if [ -n "${!file:-}" ]; then export "$1=$(<"${!file}")"; fi
}

initialise() {
    from_file POSTGRES_PASSWORD
    from_file POSTGRES_USER
    from_file POSTGRES_DB
    local user=${POSTGRES_USER:-postgres} method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    local db=${POSTGRES_DB:-$user}
    if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
        echo "Error: set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust to let everybody in" >&2
        exit 1
    fi
    # The line's end stands there without a password too: an empty file is refused.
    # shellcheck disable=SC2086 # a list of arguments
    initdb --username="$user" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") ${POSTGRES_INITDB_ARGS:-}
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

    PGUSER=$user pg_ctl -w -o "-c listen_addresses=''" start
    [ "$db" = postgres ] || createdb --username="$user" --maintenance-db=postgres "$db"
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
        *.sh) bash "$file" ;;
        *.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc --username="$user" --dbname="$db" --file="$file" ;;
        esac
    done
    PGUSER=$user pg_ctl -w -m fast stop
}

if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
if [ "${1:-}" = postgres ]; then
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "$PGDATA"
        chown -R postgres "$PGDATA" /var/run/postgresql
        chmod 700 "$PGDATA"
        exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
    fi
    if [ ! -s "$PGDATA/PG_VERSION" ]; then initialise; fi
fi
exec "$@"
