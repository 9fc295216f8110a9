package contextcore

// What an answer of `/v1/ops` settles. A line leaves the spool only when the answer names it: as stored, or as one that can never be.
// Whatever else answers there (a proxy, a login page) settles nothing.

import (
	"encoding/json"
	"fmt"
	"slices"
)

// rejection is a line that is not stored.
type rejection struct {
	Writer string `json:"writer"`
	// Nothing where the service could not read it.
	Seq    *int64 `json:"seq"`
	Reason string `json:"reason"`
	// Older services give none.
	Kind string `json:"kind"`
}

// invalid is why older services refuse a line that can never be stored.
var invalid = []string{
	"it is no operation",
	"it is longer than 64 KiB",
	"its writer is not 32 hex digits, or its project is empty",
	"no header comes before it",
}

func (r rejection) isForGood() bool {
	return r.Kind == "invalid" || (r.Kind == "" && slices.Contains(invalid, r.Reason))
}

// acknowledgement is an answer: of each writer the greatest number that is stored, and the lines that are not.
type acknowledgement struct {
	Acked    map[string]int64 `json:"acked"`
	Rejected []rejection      `json:"rejected"`
}

// of is what it says against a line, and whether it says that it is stored.
func (a *acknowledgement) of(line *postedLine) (refusal *rejection, isStored bool) {
	nameless := -1
	for index, each := range a.Rejected {
		if each.Writer != line.writer {
			continue
		}
		if each.Seq != nil && *each.Seq == line.number {
			return &each, false
		}
		if each.Seq == nil && nameless < 0 {
			nameless = index
		}
	}
	if line.number <= a.Acked[line.writer] {
		return nil, true
	}
	if nameless < 0 {
		return nil, false
	}
	// One that the service could not read has no number there; each of those stands for one line.
	found := a.Rejected[nameless]
	a.Rejected = slices.Delete(a.Rejected, nameless, nameless+1)
	return &found, false
}

// settle marks what an answer settles, and what the service withholds. An error says that it does not say what became of each line.
func (s *spool) settle(text []byte, lines []*postedLine) error {
	var answer acknowledgement
	if json.Unmarshal(text, &answer) != nil {
		answer = acknowledgement{}
	}
	where, isWhole := s.destination.endpoint, true
	for _, line := range lines {
		refusal, isStored := answer.of(line)
		switch {
		case refusal == nil:
			line.settled = isStored
			isWhole = isWhole && isStored
		case refusal.isForGood():
			line.settled = true
			s.log.limited("rejected", fmt.Sprintf("%s rejected an operation for good: %s: %s", where, plain(refusal.Reason), first(plain(string(line.line)), 300)))
		default:
			line.withheld = true
			var header struct{ Project string }
			_ = json.Unmarshal(line.header, &header)
			text := fmt.Sprintf("%s takes no reports of project %s: %s; they stay in the spool", where, plain(header.Project), first(plain(refusal.Reason), 300))
			s.log.once("withheld "+where+" "+header.Project, text)
		}
	}
	if isWhole {
		return nil
	}
	shown := first(plain(string(text)), 100)
	return &refused{reason: fmt.Sprintf("it answered %q, which does not acknowledge what was posted: this is not ContextCore's /v1/ops", shown)}
}
