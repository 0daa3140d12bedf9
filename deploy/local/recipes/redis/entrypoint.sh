#!/bin/sh
set -e
find . ! -user redis -exec chown redis:redis {} +
exec setpriv --reuid=redis --regid=redis --clear-groups "$@"
