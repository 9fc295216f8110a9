package contextcore

// Where neither a disk is shared nor the binary is there, the SDK posts its lines to a service: a fake, and the real one.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

type service struct {
	url     string
	mutex   sync.Mutex
	answers []int
	// An answer instead of those of a service.
	foreign *string
	// A project for which the token may not report.
	forbidden string
	limit     int
	tokens    map[string]bool
	// Operations by writer and number, and how many came twice.
	found    map[string]string
	repeated int
}

func newService(t *testing.T) *service {
	found := &service{found: map[string]string{}, tokens: map[string]bool{}}
	server := httptest.NewServer(found)
	t.Cleanup(server.Close)
	found.url = strings.Replace(server.URL, "http://", "http+ops://", 1) + "/v1/ops"
	return found
}

func (s *service) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	body := must(io.ReadAll(request.Body))
	status := http.StatusOK
	if len(s.answers) > 0 {
		status, s.answers = s.answers[0], s.answers[1:]
	}
	if s.limit > 0 && len(body) > s.limit {
		status = http.StatusRequestEntityTooLarge
	}
	s.tokens[request.Header.Get("authorization")] = true
	if status == http.StatusTemporaryRedirect {
		answer.Header().Set("location", "http://127.0.0.1:9/")
	}
	answer.WriteHeader(status)
	text := "refused"
	if status == http.StatusOK && s.foreign != nil {
		text = *s.foreign
	} else if status == http.StatusOK {
		text = s.take(string(body))
	}
	_, _ = io.WriteString(answer, text)
}

// take returns the answer, as the service says what it has stored.
func (s *service) take(body string) string {
	writer, project := "", ""
	acked, rejected := map[string]int{}, []map[string]any{}
	for _, line := range strings.Split(strings.TrimSpace(body), "\n")[1:] {
		var each struct {
			Writer, Project, Op string
			Seq                 int
		}
		if err := json.Unmarshal([]byte(line), &each); err != nil {
			panic(err)
		}
		if each.Writer != "" {
			writer, project = each.Writer, each.Project
			continue
		}
		if project == s.forbidden {
			reason := "the token may not report for this project"
			rejected = append(rejected, map[string]any{"writer": writer, "seq": each.Seq, "reason": reason})
			continue
		}
		acked[writer] = max(acked[writer], each.Seq)
		key := fmt.Sprint(writer, " ", each.Seq)
		if s.found[key] != "" {
			s.repeated++
		}
		s.found[key] = each.Op
	}
	return string(must(json.Marshal(map[string]any{"acked": acked, "rejected": rejected})))
}

func (s *service) answer(statuses ...int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.answers = statuses
}

func (s *service) counts() [2]int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return [2]int{len(s.found), s.repeated}
}

func remote(t *testing.T, there *service, state string) *Tracker {
	t.Helper()
	online(t)
	return must(NewTracker("shop", WithEndpoint(there.url), WithHeader("Authorization", "Bearer s3cret"), WithStateDir(state), quiet()))
}

