#!/bin/sh
set -e
cron
exec supervisord --nodaemon --configuration /etc/supervisor/supervisord.conf
