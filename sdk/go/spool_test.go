package contextcore

// What returned is in the spool, once, whatever becomes of the process.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

type writtenLine struct {
	Seq                                             uint64
	T, Op, Task, Title, Text, Author, Reason, Actor string
	Traceparent                                     string
}

func operations(t *testing.T, state string) []writtenLine {
	t.Helper()
	var found []writtenLine
	for _, line := range lines(t, state) {
		var each writtenLine
		if err := json.Unmarshal([]byte(line), &each); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		found = append(found, each)
	}
	return found
}

func names(of []writtenLine) []string {
	found := []string{}
	for _, each := range of {
		found = append(found, each.Op)
	}
	return found
}

func same(t *testing.T, found, want any) {
	t.Helper()
	if !reflect.DeepEqual(found, want) {
		t.Errorf("%v instead of %v", found, want)
	}
}

func kills() int {
	if count, err := strconv.Atoi(os.Getenv("CONTEXTCORE_KILLS")); err == nil {
		return count
	}
	return 20
}

func TestATaskOverTwoProcesses(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	run(t, "start", "T-1", state, nil)
	run(t, "complete", "T-1", state, nil)
	found := names(operations(t, state))
	slices.Sort(found)
	same(t, found, []string{"task.complete", "task.start"})
	same(t, len(segments(t, state)), 2)
}

func TestSeveralProcessesOnOneTask(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	var all sync.WaitGroup
	for n := range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			_ = program(t, "progress", strconv.Itoa(n), state, nil).Run()
		}()
	}
	all.Wait()
	found := map[string][]string{}
	for _, each := range operations(t, state) {
		found[each.Author] = append(found[each.Author], each.Text)
	}
	same(t, len(found), 4)
	for author, texts := range found {
		for n, text := range texts {
			if text != strconv.Itoa(n) {
				t.Fatalf("%s has %s as number %d", author, text, n)
			}
		}
		same(t, len(texts), 200)
	}
}

