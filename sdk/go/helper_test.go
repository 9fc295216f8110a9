package contextcore

// The helper: a fake that says how it was started, one that answers, and the real one.

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// listen answers each line at the socket of a lane, and gives what was asked.
func listen(t *testing.T, lane, answer string) func() []map[string]any {
	t.Helper()
	if err := os.MkdirAll(lane, 0o700); err != nil {
		t.Fatal(err)
	}
	// A path of any length.
	directory := must(os.Open(lane))
	listener := must(net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/engine.sock", directory.Fd())))
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	t.Cleanup(func() { _, _ = listener.Close(), directory.Close() })
	var mutex sync.Mutex
	var asked []map[string]any
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				line, _ := bufio.NewReader(connection).ReadBytes('\n')
				var request map[string]any
				if json.Unmarshal(line, &request) == nil {
					mutex.Lock()
					asked = append(asked, request)
					mutex.Unlock()
				}
				_, _ = fmt.Fprintln(connection, answer)
			}()
		}
	}()
	return func() []map[string]any {
		mutex.Lock()
		defer mutex.Unlock()
		return slices.Clone(asked)
	}
}

func TestTheHelperIsStartedWithWhatItNeedsAndNothingElse(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	started := filepath.Join(t.TempDir(), "started")
	fake := script(t, fmt.Sprintf(`echo "$@ [$SECRET] $OTEL_SERVICE_NAME $(pwd) $OTEL_EXPORTER_OTLP_HEADERS" >%s.new; ps -o sid= -p $$ >>%s.new; ls -l /proc/$$/fd >>%s.new; mv %s.new %s`, started, started, started, started, started))
	environment := map[string]string{
		"CONTEXTCORE_BIN": fake, "SECRET": "x", "OTEL_SERVICE_NAME": "shop", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://tempo:4317",
		"OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b",
	}
	command := program(t, "close", "300ms", state, environment)
	// Whoever starts the program may leave files open in it, and wait until nobody has them.
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	command.ExtraFiles = []*os.File{nil, writer}
	same(t, string(must(command.Output())), "false true\n")
	_ = writer.Close()
	eventually(t, "the helper is started", func() bool { _, err := os.Stat(started); return err == nil })
	found := strings.Split(string(must(os.ReadFile(started))), "\n")
	same(t, found[0], "drain --state "+state+" --detach [] shop / x-key=a%20b")
	if own := string(must(exec.Command("ps", "-o", "sid=", "-p", fmt.Sprint(os.Getpid())).Output())); found[1] == strings.TrimSpace(own) {
		t.Error("it is in the session of the program")
	}
	for _, open := range found[2:] {
		if strings.Contains(open, "pipe:") || strings.Contains(open, ".jsonl") {
			t.Errorf("it has a file of the program: %s", open)
		}
	}
}

func TestCloseAsksTheHelperThatListens(t *testing.T) {
	for answer, want := range map[string]string{`{"ok":true}`: "true false\n", `{"ok":false,"taken":{}}`: "false true\n", "nonsense": "false true\n"} {
		state := filepath.Join(t.TempDir(), "state")
		asked := listen(t, filepath.Join(state, "lanes", "8c31d648c98918c8"), answer)
		out, _ := run(t, "close", "300ms", state, map[string]string{
			"CONTEXTCORE_BIN": "/bin/true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://tempo:4317",
		})
		same(t, out, want)
		first := asked()[0]
		same(t, first["cmd"], "flush")
		for _, seq := range first["writers"].(map[string]any) {
			same(t, seq, 2.0)
		}
	}
}

func TestHeadersAreGivenOnceToEachThatListens(t *testing.T) {
	online(t)
	t.Setenv("CONTEXTCORE_BIN", "/bin/true")
	state := t.TempDir()
	tracker := must(NewTracker("p", WithStateDir(state), WithEndpoint("http://tempo:4317"), WithHeader("X-Key", "s3cret"), quiet()))
	lane := filepath.Join(state, "lanes", tracker.client.destination.lane())
	asked := listen(t, lane, `{"ok":true}`)
	_ = tracker.Complete(context.Background(), "T-1")
	for range 2 {
		same(t, tracker.Flush(context.Background()), nil)
	}
	var headers []any
	for _, each := range asked() {
		if each["cmd"] == "headers" {
			headers = append(headers, each["headers"])
		}
	}
	same(t, headers, []any{map[string]any{"x-key": "s3cret"}})
}

func TestAContextThatEndsEndsTheWaiting(t *testing.T) {
	online(t)
	t.Setenv("CONTEXTCORE_BIN", "/bin/true")
	tracker := must(NewTracker("p", WithStateDir(t.TempDir()), WithEndpoint("http://tempo:4317"), quiet()))
	_ = tracker.Complete(context.Background(), "T-1")
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	before := time.Now()
	if err := tracker.Close(ctx); !errors.Is(err, ErrNotAccepted) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	same(t, time.Since(before) < 2*time.Second, true)
}

func TestNetworkFileSystems(t *testing.T) {
	mounts := filepath.Join(t.TempDir(), "mountinfo")
	text := "1 0 0:1 / / rw - ext4 /dev/sda rw\n2 1 0:2 / /home\\040x rw shared:1 - nfs4 server:/ rw\nnonsense\n"
	if err := os.WriteFile(mounts, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"/home x/ada": true, "/home x": true, "/home xy": false, "/var": false} {
		same(t, isOnNetwork(path, mounts), want)
	}
	same(t, isOnNetwork("/var", mounts+".none"), false)
}

// realBinary is the binary of ContextCore that knows `drain`.
func realBinary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("CONTEXTCORE_TEST_BIN")
	if path == "" {
		path = must(filepath.Abs(filepath.Join("..", "..", "target", "debug", "contextcore")))
	}
	if err := exec.Command(path, "drain", "--help").Run(); err != nil {
		t.Skipf("SKIPPED: %s is no binary with `drain`: build it, or set CONTEXTCORE_TEST_BIN", path)
	}
	return path
}

