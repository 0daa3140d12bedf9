#!/bin/sh
set -e
if [ "$(id -u)" = 0 ]; then
    install -d -o postgres -g postgres -m 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups sh "$0" "$@"
fi
[ -s "$PGDATA/PG_VERSION" ] || initdb --username=postgres --auth=trust --locale=C.UTF-8
exec "$@"
