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

if ! command -v go >/dev/null 2>&1; then
  echo "tests/stack/build.sh: 'go' not found; install Go 1.26.5 or newer to build the test servers" >&2
  exit 3
fi

mkdir -p "$out"
out=$(cd "$out" && pwd)

# No C compiler needed, no parent workspace or vendoring, nothing from the caller's flags.
export CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly

# Two builds at once only slow each other down, so the second waits, where flock exists.
if command -v flock >/dev/null 2>&1; then
  exec 9>"$out/.lock"
  flock 9
fi

hash() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; else cksum; fi
}

# stamp FOLDER FLAG...: one line that changes whenever the binary would.
stamp() {
  local folder=$1
  shift
  {
    find "$here/$folder" -type f \( -name '*.go' -o -name 'go.*' \) -print0 | LC_ALL=C sort -z | xargs -0 cat
    echo "$*"
    (cd "$here/$folder" && go version)
  } | hash
}

# licences FOLDER PACKAGE TAGS: fails when a module that the program is made of is under the AGPL. Only
# the head of a licence counts: the MPL names the AGPL further down.
licences() {
  local modules module dir file found=0
  modules=$(cd "$here/$1" && go list -deps -tags "$3" -f '{{with .Module}}{{.Path}}|{{.Dir}}{{end}}' "$2" | sort -u)
  while IFS='|' read -r module dir; do
    for file in "$dir"/[Ll][Ii][Cc][Ee][Nn][CcSs][Ee]* "$dir"/COPYING*; do
      [[ -f $file ]] || continue
      if head -n 5 "$file" | grep -qi 'affero general public'; then
        echo "tests/stack/build.sh: $module is under the AGPL ($file)" >&2
        found=1
      fi
    done
  done <<<"$modules"
  return $found
}

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

# build NAME FOLDER PACKAGE VERSION=VALUE [TAGS]: the fourth says which variable holds the
# version that the program reports, and what to set it to.
build() {
  local name=$1 folder=$2 package=$3 version=$4 tags=${5:-} want began
  local flags=(-trimpath -buildvcs=false -tags "$tags" -ldflags "-s -w -X $version")
  want=$(stamp "$folder" "$package" "${flags[@]}")
  if [[ -x $out/$name && -f $out/.$name.stamp && $(<"$out/.$name.stamp") == "$want" ]]; then
    echo "$name: up to date"
    return
  fi
  licences "$folder" "$package" "$tags"
  echo "$name: building $package"
  began=$SECONDS
  rm -f "$out/.$name.stamp"
  (cd "$here/$folder" && go build "${flags[@]}" -o "$out/$name.new" "$package") 9>&-
  mv -f "$out/$name.new" "$out/$name"
  printf '%s\n' "$want" >"$out/.$name.stamp"
  echo "$name: built in $((SECONDS - began)) s"
}

grammars
# One after the other: each build uses every core by itself, and the smallest comes first. Without the service discovery
# plug-ins (clients of two dozen clouds) Prometheus builds in a fraction of the time.
victorialogs=github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs
prometheus=github.com/prometheus/prometheus
victorialogs_version=github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version=victoria-logs-v1.52.1
prometheus_version=github.com/prometheus/common/version.Version=3.15.0
build victoria-logs victorialogs $victorialogs               "$victorialogs_version"
build otelcol       collector    .                           main.version=0.161.0
build prometheus    prometheus   $prometheus/cmd/prometheus  "$prometheus_version" remove_all_sd
build promtool      prometheus   $prometheus/cmd/promtool    "$prometheus_version" remove_all_sd
echo "test servers are in $out"
