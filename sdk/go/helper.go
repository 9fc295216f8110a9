package contextcore

// The helper, `contextcore drain`: whether it runs, how it is started and asked. PATH is never searched: another project owns the command
// name. The binary is named by CONTEXTCORE_BIN.

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// How often a process looks whether the helper runs, and how long it waits after it started one that does not stay.
	lookPeriod = time.Second
	backoff    = time.Minute
	// How long a helper may need until it holds the lane.
	startPeriod   = 2 * time.Second
	headersPeriod = 500 * time.Millisecond
	askPeriod     = 50 * time.Millisecond
	headersName   = "OTEL_EXPORTER_OTLP_HEADERS"
)

// helper is what a process knows of the helper of a lane.
type helper struct {
	mutex   sync.Mutex
	look    time.Time
	started time.Time
	tries   int
	// Whether the lane is on a file system of other machines; unknown before the first look.
	network *bool
	// The helper that got the headers, by its socket.
	delivered fs.FileInfo
}

var passedOn = regexp.MustCompile(
	`^(?:(?:PATH|HOME|TMPDIR|TZ|LANG|XDG_STATE_HOME|SSL_CERT_FILE|SSL_CERT_DIR|https?_proxy|no_proxy|HTTPS?_PROXY|NO_PROXY)=|OTEL_|CONTEXTCORE_)`)

// Variables whose values are paths: the helper works in another directory.
var paths = regexp.MustCompile(
	`^(?:CONTEXTCORE_(?:CONFIG|STATE_DIR|BIN)|HOME|TMPDIR|SSL_CERT_(?:FILE|DIR)|OTEL_EXPORTER_OTLP_(?:(?:TRACES|LOGS|METRICS)_)?(?:CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE))$`)

// helperEnvironment is what the helper needs of the environment, and nothing else of the program's; files by their whole paths.
func helperEnvironment(of []string, to *destination) []string {
	kept := slices.DeleteFunc(slices.Clone(of), func(each string) bool { return !passedOn.MatchString(each) })
	kept = slices.DeleteFunc(kept, func(each string) bool {
		state, found := strings.CutPrefix(each, "XDG_STATE_HOME=")
		return found && !filepath.IsAbs(state)
	})
	for index, each := range kept {
		name, value, _ := strings.Cut(each, "=")
		isList := name == "SSL_CERT_DIR" && strings.ContainsRune(value, filepath.ListSeparator)
		if strings.TrimSpace(value) == "" || isList || !paths.MatchString(name) {
			continue
		}
		if absolute, err := filepath.Abs(value); err == nil {
			kept[index] = name + "=" + absolute
		}
	}
	if to == nil || len(to.headers) == 0 {
		return kept
	}
	// Those of the caller and of the environment together: the helper finds the lane by them.
	pairs := []string{}
	for _, name := range slices.Sorted(maps.Keys(to.headers)) {
		pairs = append(pairs, name+"="+strings.ReplaceAll(url.QueryEscape(to.headers[name]), "+", "%20"))
	}
	kept = slices.DeleteFunc(kept, func(each string) bool { return strings.HasPrefix(each, headersName+"=") })
	return append(kept, headersName+"="+strings.Join(pairs, ","))
}

// isTest says whether this is a test binary: it starts no helper.
var isTest = func() bool { return flag.Lookup("test.v") != nil }

// start starts the helper detached, for all lanes. It leaves this process by itself, so nothing is waited for.
func (s *spool) start(state string) bool {
	program := os.Getenv("CONTEXTCORE_BIN")
	if program == "" {
		s.log.once("no binary", fmt.Sprintf("CONTEXTCORE_BIN does not name the binary of ContextCore, so what is reported stays in the spool; `contextcore drain --state %s` sends it", state))
		return false
	}
	if absolute, err := filepath.Abs(program); err == nil {
		program = absolute
	}
	command := exec.Command(program, "drain", "--state", state, "--detach")
	command.Dir, command.Env = "/", helperEnvironment(os.Environ(), s.destination)
	detach(command)
	if err := command.Start(); err != nil {
		s.log.once("start", fmt.Sprintf("the helper %s could not be started: %v; `contextcore drain` sends what is in the spool", program, err))
		return false
	}
	// What was started ends at once, and is collected.
	go func() { _ = command.Wait() }()
	return true
}

// isDrained says whether something holds the lane: a helper or the service.
func isDrained(lane string) bool {
	file, err := os.OpenFile(filepath.Join(lane, "engine.lock"), os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return true
	}
	defer file.Close()
	return lockFile(file, false) != locked
}

