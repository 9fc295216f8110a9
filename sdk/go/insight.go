package contextcore

// Insights: what they are, and how their ids follow from what they say. Pure.

import (
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// Evidence supports an insight: a kind (`commit`, `pr`, `task`, `trace`, `log`, `file`, `adr`, `doc`, `url` or `agent_trace`) and which one.
// Without a kind it is a `url` or a `doc`.
type Evidence struct {
	Kind        string
	Ref         string
	Description string
}

// Insight is something that an agent found out, decided, asked or handed over.
type Insight struct {
	ID        string
	Type      string
	Project   string
	Summary   string
	AppliesTo []string
	// The status it begins with.
	Status string
}

var (
	scopeKinds = []string{"path:", "task:", "service:", "epic:", "label:"}
	// The same words about the same things are the same insight of these types.
	byContent  = []string{"decision", "lesson", "recommendation", "discovery", "risk"}
	fileFields = []string{"file", "path", "files"}
	// What an insight begins as; others are active.
	firstStatus = map[string]string{
		"question": "open", "blocker": "open", "risk": "open", "handoff": "offered", "progress": "noted", "analysis": "noted",
	}
)

// isSpace knows white space by one list, because every language has its own idea of it.
func isSpace(c rune) bool {
	switch {
	case c >= '\t' && c <= '\r', c >= 0x1c && c <= 0x20, c == 0x85, c == 0xa0, c == 0x1680, c >= 0x2000 && c <= 0x200a,
		c == 0x2028, c == 0x2029, c == 0x202f, c == 0x205f, c == 0x3000:
		return true
	}
	return false
}

// normalised is a summary without differences of case, white space and Unicode form. Before version 0.44 golang.org/x/text takes some
// characters above U+FFFF with a combining mark for others (Linear B with an acute, for one).
func normalised(summary string) string {
	upper := cases.Upper(language.Und).String(norm.NFC.String(summary))
	folded := norm.NFC.String(cases.Lower(language.Und).String(upper))
	return strings.Join(strings.FieldsFunc(folded, isSpace), " ")
}

// scopes are those of an insight in the form that is hashed.
func scopes(appliesTo []string) []string {
	found := []string{}
	for _, each := range appliesTo {
		if !slices.ContainsFunc(scopeKinds, func(kind string) bool { return strings.HasPrefix(each, kind) }) {
			each = "path:" + each
		}
		found = append(found, each)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// insightID follows from the content for what is said once, and is random for what happens each time anew.
func insightID(project, insightType, summary string, appliesTo []string, key string) string {
	what := "key:" + key
	if key == "" {
		if !slices.Contains(byContent, insightType) {
			return "ins_" + randomHex(8)
		}
		what = "summary:" + normalised(summary)
	}
	return "ins_" + digest(append([]string{"contextcore-insight-v1", project, insightType, what}, scopes(appliesTo)...)...)[:16]
}
