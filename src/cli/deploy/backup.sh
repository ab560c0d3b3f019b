#!/bin/sh
# A backup of leadfold's database, for cron: as /etc/cron.hourly/leadfold-backup (no dot in the name), mode 755.
#
#   leadfold deploy backup > /etc/cron.hourly/leadfold-backup && chmod 755 /etc/cron.hourly/leadfold-backup
#
# What came after the newest backup is lost with the disk. Who cannot afford that uses PostgreSQL with a synchronous
# standby or a continuous archive of its log: pg_dump, as below, is for the rest. Copy the files to another machine.
set -eu

folder=/var/backups/leadfold
keep_days=14

set -a
. /etc/leadfold/environment
set +a
umask 077
mkdir -p "$folder"
name="$folder/leadfold-$(date -u +%Y-%m-%dT%H%M%SZ)"

case "$LEADFOLD_DATABASE" in
postgres*)
    # Into a file of another name first, so that a dump that broke off is never taken for a backup.
    pg_dump --format=custom --file="$name.part" "$LEADFOLD_DATABASE"
    mv "$name.part" "$name.dump"
    ;;
*)
    leadfold backup "$name.db"
    ;;
esac

# Only once a new one is there.
find "$folder" -maxdepth 1 -name 'leadfold-*' -mtime "+$keep_days" -delete
