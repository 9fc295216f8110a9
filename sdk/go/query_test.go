package contextcore

// Questions go to the socket of a helper, else to the command.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/baggage"
)

func ids(of []Answer) []string {
	found := []string{}
	for _, each := range of {
		found = append(found, each.ID())
	}
	return found
}

func TestTheSocketIsAskedWhateverTheLengthOfItsPath(t *testing.T) {
	ctx, state := context.Background(), filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	asked := listen(t, filepath.Join(state, "lanes", "0123456789abcdef"),
		`{"ok":true,"insights":[{"id":"ins_1","to":"me"},{"id":"ins_2","to":"you"},{"id":"ins_1"}],"guidance":[{"id":"g1","kind":"constraint","severity":"blocking"},{"id":"g2","kind":"focus"}]}`)
	querier := NewQuerier("p", WithStateDir(state), WithReader("me"))
	same(t, ids(must(querier.Lessons(ctx, "src/"))), []string{"ins_1", "ins_2"})
	same(t, asked()[0]["query"], map[string]any{
		"project": "p", "type": "lesson", "path": "src/", "since": "90d", "status": "open", "limit": 20.0, "reader": "me",
	})
	same(t, ids(must(querier.Query(ctx, Query{Limit: 1}))), []string{"ins_1"})
	inside := baggage.ContextWithBaggage(ctx, must(baggage.Parse("project.id=ours")))
	for project, want := range map[string]string{"": "ours", "p": "p"} {
		emitter := must(NewEmitter(project, "me", WithStateDir(state), quiet()))
		before := len(asked())
		_ = must(emitter.Querier().Blockers(inside))
		same(t, asked()[before]["query"].(map[string]any)["project"], any(want))
	}
	same(t, ids(must(querier.Guidance(ctx, ""))), []string{"g1", "g2"})
	same(t, ids(must(querier.Constraints(ctx, ""))), []string{"g1"})
	same(t, ids(must(querier.BlockingConstraints(ctx, "src/"))), []string{"g1"})
	emitter := must(NewEmitter("p", "me", WithStateDir(state), quiet()))
	same(t, ids(must(emitter.Handoffs().Pending(ctx))), []string{"ins_1"})
}

func TestTheBestOfAllLanesComeFirstAndEachOnce(t *testing.T) {
	state := t.TempDir()
	row := func(id string, score int, day string) string {
		return fmt.Sprintf(`{"id":%q,"score":%d,"updated":%q}`, id, score, "2026-11-"+day+"T00:00:00.000Z")
	}
	answer := func(rows ...string) string {
		return `{"ok":true,"insights":[` + strings.Join(rows, ",") + `],"guidance":[{"id":"z"},{"id":"a"}]}`
	}
	listen(t, filepath.Join(state, "lanes", "00"), answer(row("b", 3, "02"), row("a", 1, "01")))
	listen(t, filepath.Join(state, "lanes", "01"), answer(row("c", 9, "01"), row("d", 3, "03"), row("a", 1, "01")))
	querier := NewQuerier("p", WithStateDir(state))
	same(t, ids(must(querier.Query(context.Background(), Query{}))), []string{"c", "d", "b", "a"})
	same(t, ids(must(querier.Query(context.Background(), Query{Limit: 2}))), []string{"c", "d"})
	same(t, ids(must(querier.Guidance(context.Background(), ""))), []string{"z", "a"})
}

func TestTheCommandIsAskedWhereNobodyListens(t *testing.T) {
	place := t.TempDir()
	t.Setenv("CONTEXTCORE_BIN", script(t, fmt.Sprintf(`echo "$@" "$CONTEXTCORE_AGENT" >%s/args; echo '[{"id": "ins_3"}]'`, place)))
	querier := NewQuerier("q", WithStateDir(filepath.Join(place, "none")), WithReader("me"))
	same(t, ids(must(querier.Query(context.Background(), Query{Type: "blocker", MinConfidence: 0.5}))), []string{"ins_3"})
	found := string(must(os.ReadFile(filepath.Join(place, "args"))))
	want := `^insight query --output json --state .*none --project=q --type=blocker --min-confidence=0.5 --since=90d --status=open --limit=20 me\n$`
	if !regexp.MustCompile(want).MatchString(found) {
		t.Error(found)
	}
}

func TestNobodyToAskIsAnError(t *testing.T) {
	querier := NewQuerier("", WithStateDir(filepath.Join(t.TempDir(), "none")))
	if _, err := querier.OpenQuestions(context.Background()); err == nil {
		t.Error("nobody answered")
	}
	t.Setenv("CONTEXTCORE_BIN", "/bin/false")
	if _, err := querier.Guidance(context.Background(), "src/"); err == nil {
		t.Error("nobody answered")
	}
	t.Setenv("CONTEXTCORE_BIN", script(t, "echo '{}'"))
	if _, err := querier.Blockers(context.Background()); err == nil {
		t.Error("there is no list")
	}
}

func TestTheRealHelperAndTheRealCommandAnswer(t *testing.T) {
	binary, there := realBinary(t), newBackend(t)
	online(t)
	state := t.TempDir()
	t.Setenv("CONTEXTCORE_BIN", script(t, fmt.Sprintf(`case "$1" in drain) exec "%s" "$@" --linger 1s;; *) exec "%s" "$@";; esac`, binary, binary)))
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	emitter := must(NewEmitter("p", "claude", WithStateDir(state), WithEndpoint(there.URL), quiet()))
	insight := must(emitter.Decision(ctx, "Use an index", AppliesTo("src/db/")))
	offered := must(emitter.Handoff(ctx, "reviewer", "Review it"))
	same(t, emitter.Close(ctx), nil)
	ask := func() {
		t.Helper()
		same(t, ids(must(emitter.Querier().RecentDecisions(ctx))), []string{insight.ID})
		reviewer := must(NewEmitter("p", "reviewer", WithStateDir(state), quiet()))
		same(t, ids(must(reviewer.Handoffs().Pending(ctx))), []string{offered.ID})
		same(t, ids(must(emitter.Querier().Guidance(ctx, ""))), []string{})
	}
	ask()
	lanes := filepath.Join(state, "lanes")
	lane := filepath.Join(lanes, must(os.ReadDir(lanes))[0].Name())
	eventually(t, "the helper ends", func() bool { return !isDrained(lane) })
	ask()
}
