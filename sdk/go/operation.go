package contextcore

// Operations: which fields each has, in which order, and what none can be without.

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

type rule struct {
	name  string
	write write
}

var (
	taskRules = []rule{
		{"title", writeText}, {"type", writeTaskType}, {"status", writeWord}, {"parent", writeWord}, {"priority", writeWord},
		{"assignee", writeText}, {"estimate", writeNumber}, {"labels", writeTexts}, {"sprint", writeWord}, {"due", writeDay},
		{"url", writeText}, {"depends_on", writeTexts},
	}
	sprintRules = []rule{
		{"id", writeWord}, {"name", writeText}, {"goal", writeText}, {"start", writeDayOrMoment}, {"end", writeDayOrMoment},
	}
	writePercent = between(0, 100)
)

// rules are the fields of each operation after `op` and `task`, in the order in which they are written.
var rules = map[string][]rule{
	"task.start":    append(slices.Clone(taskRules), rule{"attributes", writeAttributes}),
	"task.update":   append(slices.Clone(taskRules), rule{"attributes", mapped(true)}),
	"task.status":   {{"status", writeWord}, {"reason", writeText}},
	"task.block":    {{"reason", writeText}, {"blocked_by", writeWord}},
	"task.unblock":  {},
	"task.complete": {},
	"task.cancel":   {{"reason", writeText}},
	"task.reopen":   {},
	"task.progress": {{"percent", writePercent}},
	"task.comment":  {{"text", writeText}, {"author", writeText}},
	"task.event":    {{"name", writeEventName}, {"attributes", writeEventAttributes}},
	"task.link":     {{"kind", writeLinkKind}, {"ref", writeWord}, {"url", writeText}},
	"sprint.start":  sprintRules,
	"sprint.end":    sprintRules,
	"insight.emit": {
		{"id", writeWord}, {"type", writeWord}, {"summary", cut(summaryLength)}, {"confidence", between(0, 1)}, {"agent", writeWord},
		{"applies_to", writeFewTexts}, {"agent_name", writeText}, {"session", writeWord}, {"on_behalf_of", writeText},
		{"task", writeWord}, {"key", writeWord}, {"rationale", cut(rationaleLength)}, {"category", writeText}, {"tags", writeTexts},
		{"audience", writeWord}, {"severity", writeWord}, {"evidence", writeEvidence}, {"context", writeContext},
		{"supersedes", writeTexts}, {"expires_at", writeMoment}, {"options", writeTexts}, {"blocking", writeFlag}, {"to", writeWord},
		{"inputs", writeAttributes}, {"done", writeTexts}, {"remaining", writeTexts}, {"percent", writePercent},
	},
	"insight.update": {
		{"id", writeWord}, {"action", writeWord}, {"text", cut(rationaleLength)}, {"by", writeText}, {"agent", writeWord},
		{"session", writeWord}, {"evidence", writeEvidence},
	},
}

// required is what an operation cannot be without, besides the id of its task: no reader takes it.
var required = map[string][]string{
	"task.status": {"status"}, "task.progress": {"percent"}, "task.comment": {"text"}, "task.event": {"name"},
	"task.link": {"kind", "ref"}, "sprint.start": {"id"}, "sprint.end": {"id"}, "insight.emit": {"id", "type", "summary"},
	"insight.update": {"id", "action"},
}

var (
	notCleared = []string{"title", "type", "status"}
	// Texts that give way, in this order, when a line is too long.
	longFields = []string{"text", "rationale", "reason", "summary", "title", "attributes", "context", "inputs"}
	insightIDs = regexp.MustCompile(`^ins_[0-9a-f]{16}$`)
)

// missing says why no reader would take an operation; it is empty if nothing is missing.
func missing(op string, fields object) string {
	for _, name := range required[op] {
		value, _ := fields.get(name)
		if text, isText := value.(string); value == nil || (isText && trimmed(text) == "") {
			return fmt.Sprintf("%s: the %s is empty", op, name)
		}
	}
	if strings.HasPrefix(op, "task.") {
		if id, _ := fields.get("task"); id == nil || id == "" {
			return op + ": the id of the task is empty"
		}
	}
	if strings.HasPrefix(op, "insight.") {
		id, _ := fields.get("id")
		if text, ok := id.(string); !ok || !insightIDs.MatchString(text) {
			return fmt.Sprintf("%s: %s is not the id of an insight", op, first(textOf(id), 50))
		}
	}
	return ""
}

// written appends the fields of an operation in their order; what was not given is left out.
func written(found object, op string, given object, complain complain) object {
	clears := op == "task.update"
	for _, rule := range rules[op] {
		value, ok := given.get(rule.name)
		if !ok || value == nil {
			continue
		}
		if _, isNull := value.(null); isNull {
			if clears && !slices.Contains(notCleared, rule.name) {
				found = append(found, field{rule.name, nil})
			}
			continue
		}
		kept := rule.write(value, complain)
		if list, isList := kept.([]string); kept == nil || (isList && len(list) == 0 && !clears) {
			continue
		}
		found = append(found, field{rule.name, kept})
	}
	return found
}

// line is an operation after its number and time, without the first brace; nil if it is too long even when its texts are cut.
func line(operation object) []byte {
	fits := func(text []byte) bool { return len(text)+headBytes-1 <= lineBytes }
	found := appendObject(make([]byte, 0, 256), operation)
	if fits(found) {
		return found[1:]
	}
	short := slices.Clone(operation)
	for _, name := range longFields {
		value, ok := short.get(name)
		if !ok {
			continue
		}
		short = short.with(name, shorten(value))
		if found = appendObject(found[:0], short); fits(found) {
			return found[1:]
		}
	}
	return nil
}

func shorten(value any) any {
	switch value := value.(type) {
	case string:
		return shortened(value, shortLength)
	case object:
		short := make(object, len(value))
		for index, each := range value {
			short[index] = field{each.name, shorten(each.value)}
		}
		return short
	default:
		return value
	}
}
