#!/bin/sh
# PostgreSQL on a host without the image's own start: makes the database of $POSTGRES_USER at first, and serves it on
# $ENCAMP_PORT_PG. The server refuses to run as root, so there it runs as the user that Debian's package makes.
set -eu
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)
data=/srv/db
umask 077
mkdir -p $data
cp "$POSTGRES_PASSWORD_FILE" $data.password    # initdb may run as another user, who cannot read the secret itself
as=
if [ "$(id -u)" = 0 ]; then
    as='setpriv --reuid=postgres --regid=postgres --clear-groups'
    chown postgres:postgres $data $data.password
fi
cd $data
if [ ! -e PG_VERSION ]; then
    $as initdb --pgdata=. --username="$POSTGRES_USER" --pwfile=$data.password --auth=scram-sha-256
    echo "CREATE DATABASE $POSTGRES_USER" | $as postgres --single -j -D . postgres
fi
rm -f $data.password
exec $as postgres -D . -p "$ENCAMP_PORT_PG" -h 127.0.0.1 -k ''