// backend takes OTLP over HTTP and keeps spans by id, with the task of each.
type backend struct {
	*httptest.Server
	mutex sync.Mutex
	spans map[string]span
	twice int
}

type span struct{ name, task string }

func newBackend(t *testing.T) *backend {
	found := &backend{spans: map[string]span{}}
	found.Server = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		var body io.Reader = request.Body
		if request.Header.Get("content-encoding") == "gzip" {
			body = must(gzip.NewReader(request.Body))
		}
		data := must(io.ReadAll(body))
		if request.URL.Path == "/v1/traces" {
			found.take(data)
		}
		answer.Header().Set("content-type", "application/x-protobuf")
	}))
	t.Cleanup(found.Close)
	return found
}

func (b *backend) take(data []byte) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for _, resource := range parts(data, 1) {
		for _, scope := range parts(resource, 2) {
			for _, one := range parts(scope, 2) {
				found := span{name: string(parts(one, 5)[0])}
				for _, attribute := range parts(one, 9) {
					if string(parts(attribute, 1)[0]) == "task.id" {
						found.task = string(parts(parts(attribute, 2)[0], 1)[0])
					}
				}
				id := string(parts(one, 2)[0])
				if _, isKnown := b.spans[id]; isKnown {
					b.twice++
				}
				b.spans[id] = found
			}
		}
	}
}

// parts are the fields of a message of Protocol Buffers that have this number and a length.
func parts(message []byte, number uint64) [][]byte {
	var found [][]byte
	varint := func() uint64 {
		var value uint64
		for shift := 0; len(message) > 0; shift += 7 {
			c := message[0]
			message = message[1:]
			value |= uint64(c&0x7f) << shift
			if c < 0x80 {
				break
			}
		}
		return value
	}
	for len(message) > 0 {
		switch key := varint(); key & 7 {
		case 0:
			varint()
		case 1:
			message = message[8:]
		case 5:
			message = message[4:]
		default:
			length := varint()
			if key>>3 == number {
				found = append(found, message[:length])
			}
			message = message[length:]
		}
	}
	return found
}

func TestTheRealHelperSendsWhatKilledProcessesReportedOnce(t *testing.T) {
	binary, there := realBinary(t), newBackend(t)
	state := filepath.Join(t.TempDir(), "state")
	want := map[string]bool{}
	processes := max(kills()/4, 1)
	for n := range processes {
		prefix := fmt.Sprint("K", n)
		for call := range killed(t, prefix, state, time.Millisecond) {
			want[fmt.Sprintf("%s-%d", prefix, call)] = true
		}
	}
	drain := exec.Command(binary, "drain", "--state", state, "--endpoint", there.URL, "--linger", "0s")
	drain.Env = []string{"HOME=" + filepath.Dir(state), "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"}
	var output bytes.Buffer
	drain.Stdout, drain.Stderr = &output, &output
	if err := drain.Run(); err != nil {
		t.Fatalf("%v: %s", err, output.String())
	}
	there.mutex.Lock()
	defer there.mutex.Unlock()
	same(t, there.twice, 0)
	tasks := map[string]int{}
	for _, each := range there.spans {
		tasks[each.task]++
	}
	for task := range want {
		if tasks[task] == 0 {
			t.Errorf("%s is missing", task)
		}
	}
	t.Logf("%d tasks of %d killed processes, %d spans", len(want), processes, len(there.spans))
}

func TestTheRealHelperIsStartedAndSends(t *testing.T) {
	binary, there := realBinary(t), newBackend(t)
	state := filepath.Join(t.TempDir(), "state")
	out, _ := run(t, "close", "60s", state, map[string]string{
		"CONTEXTCORE_BIN": script(t, fmt.Sprintf(`exec "%s" "$@" --linger 1s`, binary)), "OTEL_EXPORTER_OTLP_ENDPOINT": there.URL,
		"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
	})
	same(t, out, "true false\n")
	there.mutex.Lock()
	found := false
	for _, each := range there.spans {
		found = found || each.task == "T-1"
	}
	there.mutex.Unlock()
	same(t, found, true)
	lane := filepath.Join(state, "lanes")
	lane = filepath.Join(lane, must(os.ReadDir(lane))[0].Name())
	eventually(t, "the helper ends", func() bool { return !isDrained(lane) })
}

func TestAHelperThatWorksElsewhereGetsWholePaths(t *testing.T) {
	here := t.TempDir()
	t.Chdir(here)
	given := []string{
		"CONTEXTCORE_CONFIG=cc.yaml", "OTEL_EXPORTER_OTLP_CERTIFICATE=./ca.pem", "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY=key.pem",
		"XDG_STATE_HOME=xdg", "SSL_CERT_FILE=", "SSL_CERT_DIR=a:b", "OTEL_EXPORTER_OTLP_ENDPOINT=tempo:4317", "JIRA_TOKEN=x",
	}
	same(t, helperEnvironment(given, nil), []string{
		"CONTEXTCORE_CONFIG=" + here + "/cc.yaml", "OTEL_EXPORTER_OTLP_CERTIFICATE=" + here + "/ca.pem",
		"OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY=" + here + "/key.pem",
		"SSL_CERT_FILE=", "SSL_CERT_DIR=a:b", "OTEL_EXPORTER_OTLP_ENDPOINT=tempo:4317",
	})
	found := candidates("", func(name string) string { return map[string]string{"XDG_STATE_HOME": "xdg", "HOME": "/home/a"}[name] })
	same(t, found[0], "/home/a/.local/state/contextcore")
}
