#!/usr/bin/env bash
# Everything that must hold for the SDKs:
#
#   sdk/check.sh
#
# Needs Python 3.10 or newer with venv, Node 20 or newer with npm, Go 1.24 or newer, and the package registries of the three. What it
# installs goes into target/sdk. It runs the Python SDK on the default Python, and what depends on the version on every other one that it finds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
home=$root/target/sdk
mkdir -p "$home"
# pyright fetches its own code through npm; keep that out of the user's cache.
export XDG_CACHE_HOME=$home/cache PYRIGHT_PYTHON_IGNORE_WARNINGS=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1

# environment DIRECTORY PYTHON REQUIREMENTS...: a virtual environment with these packages, made once.
environment() {
  local place=$1 python=$2 stamp
  shift 2
  stamp=$("$python" --version; cat "$@")
  [[ -f $place/stamp && $(<"$place/stamp") == "$stamp" ]] && return
  rm -rf "$place"
  "$python" -m venv "$place"
  "$place/bin/pip" install --quiet $(printf -- '-r %s ' "$@")
  echo "$stamp" >"$place/stamp"
}

# Other versions of Python on this machine, as paths; nothing if there are none.
others() {
  local version found known
  known=$("$home/venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  for version in 3.10 3.11 3.12 3.13 3.14; do
    [[ $version == "$known" ]] && continue
    for found in "$(command -v "python$version" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
      if [[ -x $found ]] && "$found" -c 'import venv' 2>/dev/null; then
        echo "$found"
        break
      fi
    done
  done
}

python_sdk() {
  cd "$root/sdk/python"
  environment "$home/venv" "${PYTHON:-python3}" requirements-dev.txt
  "$home/venv/bin/mypy"
  "$home/venv/bin/pyright"
  PYTHONPATH=src "$home/venv/bin/python" -m pytest -q -p no:cacheprovider -n 2 --dist loadgroup
  # Both wheels in a fresh environment. What cargo has built for the tests is used again.
  PYTHONPATH=src CONTEXTCORE_BIN_WHEEL=1 CARGO_TARGET_DIR=$root/target "$home/venv/bin/python" -m pytest -q -p no:cacheprovider \
    tests/test_bin_wheel.py
  PYTHONPATH=src "$home/venv/bin/python" benches/calls.py --check
  local python name
  for python in $(others); do
    name=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "==> Python $name"
    environment "$home/venv-$name" "$python" requirements-test.txt
    PYTHONPATH=src CONTEXTCORE_KILLS=20 "$home/venv-$name/bin/python" -m pytest -q -p no:cacheprovider \
      tests/test_conformance.py tests/test_client.py tests/test_processes.py tests/test_disk.py
  done
}

typescript_sdk() {
  cd "$root/sdk/typescript"
  # Installed where it is ignored, so that the tree stays as it was.
  mkdir -p "$home/typescript"
  cp package.json package-lock.json "$home/typescript/"
  (cd "$home/typescript" && npm ci --no-audit --no-fund --loglevel=error)
  "$home/typescript/node_modules/.bin/tsc" -p . --typeRoots "$home/typescript/node_modules/@types" --outDir "$home/typescript/dist"
  # Each case that closes without an endpoint warns, as it should; the tests look for what they need.
  NODE_NO_WARNINGS=1 node --test --test-reporter=dot "$home/typescript/dist/test/"
  typescript_package "$home/typescript"
}

# typescript_package DIRECTORY: what `npm pack` makes, installed into an empty folder, can be imported. Nothing is asked of a registry.
typescript_package() {
  local place=$1/package
  rm -rf "$place"
  mkdir -p "$place/source" "$place/installed"
  cp -r src test tsconfig.json README.md package.json package-lock.json "$place/source"
  ln -s "$1/node_modules" "$place/source/node_modules"
  (cd "$place/source" && npm pack --loglevel=error --pack-destination "$place" >/dev/null)
  cd "$place/installed"
  echo '{"type": "module"}' >package.json
  npm install --offline --no-audit --no-fund --loglevel=error "$place"/*.tgz
  node --input-type=module -e '
    import { TaskTracker } from "@contextcore/sdk";
    import { InsightEmitter } from "@contextcore/sdk/agent";
    if (![TaskTracker, InsightEmitter].every((each) => typeof each === "function")) throw new Error("the package is not whole");
  '
  [[ -f node_modules/@contextcore/sdk/dist/src/index.d.ts ]] || { echo "the package has no types"; return 1; }
}

go_sdk() {
  cd "$root/sdk/go"
  # Writable, so that target/ can be removed.
  export GOPATH=$home/go GOCACHE=$home/go-build GOFLAGS="-mod=readonly -modcacherw" GOTOOLCHAIN=local
  local unformatted
  unformatted=$(gofmt -l .)
  [[ -z $unformatted ]] || { echo "gofmt -w sdk/go would change: $unformatted"; return 1; }
  # One kind of build for everything, because each builds the standard library once.
  if go build -race . 2>/dev/null; then GOFLAGS+=" -race"; else echo "no C compiler for Go: races are not looked for"; fi
  go vet ./...
  go test -count=1 ./...
  # Calls are measured by hand; here what measures them only has to compile.
  (cd benches && go vet ./...)
}

(python_sdk)
(typescript_sdk)
(go_sdk)
