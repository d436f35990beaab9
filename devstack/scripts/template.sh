# Makes, inside the engine root, the account of the engines and the database cluster that every
# instance starts as a copy of. No arguments.
set -eu
id millrace >/dev/null 2>&1 || useradd --system --no-create-home --home-dir /srv --shell /usr/sbin/nologin millrace
rm -rf /opt/cluster
mkdir -p /opt/cluster
chown millrace: /opt/cluster
chmod 700 /opt/cluster
bin=/usr/lib/postgresql/17/bin
run="setpriv --reuid=millrace --regid=millrace --clear-groups --"
$run $bin/initdb --pgdata=/opt/cluster --username=millrace --encoding=UTF8 --locale=C.UTF-8 \
    --data-checksums --auth-local=trust --auth-host=scram-sha-256
echo 'CREATE DATABASE millrace;' | $run $bin/postgres --single -D /opt/cluster postgres
rm -rf /var/cache/apt/archives /var/lib/apt/lists /root/.cache
mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial
