package contextcore

// Programs that tests run in processes of their own, and what tests share.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// programName names the program that a child runs instead of the tests.
const programName = "SDK_TEST_PROGRAM"

// programs run in a process of their own, with arguments by the environment.
var programs = map[string]func(ctx context.Context, argument string){
	"start": func(ctx context.Context, task string) {
		_, _ = must(NewTracker("p")).Start(ctx, task, "Long work")
	},
	"complete": func(ctx context.Context, task string) {
		_ = must(NewTracker("p")).Complete(ctx, task)
	},
	"project": func(context.Context, string) { fmt.Println(must(NewTracker("")).Project()) },
	// Reports without an end, and says after each call how many returned.
	"endless": func(ctx context.Context, prefix string) {
		tracker := must(NewTracker("p", WithoutDrain()))
		for n := 0; ; n++ {
			task, _ := tracker.Start(ctx, fmt.Sprintf("%s-%d", prefix, n), strings.Repeat("x", n*7%3000))
			_ = task.Complete(ctx)
			fmt.Println(n)
		}
	},
	// Reports one task from several processes at once.
	"progress": func(ctx context.Context, author string) {
		tracker := must(NewTracker("p", WithoutDrain()))
		for n := range 200 {
			_ = tracker.Comment(ctx, "T-1", author, strconv.Itoa(n))
		}
	},
	"full": fullDisk,
	"close": func(ctx context.Context, timeout string) {
		period, _ := time.ParseDuration(timeout)
		ctx, cancel := context.WithTimeout(ctx, period)
		defer cancel()
		tracker := must(NewTracker("p"))
		_, _ = tracker.Start(ctx, "T-1", "Checkout")
		_ = tracker.Complete(ctx, "T-1")
		err := tracker.Close(ctx)
		fmt.Println(err == nil, errors.Is(err, ErrNotAccepted))
	},
	"warnings": func(ctx context.Context, _ string) {
		tracker := must(NewTracker("p"))
		_ = tracker.Complete(ctx, "T-1")
		_ = tracker.Complete(ctx, "T-2")
	},
}

// fullDisk reports while files may not grow over a limit that rises, which gives short writes as a full disk does.
func fullDisk(ctx context.Context, first string) {
	signal.Ignore(syscall.SIGXFSZ)
	limit := func(bytes uint64) {
		var known syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &known); err != nil {
			panic(err)
		}
		known.Cur = bytes
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &known); err != nil {
			panic(err)
		}
	}
	tracker := must(NewTracker("p", WithoutDrain(), WithLogger(slog.New(slog.DiscardHandler))))
	size, _ := strconv.ParseUint(first, 10, 64)
	_ = tracker.Comment(ctx, "T-1", "ada", "first")
	for n := range 40 {
		limit(size)
		size += 37
		before := tracker.Dropped()
		_ = tracker.Comment(ctx, "T-1", "ada", fmt.Sprintf("n%d.", n))
		if tracker.Dropped() == before {
			fmt.Printf("n%d.\n", n)
		}
	}
	limit(1 << 30)
	_ = tracker.Comment(ctx, "T-1", "ada", "last")
}

func TestMain(m *testing.M) {
	if run := programs[os.Getenv(programName)]; run != nil {
		isTest = func() bool { return false }
		run(context.Background(), os.Getenv(programName+"_ARGUMENT"))
		return
	}
	for _, each := range os.Environ() {
		name, _, _ := strings.Cut(each, "=")
		isOurs := strings.HasPrefix(name, "CONTEXTCORE_") && !strings.HasPrefix(name, "CONTEXTCORE_TEST_") && name != "CONTEXTCORE_KILLS"
		if isOurs || strings.HasPrefix(name, "OTEL_") || name == "XDG_STATE_HOME" || name == "CI" {
			_ = os.Unsetenv(name)
		}
	}
	m.Run()
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// quiet is a client whose warnings nobody reads.
func quiet() Option { return WithLogger(slog.New(slog.DiscardHandler)) }

// online lets this process send, as it would outside of a test.
func online(t *testing.T) {
	before := isTest
	isTest = func() bool { return false }
	t.Cleanup(func() { isTest = before })
}

// program is a command that runs one of the programs.
func program(t *testing.T, name, argument, state string, environment map[string]string) *exec.Cmd {
	t.Helper()
	command := exec.Command(must(os.Executable()))
	variables := map[string]string{
		programName: name, programName + "_ARGUMENT": argument, "CONTEXTCORE_STATE_DIR": state, "HOME": filepath.Dir(state),
		"PATH": os.Getenv("PATH"), "GOCOVERDIR": t.TempDir(),
		// A program that looks for races waits a second at its end for reports of them.
		"GORACE": "atexit_sleep_ms=0",
	}
	maps.Copy(variables, environment)
	for name, value := range variables {
		command.Env = append(command.Env, name+"="+value)
	}
	return command
}

// run runs a program to its end, and gives what it wrote.
func run(t *testing.T, name, argument, state string, environment map[string]string) (stdout, stderr string) {
	t.Helper()
	command := program(t, name, argument, state, environment)
	var out, failure bytes.Buffer
	command.Stdout, command.Stderr = &out, &failure
	if err := command.Run(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, failure.String())
	}
	return out.String(), failure.String()
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 500 {
		if holds() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("not in time: " + what)
}

// forgetLogged lets warnings appear again.
func forgetLogged() {
	logged.Lock()
	defer logged.Unlock()
	clear(logged.last)
}
