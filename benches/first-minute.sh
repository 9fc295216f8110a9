#!/usr/bin/env bash
# Measures what a newcomer waits for: the time from a clean clone and an empty target directory to the portfolio that
# `cargo run -- demo` prints.
#
#   benches/first-minute.sh [--release] [--most SECONDS]
#
# It clones the last commit, so what is not committed is not measured. Dependencies are downloaded before the clock starts,
# since how long that takes says more about the network than about us. The build gets two cores, however many there are.
#
# Wall-clock time means something only on a machine that does nothing else; CPU time (user and system, of all compilers together)
# can be compared between machines that are busy. With `--most` it fails when the wall-clock time is longer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=() most=
while (($# > 0)); do
  case $1 in
    --release) profile=(--release) ;;
    --most) most=${2:?a number of seconds}; shift ;;
    *) echo "unknown argument $1; see the head of $0" >&2; exit 2 ;;
  esac
  shift
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
git clone --quiet . "$scratch/clone"
cd "$scratch/clone"
export CARGO_TARGET_DIR=$scratch/target CARGO_TERM_COLOR=never CARGO_BUILD_JOBS=2
cargo fetch --locked --quiet
on_two_cores=()
if (($(nproc) > 2)) && command -v taskset >/dev/null; then on_two_cores=(taskset --cpu-list 0,1); fi

# measure NAME: runs the demo, prints how long it took, and leaves the wall-clock seconds in `wall`.
measure() {
  local times user system
  TIMEFORMAT='%R %U %S'
  times=$({ time "${on_two_cores[@]}" cargo run --offline --locked --quiet "${profile[@]}" -- demo >"$scratch/out" 2>"$scratch/err"; } 2>&1) ||
    { cat "$scratch/err" >&2; return 1; }
  grep --quiet "^commerce-platform " "$scratch/out" || { echo "the demo printed no portfolio" >&2; return 1; }
  read -r wall user system <<<"$times"
  awk -v name="$1" -v wall="$wall" -v user="$user" -v kernel="$system" \
    'BEGIN { printf "%-28s %7.1f s wall  %7.1f s CPU\n", name, wall, user + kernel }'
}

echo "cargo run${profile[*]:+ ${profile[*]}} -- demo, $(rustc --version), $(git rev-parse --short HEAD)"
measure "cold: build and demo"
cold=$wall
measure "again: the demo alone"
if [[ -n $most ]] && awk -v cold="$cold" -v most="$most" 'BEGIN { exit cold <= most }'; then
  echo "the first minute took $cold s, more than $most s" >&2
  exit 1
fi
