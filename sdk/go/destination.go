package contextcore

// Where lines go: endpoint, protocol and headers, from options and the OpenTelemetry environment, and the lane they name. The recipe is
// part of the spool's format (docs/SPOOL.md): every language and the helper must agree.

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// nowhere is the lane without a destination.
const nowhere = "none"

// digest is SHA-256 over the parts, each preceded by its length, so that different lists never give the same bytes.
func digest(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		hash.Write([]byte(strconv.Itoa(len(part)) + ":" + part + ","))
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// destination is an endpoint with what is needed to talk to it.
type destination struct {
	endpoint string
	protocol string
	// Those of the caller and of the environment together, names in lower case.
	headers map[string]string
}

func (d *destination) lane() string {
	credential := ""
	if len(d.headers) > 0 {
		parts := []string{"contextcore-credential-v1"}
		for _, name := range slices.Sorted(maps.Keys(d.headers)) {
			parts = append(parts, name, d.headers[name])
		}
		credential = digest(parts...)
	}
	return digest("contextcore-lane-v1", d.endpoint, d.protocol, credential)[:16]
}

// about is what `lane.json` says: where the lines go, without secrets.
func (d *destination) about() object {
	return object{{"v", int64(1)}, {"endpoint", d.endpoint}, {"protocol", d.protocol}, {"credentials", len(d.headers) > 0}}
}

var addresses = regexp.MustCompile(`(?i)^(https?(?:\+ops)?)://([^/?#@]+)(/[^?#]*)?$`)

// normalisedEndpoint is an endpoint in the form that is hashed; empty if it cannot be one.
func normalisedEndpoint(endpoint string) string {
	match := addresses.FindStringSubmatch(strings.TrimSpace(endpoint))
	if match == nil {
		return ""
	}
	// The port stays as it is given, so the address is only checked.
	if parsed, err := url.Parse("http://" + match[2]); err != nil || parsed.Hostname() == "" {
		return ""
	}
	return strings.ToLower(match[1]) + "://" + strings.ToLower(match[2]) + strings.TrimRight(match[3], "/")
}

// environmentHeaders are headers as the OpenTelemetry environment writes them: `k=v,k=v`, values percent-encoded.
func environmentHeaders(text string) map[string]string {
	found := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(pair, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok || name == "" {
			continue
		}
		if decoded, err := url.PathUnescape(value); err == nil {
			value = decoded
		}
		found[name] = strings.TrimSpace(value)
	}
	return found
}

func protocolOf(endpoint string, named ...string) string {
	scheme, rest, _ := strings.Cut(endpoint, "://")
	switch {
	case strings.HasSuffix(scheme, "+ops"):
		return "ops"
	case strings.Contains(rest, "/"):
		return "http/protobuf"
	}
	for _, name := range named {
		if name = strings.TrimSpace(name); name == "grpc" || name == "http/protobuf" {
			return name
		}
	}
	if strings.HasSuffix(rest, ":4318") {
		return "http/protobuf"
	}
	return "grpc"
}

// environment gives a variable; an empty one counts as absent.
type environment func(name string) string

// resolve gives the destination that options or environment name; nil if neither does. For an endpoint of the environment the variables
// of traces go before those of all signals, each by itself. The second value says that what is named is no address.
func resolve(endpoint, protocol string, headers map[string]string, env environment) (*destination, bool) {
	ofTraces := endpoint == ""
	named := endpoint
	if ofTraces {
		traces := strings.TrimRight(strings.TrimSpace(env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")), "/")
		if named = strings.TrimSuffix(traces, "/v1/traces"); named == "" {
			named = strings.TrimSpace(env("OTEL_EXPORTER_OTLP_ENDPOINT"))
		}
	}
	if named == "" {
		return nil, false
	}
	clean := normalisedEndpoint(named)
	if clean == "" {
		return nil, true
	}
	names := []string{protocol}
	merged := environmentHeaders(env("OTEL_EXPORTER_OTLP_HEADERS"))
	if ofTraces {
		names = append(names, env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"))
		maps.Copy(merged, environmentHeaders(env("OTEL_EXPORTER_OTLP_TRACES_HEADERS")))
	}
	for name, value := range headers {
		merged[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return &destination{clean, protocolOf(clean, append(names, env("OTEL_EXPORTER_OTLP_PROTOCOL"))...), merged}, false
}

// onlyLane is the one lane that has this project, else the lane without a destination.
func onlyLane(state, projectDirectory string) string {
	entries, err := os.ReadDir(filepath.Join(state, "lanes"))
	if err != nil {
		return nowhere
	}
	found := nowhere
	for _, entry := range entries {
		name := entry.Name()
		info, err := os.Stat(filepath.Join(state, "lanes", name, "spool", projectDirectory))
		if name == nowhere || strings.HasPrefix(name, ".") || err != nil || !info.IsDir() {
			continue
		}
		if found != nowhere {
			return nowhere
		}
		found = name
	}
	return found
}