func inTime(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestClosePostsWhatWasWrittenAndRemovesIt(t *testing.T) {
	there, state, ctx := newService(t), t.TempDir(), inTime(t)
	tracker := remote(t, there, state)
	_, _ = tracker.Start(ctx, "T-1", "Checkout")
	_ = tracker.Complete(ctx, "T-1")
	same(t, tracker.Close(ctx), nil)
	same(t, there.counts(), [2]int{2, 0})
	same(t, there.tokens, map[string]bool{"Bearer s3cret": true})
	same(t, len(segments(t, state)), 0)
}

func TestFlushPostsOnlyWhatIsNew(t *testing.T) {
	there, state, ctx := newService(t), t.TempDir(), inTime(t)
	tracker := remote(t, there, state)
	for n := range 3 {
		_ = tracker.Complete(ctx, fmt.Sprint("T-", n))
		same(t, tracker.Flush(ctx), nil)
	}
	same(t, there.counts(), [2]int{3, 0})
}

func TestAServiceThatIsDownOrRefusesGetsEverythingLater(t *testing.T) {
	there, state, ctx := newService(t), t.TempDir(), inTime(t)
	tracker := remote(t, there, state)
	_ = tracker.Complete(ctx, "T-1")
	for _, status := range []int{401, 307, 400} {
		there.answer(status)
		err := tracker.Flush(ctx)
		if !errors.Is(err, ErrNotAccepted) || !strings.Contains(fmt.Sprint(err), fmt.Sprintf("HTTP %d", status)) {
			t.Errorf("%v", err)
		}
	}
	there.answer(503, 503, 429)
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if err := tracker.Flush(short); !errors.Is(err, ErrNotAccepted) {
		t.Errorf("%v", err)
	}
	_ = tracker.Complete(ctx, "T-2")
	// What is refused for now is tried again.
	there.answer(503)
	same(t, tracker.Close(ctx), nil)
	same(t, there.counts(), [2]int{2, 0})
	same(t, len(segments(t, state)), 0)
}

func TestAnAnswerThatAcknowledgesNothingSettlesNothing(t *testing.T) {
	there, state, ctx := newService(t), t.TempDir(), inTime(t)
	tracker := remote(t, there, state)
	_ = tracker.Complete(ctx, "T-1")
	for _, answer := range []string{"", "{}", "<html>", `"ok"`, `{"acked":{}}`, "[]", "null", `{"acked":{"0":99}}`, `{"acked":{"0":true}}`, `{"acked":[1]}`} {
		there.foreign = &answer
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		err := tracker.Flush(short)
		cancel()
		if !errors.Is(err, ErrNotAccepted) || !strings.Contains(fmt.Sprint(err), "not ContextCore's /v1/ops") {
			t.Errorf("%q: %v", answer, err)
		}
	}
	there.foreign = nil
	_ = tracker.Complete(ctx, "T-2")
	same(t, tracker.Close(ctx), nil)
	same(t, there.counts(), [2]int{2, 0})
	same(t, len(segments(t, state)), 0)
}

func TestWhatTheTokenMayNotReportStaysAndKeepsNoOtherWaiting(t *testing.T) {
	there, state, ctx := newService(t), t.TempDir(), inTime(t)
	tracker := remote(t, there, state)
	other := must(NewTracker("shed", WithEndpoint(there.url), WithHeader("Authorization", "Bearer s3cret"), WithStateDir(state), quiet()))
	there.forbidden = "shop"
	_ = tracker.Complete(ctx, "T-1")
	_ = other.Complete(ctx, "T-2")
	if err := tracker.Flush(ctx); !errors.Is(err, ErrNotAccepted) {
		t.Errorf("%v", err)
	}
	same(t, other.Close(ctx), nil)
	same(t, there.counts(), [2]int{1, 0})
	there.forbidden = ""
	same(t, tracker.Close(ctx), nil)
	same(t, there.counts(), [2]int{2, 0})
	same(t, len(segments(t, state)), 0)
}

func TestOnlyARefusalForGoodSettlesALine(t *testing.T) {
	there := &spool{destination: &destination{endpoint: "here"}, log: logger{slog.New(slog.DiscardHandler)}}
	for text, want := range map[string][2]bool{
		`"acked":{},"rejected":[{"writer":"W","seq":1,"reason":"newer","kind":"invalid"}]`:                     {true, false},
		`"acked":{"W":9},"rejected":[{"writer":"W","seq":1,"reason":"it is no operation","kind":"forbidden"}]`: {false, true},
		`"acked":{},"rejected":[{"writer":"W","seq":null,"reason":"it is no operation"}]`:                      {true, false},
		`"acked":{"W":1},"rejected":[{"writer":"V","seq":1,"reason":"no"}]`:                                    {true, false},
	} {
		line := &postedLine{header: []byte("{}"), writer: "W", number: 1}
		same(t, there.settle([]byte("{"+text+"}"), []*postedLine{line}), nil)
		same(t, [2]bool{line.settled, line.withheld}, want)
	}
}

func TestALaneThatAnotherProcessSendsIsWaitedFor(t *testing.T) {
	there, state, ctx := newService(t), t.TempDir(), inTime(t)
	tracker := remote(t, there, state)
	_ = tracker.Complete(ctx, "T-1")
	lane := &postedLane{path: tracker.client.opened()[0].path()}
	if err := lane.take(ctx); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := tracker.Flush(short); !errors.Is(err, ErrNotAccepted) {
		t.Errorf("%v", err)
	}
	time.AfterFunc(100*time.Millisecond, lane.release)
	same(t, tracker.Flush(ctx), nil)
	same(t, there.counts(), [2]int{1, 0})
}

func TestMoreThanABodyHoldsAndABodyThatIsTooLarge(t *testing.T) {
	there, state, ctx := newService(t), t.TempDir(), inTime(t)
	there.limit = 200_000
	tracker := remote(t, there, state)
	for n := range 2_000 {
		_ = tracker.Comment(ctx, "T-1", "ada", fmt.Sprint(n, " ", strings.Repeat("x", 900)))
	}
	same(t, tracker.Close(ctx), nil)
	same(t, there.counts(), [2]int{2_000, 0})
}

func TestWhatAKilledProcessLeftIsPostedByTheNext(t *testing.T) {
	there, state, ctx := newService(t), filepath.Join(t.TempDir(), "state"), inTime(t)
	environment := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": there.url, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20s3cret"}
	command := program(t, "endless", "T", state, environment)
	output := must(command.StdoutPipe())
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = output.Read(make([]byte, 1))
	_ = command.Process.Kill()
	_, _ = io.Copy(io.Discard, output)
	_ = command.Wait()
	left := len(lines(t, state))
	if left == 0 {
		// The project of the program is `p`.
		t.Fatal("nothing was reported")
	}
	tracker := remote(t, there, state)
	_ = tracker.Complete(ctx, "T-1")
	same(t, tracker.Close(ctx), nil)
	same(t, there.counts(), [2]int{left + 1, 0})
	same(t, len(segments(t, state)), 0)
	// What another program wrote into the file stays.
	posted := filepath.Join(state, "lanes", tracker.client.destination.lane(), postedFile)
	text := strings.Replace(string(must(os.ReadFile(posted))), "{", `{"known":14,`, 1)
	if err := os.WriteFile(posted, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = tracker.Complete(ctx, "T-2")
	same(t, tracker.Close(ctx), nil)
	same(t, strings.Contains(string(must(os.ReadFile(posted))), `"known":14`), true)
}

func TestTheRealServiceTakesIt(t *testing.T) {
	binary, home, ctx := realBinary(t), t.TempDir(), inTime(t)
	free := must(net.Listen("tcp", "127.0.0.1:0"))
	address := free.Addr().String()
	_ = free.Close()
	config := fmt.Sprintf("listen: %s\nstore: {path: %s/store}\nops: {token: {file: %s/token}, projects: ['*']}\nexport: {otlp: {endpoint: 'http://127.0.0.1:9'}}\nsources: [{name: sdk, kind: sdk, path: %s/there}]\n", address, home, home, home)
	for name, text := range map[string]string{"token": "s3cret\n", "contextcore.yaml": config} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serve := exec.CommandContext(ctx, binary, "--config", filepath.Join(home, "contextcore.yaml"), "serve")
	serve.Env = []string{"HOME=" + home}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = serve.Process.Kill(), serve.Wait() }()
	eventually(t, "the service listens", func() bool {
		answer, err := http.Get("http://" + address + "/healthz")
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil
	})
	state := filepath.Join(home, "state")
	tracker := remote(t, &service{url: "http+ops://" + address + "/v1/ops"}, state)
	_, _ = tracker.Start(ctx, "T-1", "Checkout")
	same(t, tracker.Close(ctx), nil)
	same(t, len(segments(t, state)), 0)
}
