package contextcore

// From a call's arguments to the fields of an operation. Pure. A value that cannot be written as it is comes back clamped, as text, or
// not at all, together with a complaint that the client logs once or returns (strict). The rules are those of every SDK;
// sdk/conformance has their cases.

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	lineBytes = 65_536
	// The longest `v`, `seq` and `t` are shorter than this.
	headBytes       = 80
	eventAttributes = 16
	eventBytes      = 2_000
	mostEntries     = 16
	summaryLength   = 200
	rationaleLength = 2_000
	shortLength     = 1_000
)

var linkKinds = []string{"commit", "pr", "build", "deployment", "trace", "url"}

// complain is given what was changed on the way.
type complain func(message string)

// write gives the value as it is written, or nil for nothing.
type write func(value any, complain complain) any

// null is a field that is cleared.
type null struct{}

// trimmed is a text without white space around it, as Python's `strip` knows it.
func trimmed(text string) string {
	return strings.TrimFunc(plain(text), func(c rune) bool { return unicode.IsSpace(c) || (c >= 0x1c && c <= 0x1f) })
}

func textOf(value any) string {
	if text, ok := value.(string); ok {
		return plain(text)
	}
	return plain(fmt.Sprint(value))
}

func orNothing(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func writeText(value any, _ complain) any { return orNothing(textOf(value)) }
func writeWord(value any, _ complain) any { return orNothing(trimmed(textOf(value))) }

func writeTaskType(value any, complain complain) any {
	name := trimmed(textOf(value))
	if name != "" && !slices.Contains(TaskTypes, name) {
		complain(fmt.Sprintf("the task type %s is none of %s", name, strings.Join(TaskTypes, ", ")))
	}
	return orNothing(name)
}

// rounded has four decimals: the same text in every language. The conversion keeps the compiler from fusing the two steps.
func rounded(value float64) float64 {
	if math.Abs(value) >= 1e11 {
		return value
	}
	return math.Floor(float64(value*10_000)+0.5)/10_000 + 0
}

func writeNumber(value any, complain complain) any {
	found, ok := value.(float64)
	if !ok || math.IsNaN(found) || math.IsInf(found, 0) {
		complain(fmt.Sprintf("%v is no number", value))
		return nil
	}
	return rounded(found)
}

func between(low, high float64) write {
	return func(value any, complain complain) any {
		found, ok := writeNumber(value, complain).(float64)
		if !ok {
			return nil
		}
		if found < low || found > high {
			complain(fmt.Sprintf("%v is not between %v and %v", found, low, high))
		}
		return min(max(found, low), high)
	}
}

func writeTexts(value any, _ complain) any {
	found := []string{}
	for _, each := range value.([]string) {
		if each = plain(each); each != "" {
			found = append(found, each)
		}
	}
	return found
}

func writeFewTexts(value any, complain complain) any {
	found := writeTexts(value, complain).([]string)
	if len(found) > mostEntries {
		complain(fmt.Sprintf("a list was cut to %d entries", mostEntries))
		found = found[:mostEntries]
	}
	return found
}

func first(text string, characters int) string {
	for index := range text {
		if characters == 0 {
			return text[:index]
		}
		characters--
	}
	return text
}

func writeDay(value any, complain complain) any {
	if when, ok := value.(time.Time); ok {
		return when.Format(time.DateOnly)
	}
	found := first(trimmed(textOf(value)), 10)
	if _, err := time.Parse(time.DateOnly, found); err != nil {
		complain(first(textOf(value), 50) + " is no date like 2026-11-26")
		return nil
	}
	return found
}

var momentForms = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly}

// parsedMoment reads a time; one without a zone is local time.
func parsedMoment(text string) (time.Time, bool) {
	text = trimmed(text)
	if found, err := time.Parse(time.RFC3339, text); err == nil {
		return found, true
	}
	for _, form := range momentForms {
		if found, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return found, true
		}
	}
	return time.Time{}, false
}

// tooLate is after the last time of the calendar that reads the lines, which has room for a zone of any offset.
var tooLate = time.Date(9999, 12, 30, 22, 0, 1, 0, time.UTC)

