#!/bin/sh
# Checks the Prometheus configuration, the alerting rules and their tests with promtool, and that
# rules and dashboard name only metrics that some service declares.
#
# promtool is $PROMTOOL, or on the path, or Debian 12's package of Prometheus, which is then unpacked
# under target/tools (nothing is installed; Debian 13's package has no promtool). Ends with 77 when
# there is none.
set -eu
cd "$(dirname "$0")/.."
tools=$PWD/${CARGO_TARGET_DIR:-target}/tools

from_debian() {
    unpacked=$tools/prometheus/usr/bin/promtool
    if [ ! -x "$unpacked" ]; then
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
            'Component: main' | grep -E '/debian/?$' | head -n 1)
        [ -n "$mirror" ] || return 1
        apt=$tools/apt-prometheus
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$tools/prometheus"
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main" \
            >"$apt/sources.list"
        options="-qq -o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=/dev/null
            -o Dir::State::lists=$apt/lists -o Dir::Cache=$apt/cache -o APT::Sandbox::User=root"
        # shellcheck disable=SC2086
        (apt-get $options update && cd "$apt" && apt-get $options download prometheus) >&2 || return 1
        dpkg -x "$apt"/prometheus_*.deb "$tools/prometheus"
        rm -rf "$apt"
    fi
    echo "$unpacked"
}

promtool=${PROMTOOL:-$(command -v promtool || from_debian)} || {
    echo "check-prometheus: no promtool is to be had here; name one in \$PROMTOOL" >&2
    exit 77
}
(cd deploy/prometheus && "$promtool" check config prometheus.yml && "$promtool" test rules alerts_test.yml)

status=0
for name in $(grep -ohE 'millrace_[a-z_]+' deploy/prometheus/alerts.yml deploy/grafana/millrace.json | sort -u); do
    base=$(echo "$name" | sed -E 's/_(bucket|sum|count)$//')
    if ! grep -qE "\"($name|$base)\"" ./*/src/metrics.rs runtime/src/*.rs; then
        echo "check-prometheus: no service declares $name" >&2
        status=1
    fi
done
exit $status
