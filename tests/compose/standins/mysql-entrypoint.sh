#!/bin/sh
# What the official mysql image does with a new volume: a database, a user, passwords from files; then the server.
set -eu
data=/var/lib/mysql
if [ ! -d $data/mysql ]; then
    mariadb-install-db --no-defaults --datadir=$data --auth-root-authentication-method=normal --skip-test-db >/dev/null
    cat >/tmp/first.sql <<SQL
CREATE DATABASE $MYSQL_DATABASE;
CREATE USER '$MYSQL_USER'@'%' IDENTIFIED BY '$(cat "$MYSQL_PASSWORD_FILE")';
GRANT ALL ON $MYSQL_DATABASE.* TO '$MYSQL_USER'@'%';
ALTER USER 'root'@'localhost' IDENTIFIED BY '$(cat "$MYSQL_ROOT_PASSWORD_FILE")';
SQL
    set -- --init-file=/tmp/first.sql "$@"
fi
exec mariadbd --no-defaults --datadir=$data --socket=/var/run/mysqld/mysqld.sock --skip-name-resolve "$@"
