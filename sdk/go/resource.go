package contextcore

// What a process says of itself by the environment of OpenTelemetry; docs/SPOOL.md is the format.

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	serviceName = "service.name"
	// Not more attributes, and not longer ones: longer names are left out, longer values cut.
	mostAttributes   = 32
	longestAttribute = 255
)

// percentDecoded is a text without its percent-encoding; empty where that is none.
func percentDecoded(text string) string {
	decoded, err := url.PathUnescape(strings.TrimSpace(text))
	if err != nil || !utf8.ValidString(decoded) {
		return ""
	}
	return decoded
}

// resource gives the attributes of OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME, sorted by name; what is no pair is left out.
func resource(env environment) object {
	found := object{}
	add := func(name, value string) {
		_, isKnown := found.get(name)
		tooLong := utf8.RuneCountInString(name) > longestAttribute
		if name == "" || value == "" || tooLong || (len(found) >= mostAttributes && !isKnown) {
			return
		}
		found = found.with(name, first(value, longestAttribute))
	}
	service := plain(strings.TrimSpace(env("OTEL_SERVICE_NAME")))
	add(serviceName, service)
	for pair := range strings.SplitSeq(env("OTEL_RESOURCE_ATTRIBUTES"), ",") {
		name, value, _ := strings.Cut(pair, "=")
		if name = percentDecoded(name); name != serviceName || service == "" {
			add(name, percentDecoded(value))
		}
	}
	slices.SortFunc(found, func(one, other field) int { return cmp.Compare(one.name, other.name) })
	return found
}