// ensure starts the helper if nobody drains the lane; it looks at most once a second, or `now`. False when nobody can be started.
func (s *spool) ensure(now bool) bool {
	if !s.helper.mutex.TryLock() {
		// Another goroutine is looking.
		return true
	}
	defer s.helper.mutex.Unlock()
	helper, moment := &s.helper, time.Now()
	mayHoldItSoon := !helper.started.IsZero() && moment.Sub(helper.started) < startPeriod
	if moment.Before(helper.look) && (!now || mayHoldItSoon) {
		return true
	}
	helper.look = moment.Add(lookPeriod)
	lane := s.path()
	state := filepath.Dir(filepath.Dir(lane))
	if !s.mayDrain(lane, state) {
		return false
	}
	if isDrained(lane) {
		helper.tries = 0
		if s.destination != nil && len(s.destination.headers) > 0 {
			// A call does not wait for the answer.
			go s.deliverHeaders()
		}
		return true
	}
	helper.look = moment.Add(min(lookPeriod<<helper.tries, backoff))
	helper.started, helper.tries = moment, min(helper.tries+1, 10)
	return s.start(state)
}

// mayDrain says whether lines of this spool can be sent from this machine.
func (s *spool) mayDrain(lane, state string) bool {
	if filepath.Base(lane) == nowhere {
		s.log.once("nowhere "+s.project, fmt.Sprintf("no OTLP endpoint is known for project %s, so what is reported stays in %s; set OTEL_EXPORTER_OTLP_ENDPOINT, or run `contextcore drain --state %s --endpoint URL`", s.project, lane, state))
		return false
	}
	if s.helper.network == nil {
		found := isOnNetwork(state, "/proc/self/mountinfo")
		s.helper.network = &found
	}
	if *s.helper.network {
		s.log.once("network "+state, state+" is on a network file system, whose locks are not safe: no helper is started; set CONTEXTCORE_STATE_DIR to a local directory, or run `contextcore drain` on one machine")
	}
	return !*s.helper.network
}

var networkSystems = []string{"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph"}

// isOnNetwork says whether a path lies on a file system whose locks other machines do not see.
func isOnNetwork(path, mounts string) bool {
	text, err := os.ReadFile(mounts)
	if err != nil {
		return false
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	best, kind := "", ""
	for row := range strings.Lines(string(text)) {
		fields := strings.Fields(row)
		dash := slices.Index(fields, "-")
		if dash < 5 || dash+1 >= len(fields) {
			continue
		}
		point := strings.ReplaceAll(fields[4], `\040`, " ")
		inside := path == point || strings.HasPrefix(path, strings.TrimRight(point, "/")+"/")
		if inside && len(point) >= len(best) {
			best, kind = point, fields[dash+1]
		}
	}
	return slices.Contains(networkSystems, kind)
}

// deliverHeaders gives the helper the headers that its backend needs, once to each that listens; they are in no file.
func (s *spool) deliverHeaders() {
	if s.destination == nil || len(s.destination.headers) == 0 {
		return
	}
	lane := s.path()
	listener := listenerOf(lane)
	s.helper.mutex.Lock()
	known := s.helper.delivered
	isKnown := listener == nil || (known != nil && os.SameFile(known, listener) && known.ModTime().Equal(listener.ModTime()))
	s.helper.mutex.Unlock()
	if isKnown {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), headersPeriod)
	defer cancel()
	request, err := json.Marshal(map[string]any{"v": 1, "cmd": "headers", "headers": s.destination.headers})
	if err == nil {
		_, err = ask(ctx, lane, request)
	}
	if err != nil {
		return
	}
	s.helper.mutex.Lock()
	s.helper.delivered = listener
	s.helper.mutex.Unlock()
}

// listenerOf is the socket of the helper that listens now: each makes its own anew.
func listenerOf(lane string) fs.FileInfo {
	found, err := os.Lstat(filepath.Join(lane, "engine.sock"))
	if err != nil || found.Mode()&fs.ModeSocket == 0 {
		return nil
	}
	return found
}

// waitForHelper waits until the backend has accepted what this process wrote.
func (s *spool) waitForHelper(ctx context.Context) error {
	for {
		if !s.ensure(true) {
			return errors.New("nobody sends it")
		}
		s.deliverHeaders()
		accepted, err := s.askFlush(ctx)
		if accepted {
			return nil
		}
		timer := time.NewTimer(askPeriod)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		case <-timer.C:
		}
	}
}

// notSent is why the backend has not accepted everything, as the helper says.
type notSent struct{ reason, log string }

func (n *notSent) Error() string { return n.reason + "; " + n.log + " has more" }

func (s *spool) askFlush(ctx context.Context) (bool, error) {
	left := time.Duration(0)
	if deadline, ok := ctx.Deadline(); ok {
		left = max(time.Until(deadline), 0)
	}
	// The helper says by itself when the time is over; it has a second for that.
	waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), left+time.Second)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})
	defer stop()
	request, err := json.Marshal(map[string]any{"v": 1, "cmd": "flush", "writers": s.positions(), "timeout_ms": left.Milliseconds()})
	if err != nil {
		return false, err
	}
	answer, err := ask(waiting, s.path(), request)
	var found struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	if err == nil {
		err = json.Unmarshal(answer, &found)
	}
	if err == nil && !found.OK && found.Error != "" {
		err = &notSent{reason: first(plain(found.Error), 500), log: filepath.Join(filepath.Dir(filepath.Dir(s.path())), "drain.log")}
	}
	return found.OK, err
}
