# Builds Go programs from pinned modules, for `stack/build.sh` and `cluster/build.sh`, which source this file after setting `here`
# (their folder) and `out` (where binaries go).
#
# A binary is built again only when its module, build flags or the Go version change. A module under the AGPL is refused.
# shellcheck shell=bash

me=tests/$(basename "$here")/build.sh

if ! command -v go >/dev/null 2>&1; then
  echo "$me: 'go' not found; install Go 1.26.5 or newer to build the test servers" >&2
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
    (cd "$here/$folder" && GOFLAGS='' go version)
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
        echo "$me: $module is under the AGPL ($file)" >&2
        found=1
      fi
    done
  done <<<"$modules"
  return $found
}

# build NAME FOLDER PACKAGE LINK [TAGS]: LINK says to the linker which variables hold the version that the program reports. A function
# called prepare_NAME runs before a build that is needed.
build() {
  local name=$1 folder=$2 package=$3 link=$4 tags=${5:-} want began
  local flags=(-trimpath -buildvcs=false -tags "$tags" -ldflags "-s -w $link")
  want=$(stamp "$folder" "$package" "${flags[@]}")
  if [[ -x $out/$name && -f $out/.$name.stamp && $(<"$out/.$name.stamp") == "$want" ]]; then
    echo "$name: up to date"
    return
  fi
  if declare -F "prepare_$name" >/dev/null; then "prepare_$name"; fi
  licences "$folder" "$package" "$tags"
  echo "$name: building $package"
  began=$SECONDS
  rm -f "$out/.$name.stamp"
  (cd "$here/$folder" && go build "${flags[@]}" -o "$out/$name.new" "$package") 9>&-
  mv -f "$out/$name.new" "$out/$name"
  printf '%s\n' "$want" >"$out/.$name.stamp"
  echo "$name: built in $((SECONDS - began)) s"
}