func TestTheNearestFileNamesTheProject(t *testing.T) {
	home := t.TempDir()
	deep := filepath.Join(home, "a", "b")
	for _, path := range []string{deep, filepath.Join(home, ".contextcore")} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := "# ours\n\n commerce platform \nother\n"
	if err := os.WriteFile(filepath.Join(home, ".contextcore", "project"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, named := range map[string]string{"commerce platform\n": "", "shop\n": "shop"} {
		command := program(t, "project", "", filepath.Join(home, "state"), map[string]string{"CONTEXTCORE_PROJECT": named})
		command.Dir = deep
		same(t, string(must(command.Output())), want)
	}
}

func TestTheLockIsHeldForLifeAndGivenUpByClose(t *testing.T) {
	ctx, state := context.Background(), t.TempDir()
	tracker := must(NewTracker("p", WithStateDir(state), quiet()))
	_ = tracker.Complete(ctx, "T-1")
	path := segments(t, state)[0]
	same(t, isDead(path), false)
	if err := tracker.Close(ctx); err == nil {
		t.Error("nobody has accepted anything")
	}
	same(t, isDead(path), true)
	_ = tracker.Complete(ctx, "T-2")
	same(t, len(operations(t, state)), 2)
	same(t, len(segments(t, state)), 2)
}

func TestTrackersOfOneProcessShareAFile(t *testing.T) {
	ctx, state := context.Background(), t.TempDir()
	one := must(NewTracker("p", WithStateDir(state), quiet()))
	other := must(NewTracker("p", WithStateDir(state), quiet()))
	_ = one.Complete(ctx, "T-1")
	_ = other.Complete(ctx, "T-2")
	_ = one.Close(ctx)
	_ = other.Complete(ctx, "T-3")
	same(t, len(segments(t, state)), 1)
	same(t, isDead(segments(t, state)[0]), false)
	same(t, len(operations(t, state)), 3)
}

// killed runs the endless program, kills it at some moment until then, and gives how many tasks had been completed.
func killed(t *testing.T, prefix, state string, latest time.Duration) int {
	t.Helper()
	command := program(t, "endless", prefix, state, nil)
	output := must(command.StdoutPipe())
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(output)
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	count := 1
	timer := time.AfterFunc(rand.N(latest), func() { _ = command.Process.Kill() })
	defer timer.Stop()
	for {
		if _, err := reader.ReadString('\n'); err != nil {
			break
		}
		count++
	}
	_ = command.Wait()
	return count
}

func TestKills(t *testing.T) {
	for range kills() {
		state := filepath.Join(t.TempDir(), "state")
		count := killed(t, "T", state, 10*time.Millisecond)
		found := operations(t, state)
		if len(found) < 2*count || len(found) > 2*count+2 {
			t.Fatalf("%d calls returned, and %d are there", 2*count, len(found))
		}
		for n, each := range found {
			if each.Seq != uint64(n+1) || each.Task != fmt.Sprintf("T-%d", n/2) {
				t.Fatalf("%+v is number %d", each, n)
			}
		}
	}
}

func TestWhatDidNotCountAsDroppedIsThereOnceWhenADiskIsFullAtAnyByte(t *testing.T) {
	for first := range 37 {
		state := filepath.Join(t.TempDir(), "state")
		out, _ := run(t, "full", strconv.Itoa(350+first), state, nil)
		want := append(append([]string{"first"}, strings.Fields(out)...), "last")
		found := []string{}
		text := string(must(os.ReadFile(segments(t, state)[0])))
		for _, line := range strings.Split(text, "\n") {
			var each writtenLine
			// A line that was cut counts as dropped.
			if json.Unmarshal([]byte(line), &each) == nil && each.Op != "" {
				found = append(found, each.Text)
			}
		}
		if !slices.Equal(found, want) {
			t.Fatalf("%v instead of %v", found, want)
		}
	}
}

func TestManyGoroutines(t *testing.T) {
	ctx, state := context.Background(), t.TempDir()
	tracker := must(NewTracker("p", WithStateDir(state), quiet()))
	emitter := tracker.Emitter("claude")
	var all sync.WaitGroup
	for worker := range 32 {
		all.Add(1)
		go func() {
			defer all.Done()
			for n := range 50 {
				task, _ := tracker.Start(ctx, fmt.Sprintf("T-%d-%d", worker, n), "x", WithAttr("n", n))
				_ = task.Progress(ctx, 50)
				_, _ = emitter.Decision(ctx, fmt.Sprintf("%d %d", worker, n))
				tracker.ActiveTasks()
			}
		}()
	}
	for range 3 {
		_ = tracker.Flush(ctx)
	}
	all.Wait()
	found := operations(t, state)
	same(t, len(found), 4_800)
	last := ""
	for n, each := range found {
		if each.Seq != uint64(n+1) || each.T < last {
			t.Fatalf("%+v is number %d, after %s", each, n, last)
		}
		last = each.T
	}
	same(t, tracker.Dropped(), uint64(0))
}

func TestClosingBesideCallsLosesNothing(t *testing.T) {
	ctx, state := context.Background(), t.TempDir()
	tracker := must(NewTracker("p", WithStateDir(state), quiet()))
	var all sync.WaitGroup
	for worker := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for n := range 50 {
				_ = tracker.Complete(ctx, fmt.Sprintf("T-%d-%d", worker, n))
				if n%10 == worker {
					_ = tracker.Close(ctx)
				}
			}
		}()
	}
	all.Wait()
	_ = tracker.Close(ctx)
	tasks := map[string]bool{}
	for _, each := range operations(t, state) {
		tasks[each.Task] = true
	}
	same(t, len(tasks), 400)
	same(t, len(lines(t, state)), 400)
	for _, path := range segments(t, state) {
		same(t, isDead(path), true)
	}
}

func TestSegmentsEndAt8MiB(t *testing.T) {
	ctx, state := context.Background(), t.TempDir()
	tracker := must(NewTracker("p", WithStateDir(state), quiet()))
	for range 300 {
		_ = tracker.Comment(ctx, "T-1", "ada", strings.Repeat("x", 60_000))
	}
	same(t, len(operations(t, state)), 300)
	found := segments(t, state)
	same(t, len(found), 3)
	header := regexp.MustCompile(`^\{"v":1,"writer":"([0-9a-f]{32})","project":"p","lang":"go","sdk":"` + Version + `","host":"[^"]*","pid":\d+\}$`)
	for _, path := range found {
		text := must(os.ReadFile(path))
		if len(text) > segmentBytes {
			t.Errorf("%s has %d bytes", path, len(text))
		}
		first, _, _ := bytes.Cut(text, []byte("\n"))
		match := header.FindSubmatch(first)
		if match == nil || !strings.HasPrefix(filepath.Base(path), string(match[1])+".") {
			t.Errorf("%s begins with %s", path, first)
		}
	}
	if err := tracker.client.opened()[0].sync(); err != nil {
		t.Error(err)
	}
}