// writeMoment gives a time in UTC, with milliseconds where there are some.
func writeMoment(value any, complain complain) any {
	when, ok := value.(time.Time)
	if !ok {
		when, ok = parsedMoment(textOf(value))
	}
	when = when.UTC()
	if !ok || when.Year() < 1 || !when.Before(tooLate) {
		complain(first(textOf(value), 50) + " is no time like 2026-11-26T20:51:06Z")
		return nil
	}
	if when.Nanosecond() < int(time.Millisecond) {
		return when.Format("2006-01-02T15:04:05Z")
	}
	return when.Format(millisecondForm)
}

const millisecondForm = "2006-01-02T15:04:05.000Z"

func writeDayOrMoment(value any, complain complain) any {
	if text, ok := value.(string); ok && len(trimmed(text)) == len(time.DateOnly) {
		return writeDay(value, complain)
	}
	return writeMoment(value, complain)
}

// mapped writes attributes. A value that is nil clears one where that is known.
func mapped(clears bool) write {
	return func(value any, _ complain) any {
		found := object{}
		for _, each := range value.(object) {
			name, kept := plain(each.name), scalar(each.value)
			if name != "" && (kept != nil || (clears && each.value == nil)) {
				found = found.with(name, kept)
			}
		}
		if len(found) == 0 {
			return nil
		}
		return found
	}
}

var writeAttributes = mapped(false)

func writeEventAttributes(value any, complain complain) any {
	found, _ := writeAttributes(value, complain).(object)
	kept := found[:min(len(found), eventAttributes)]
	for len(kept) > 0 && len(appendObject(nil, kept)) > eventBytes {
		kept = kept[:len(kept)-1]
	}
	if len(kept) < len(found) {
		complain(fmt.Sprintf("an event has at most %d attributes and %d bytes of them; the last were cut", eventAttributes, eventBytes))
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

func writeContext(value any, complain complain) any {
	found, _ := writeAttributes(value, complain).(object)
	if len(found) > mostEntries {
		complain(fmt.Sprintf("an insight has at most %d values of context", mostEntries))
		found = found[:mostEntries]
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

var eventNames = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)

func writeEventName(value any, complain complain) any {
	name := trimmed(textOf(value))
	if name == "" || eventNames.MatchString(name) {
		return orNothing(name)
	}
	complain(fmt.Sprintf("the event name %s does not match %s", first(name, 70), eventNames))
	kept := strings.Map(func(c rune) rune {
		if (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' {
			return c
		}
		return '_'
	}, strings.ToLower(name))
	if kept[0] < 'a' || kept[0] > 'z' {
		kept = "event_" + kept
	}
	return kept[:min(len(kept), 64)]
}

func writeLinkKind(value any, complain complain) any {
	kind := trimmed(textOf(value))
	if slices.Contains(linkKinds, kind) {
		return kind
	}
	complain(fmt.Sprintf("the kind of link %s is none of %s", kind, strings.Join(linkKinds, ", ")))
	return "url"
}

// shortened cuts a text to so many characters.
func shortened(text string, limit int) string {
	if len(text) <= limit || utf8.RuneCountInString(text) <= limit {
		return text
	}
	return first(text, limit-1) + "…"
}

func cut(limit int) write {
	return func(value any, complain complain) any {
		whole := textOf(value)
		short := shortened(whole, limit)
		if short != whole {
			complain(fmt.Sprintf("a text was cut to %d characters", limit))
		}
		return orNothing(short)
	}
}

func writeEvidence(value any, complain complain) any {
	found := []object{}
	for _, each := range value.([]Evidence) {
		reference := trimmed(each.Ref)
		if reference == "" {
			complain("evidence needs a Ref")
			continue
		}
		kind := trimmed(each.Kind)
		if kind == "" {
			kind = "doc"
			if strings.Contains(reference, "://") {
				kind = "url"
			}
		}
		one := object{{"kind", kind}, {"ref", reference}}
		if description := trimmed(each.Description); description != "" {
			one = append(one, field{"description", description})
		}
		found = append(found, one)
	}
	if len(found) > mostEntries {
		complain(fmt.Sprintf("a list was cut to %d entries", mostEntries))
		found = found[:mostEntries]
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

func writeFlag(value any, _ complain) any {
	if flag, ok := value.(bool); ok && flag {
		return true
	}
	return nil
}
