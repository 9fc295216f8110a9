#!/usr/bin/env bash
# Builds the real servers that the end-to-end tests talk to - tempo, loki, prometheus,
# promtool - from the versions pinned in the go.mod files beside this script.
#
#   tests/stack/build.sh [DIR]        DIR defaults to target/stack in the repository
#
# Needs nothing but `go` (and the module proxy that `go` is set up to use). A binary is built
# again only when its go.mod, go.sum, build flags or the Go version change.
# Exit status: 0 built or already there, 3 no `go` found, else that of `go build`.
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
    cat "$here/$folder/go.mod" "$here/$folder/go.sum"
    echo "$*"
    (cd "$here/$folder" && go version)
  } | hash
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
  echo "$name: building $package"
  began=$SECONDS
  rm -f "$out/.$name.stamp"
  (cd "$here/$folder" && go build "${flags[@]}" -o "$out/$name.new" "$package") 9>&-
  mv -f "$out/$name.new" "$out/$name"
  printf '%s\n' "$want" >"$out/.$name.stamp"
  echo "$name: built in $((SECONDS - began)) s"
}

# One after the other: each build uses every core by itself. Without the service discovery
# plug-ins (clients of two dozen clouds) Prometheus builds in a fraction of the time.
prometheus=github.com/prometheus/prometheus
loki=github.com/grafana/loki/v3
tempo=github.com/grafana/tempo
prometheus_version=github.com/prometheus/common/version.Version=3.15.0
build prometheus prometheus $prometheus/cmd/prometheus "$prometheus_version" remove_all_sd
build promtool   prometheus $prometheus/cmd/promtool   "$prometheus_version" remove_all_sd
build tempo      tempo      $tempo/cmd/tempo           main.Version=2.9.0
build loki       loki       $loki/cmd/loki             $loki/pkg/util/build.Version=3.7.8
echo "test servers are in $out"