func TestAFileThatSomebodyRemovedIsReplaced(t *testing.T) {
	ctx, state := context.Background(), t.TempDir()
	tracker := must(NewTracker("p", WithStateDir(state), quiet()))
	_ = tracker.Complete(ctx, "T-1")
	if err := os.RemoveAll(filepath.Join(state, "lanes")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(pause + 50*time.Millisecond)
	_ = tracker.Complete(ctx, "T-2")
	found := operations(t, state)
	if len(found) != 1 || found[0].Task != "T-2" || tracker.Dropped() != 0 {
		t.Errorf("%+v, %d dropped", found, tracker.Dropped())
	}
}

func TestPrivateModesAndLinksAreNotFollowed(t *testing.T) {
	ctx, state := context.Background(), filepath.Join(t.TempDir(), "state")
	_ = must(NewTracker("p", WithStateDir(state), WithEndpoint("http://tempo:4317"), quiet())).Complete(ctx, "T-1")
	err := filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if mode := must(entry.Info()).Mode().Perm(); mode != want {
			t.Errorf("%s has mode %o", path, mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "lanes", "lanes/none", "lanes/none/spool", "lanes/none/spool/p"} {
		home := t.TempDir()
		other, elsewhere := filepath.Join(home, "state", name), filepath.Join(home, "elsewhere")
		if err := os.MkdirAll(filepath.Dir(other), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(elsewhere, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(elsewhere, other); err != nil {
			t.Fatal(err)
		}
		tracker := must(NewTracker("p", WithStateDir(filepath.Join(home, "state")), quiet()))
		_ = tracker.Complete(ctx, "T-1")
		same(t, tracker.Dropped(), uint64(1))
		same(t, len(must(os.ReadDir(elsewhere))), 0)
	}
}

func TestADirectoryOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can give a directory to another user")
	}
	state := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(state, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(state, 12_345, 12_345); err != nil {
		t.Fatal(err)
	}
	tracker := must(NewTracker("p", WithStateDir(state), quiet()))
	_ = tracker.Complete(context.Background(), "T-1")
	same(t, tracker.Dropped(), uint64(1))
}

func TestWithoutLocksEachLineIsACompleteFile(t *testing.T) {
	directory := t.TempDir()
	w := &writer{id: randomHex(16), header: []byte("{}\n"), alone: true}
	for n := range 3 {
		if err := w.write(fmt.Appendf(nil, "{\"seq\":%d}\n", n), directory); err != nil {
			t.Fatal(err)
		}
	}
	same(t, len(segments(t, directory)), 3)
	same(t, lines(t, directory), []string{`{"seq":0}`, `{"seq":1}`, `{"seq":2}`})
}

func TestALaneSaysWhereItGoesWithoutSecrets(t *testing.T) {
	ctx, state := context.Background(), t.TempDir()
	tracker := must(NewTracker("p", WithStateDir(state), WithEndpoint("https://gw.example/otlp"), quiet(),
		WithHeader("Authorization", "Bearer s3cret"), WithHeader("X-Scope-OrgID", "team a")))
	_ = tracker.Complete(ctx, "T-1")
	text := must(os.ReadFile(filepath.Join(state, "lanes", "b24306a6dac7b250", "lane.json")))
	same(t, string(text), `{"v":1,"endpoint":"https://gw.example/otlp","protocol":"http/protobuf","credentials":true}`+"\n")
	err := filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && bytes.Contains(must(os.ReadFile(path)), []byte("s3cret")) {
			t.Errorf("%s has the token", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// A tracker without an endpoint uses the only lane of the project.
	_ = must(NewTracker("p", WithStateDir(state), quiet())).Complete(ctx, "T-2")
	same(t, len(must(os.ReadDir(filepath.Join(state, "lanes")))), 1)
}

func TestMakeRoomRemovesWhatWasTakenTheOldestFirst(t *testing.T) {
	spool := t.TempDir()
	sparse := func(name string, size int64, age time.Duration) {
		path := filepath.Join(spool, "p", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	sparse("new.done", 1<<20, time.Hour)
	sparse("old.done", 1<<20, 2*time.Hour)
	sparse("a.jsonl", capBytes-1<<20, 0)
	if err := makeRoom(spool); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, each := range must(os.ReadDir(filepath.Join(spool, "p"))) {
		found[each.Name()] = true
	}
	same(t, found, map[string]bool{"a.jsonl": true, "new.done": true})
	sparse("b.jsonl", 2<<20, 0)
	if err := makeRoom(spool); err == nil {
		t.Error("there is no room")
	}
}

func TestTheFirstLineSaysWhatTheProcessSaysOfItself(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	run(t, "complete", "T-1", state, map[string]string{
		"OTEL_SERVICE_NAME": "shop", "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=commerce,service.name=other",
	})
	first, _, _ := strings.Cut(string(must(os.ReadFile(segments(t, state)[0]))), "\n")
	var header struct{ Resource map[string]string }
	if err := json.Unmarshal([]byte(first), &header); err != nil {
		t.Fatal(err)
	}
	same(t, maps.Clone(header.Resource), map[string]string{"service.name": "shop", "service.namespace": "commerce"})
}
