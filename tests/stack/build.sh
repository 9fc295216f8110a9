#!/usr/bin/env bash
# Builds the real servers that the end-to-end tests talk to - victoria-logs, otelcol, prometheus,
# promtool - from the versions pinned in the go.mod files beside this script, and installs the
# grammars that every query is checked against, from grammar/package-lock.json.
#
#   tests/stack/build.sh [DIR]        DIR defaults to target/stack in the repository
#
# Needs nothing but `go` and `npm` (and the registries that they are set up to use). A binary is
# built again only when its module, build flags or the Go version change. A module under the AGPL
# is refused. Without `npm` the servers are built, and the tests of queries will say that they
# were skipped.
# Exit status: 0 built or already there, 3 no `go` found, else that of the step that failed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/../../target/stack}

source "$here/../servers.sh"

# grammars: installs what the lock file names, once.
grammars() {
  local to=$out/grammar want
  if ! command -v npm >/dev/null 2>&1; then
    echo "tests/stack/build.sh: 'npm' not found; the grammars of TraceQL and LogQL are not installed" >&2
    return
  fi
  want=$(cat "$here"/grammar/package{,-lock}.json | hash)
  if [[ -d $to/node_modules && -f $to/.stamp && $(<"$to/.stamp") == "$want" ]]; then
    echo "grammars: up to date"
    return
  fi
  mkdir -p "$to"
  rm -f "$to/.stamp"
  cp "$here"/grammar/{package.json,package-lock.json,.npmrc} "$to"
  # One of them asks for a newer node to be built with; any current one runs it.
  (cd "$to" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) 9>&-
  printf '%s\n' "$want" >"$to/.stamp"
  echo "grammars: installed"
}

# The module proxy has no routing connector of the collector's version. The newest that it has fits once two functions have the names
# that they have now, so it is built from a copy: a file below the module cache cannot be changed.
routing=$out/.otelcol

prepare_otelcol() {
  local module=github.com/open-telemetry/opentelemetry-collector-contrib/connector/routingconnector source
  source=$(cd "$here/collector" && GOFLAGS=-mod=readonly go mod download -json $module |
    sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  rm -rf "$routing"
  mkdir -p "$routing"
  cp -R "$source" "$routing/source"
  chmod -R u+w "$routing/source"
  sed -i.old 's/NewTransformContextPtr/NewTransformContext/; s/NewIsRootSpanFactoryNew/NewIsRootSpanFactory/' "$routing"/source/*.go
  rm -f "$routing"/source/*.old
  cp "$here/collector/go.sum" "$routing/go.sum"
  {
    cat "$here/collector/go.mod"
    echo "replace $module => $routing/source"
  } >"$routing/go.mod"
}

otelcol() {
  local -x GOFLAGS="-mod=readonly -modfile=$routing/go.mod"
  build otelcol collector . "-X main.version=0.161.0"
}

grammars
# One after the other: each build uses every core by itself, and the smallest comes first. Without the service discovery
# plug-ins (clients of two dozen clouds) Prometheus builds in a fraction of the time.
victorialogs=github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs
prometheus=github.com/prometheus/prometheus
victorialogs_version=github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version=victoria-logs-v1.52.1
prometheus_version=github.com/prometheus/common/version.Version=3.15.0
build victoria-logs victorialogs $victorialogs               "-X $victorialogs_version"
otelcol
build prometheus    prometheus   $prometheus/cmd/prometheus  "-X $prometheus_version" remove_all_sd
build promtool      prometheus   $prometheus/cmd/promtool    "-X $prometheus_version" remove_all_sd
echo "test servers are in $out"
