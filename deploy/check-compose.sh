#!/bin/sh
# Checks compose.yaml with a real compose parser: it parses, asks for every secret, publishes only
# what is public, bounds every service and watches its health. Needs no container engine.
#
# The parser is $COMPOSE, or `docker compose`, or `docker-compose` 2, or Debian's package of it,
# which is then unpacked under target/tools (nothing is installed). Ends with 77 when there is none.
set -eu
cd "$(dirname "$0")/.."
tools=${CARGO_TARGET_DIR:-target}/tools

fail() {
    echo "check-compose: $*" >&2
    exit 1
}

# The package is in Debian 13; its address comes from this machine's own apt configuration.
from_debian() {
    unpacked=$tools/compose/usr/libexec/docker/cli-plugins/docker-compose
    if [ ! -x "$unpacked" ]; then
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
            'Component: main' | grep -E '/debian/?$' | head -n 1)
        [ -n "$mirror" ] || return 1
        apt=$PWD/$tools/apt
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$tools/compose"
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" \
            >"$apt/sources.list"
        options="-qq -o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=/dev/null
            -o Dir::State::lists=$apt/lists -o Dir::Cache=$apt/cache -o APT::Sandbox::User=root"
        # shellcheck disable=SC2086
        (apt-get $options update && cd "$apt" && apt-get $options download docker-compose) \
            >&2 || return 1
        dpkg -x "$apt"/docker-compose_*.deb "$tools/compose"
        rm -rf "$apt"
    fi
    echo "$unpacked"
}

parser() {
    if [ -n "${COMPOSE:-}" ]; then
        echo "$COMPOSE"
    elif docker compose version >/dev/null 2>&1; then
        echo docker compose
    elif docker-compose version 2>/dev/null | grep -q 'version v\{0,1\}2'; then
        echo docker-compose
    else
        from_debian
    fi
}

compose=$(parser) || {
    echo "check-compose: no compose parser is to be had here; name one in \$COMPOSE" >&2
    exit 77
}
secrets="MILLRACE_MASTER_KEY REDIS_PASSWORD CLICKHOUSE_PASSWORD POSTGRES_PASSWORD"
all="MILLRACE_MASTER_KEY=m REDIS_PASSWORD=r CLICKHOUSE_PASSWORD=c POSTGRES_PASSWORD=p"
# Neither this shell's variables nor a file `.env` may take part.
config() {
    # shellcheck disable=SC2086
    env -i PATH="$PATH" HOME="${HOME:-/}" "$@" $compose --env-file /dev/null -f compose.yaml \
        --profile '*' config
}

# shellcheck disable=SC2086
text=$(config $all) || fail "compose.yaml does not parse"
for secret in $secrets; do
    rest=$(echo "$all" | tr ' ' '\n' | grep -v "^$secret=" | tr '\n' ' ')
    # shellcheck disable=SC2086
    if config $rest >/dev/null 2>&1; then
        fail "compose.yaml starts without $secret"
    fi
done

published=$(echo "$text" | sed -n 's/^ *published: "\{0,1\}\([0-9]*\)"\{0,1\}$/\1/p' | sort | tr '\n' ' ')
[ "$published" = "8080 8081 9090 " ] || fail "published ports are $published"
echo "$text" | grep -B4 'published: "9090"' | grep -q 'host_ip: 127.0.0.1' ||
    fail "Prometheus is published beyond the loopback interface"

services=$(config $all | sed -n '/^services:/,/^[a-z]*:$/s/^  \([a-z]*\):$/\1/p')
for service in $services; do
    part=$(echo "$text" | sed -n "/^services:/,\$p" | sed -n "/^  $service:\$/,/^  [a-z]*:\$/p")
    echo "$part" | grep -q 'memory:' || fail "$service has no memory limit"
    case $service in
        init | admin) ;;
        *) echo "$part" | grep -q 'healthcheck:' || fail "$service has no health check" ;;
    esac
    case $service in
        gateway | worker | query | init | admin)
            echo "$part" | grep -q 'read_only: true' || fail "$service may write to its image" ;;
        *) ;;
    esac
    case $service in
        redis | clickhouse | timescaledb)
            ! echo "$part" | grep -q '^      edge:' || fail "$service reaches beyond the inner network" ;;
        worker)
            echo "$part" | grep -q '^      edge:' || fail "notifications cannot leave" ;;
        *) ;;
    esac
done

for mount in ./clickhouse-init ./timescale-init; do
    grep -q "$mount:/docker-entrypoint-initdb.d:ro" compose.yaml || fail "$mount is not mounted"
done
echo "check-compose: compose.yaml holds ($(echo "$services" | wc -w) services)"
