package contextcore

// Warnings: each once in a process, errors of the disk at most once a minute.

import (
	"log/slog"
	"sync"
	"time"
)

const (
	logPeriod = time.Minute
	// More different messages than this are noise.
	mostLogged = 1_000
)

var logged = struct {
	sync.Mutex
	last map[string]time.Time
}{last: map[string]time.Time{}}

// logger is where a client's warnings go; nil is slog's default.
type logger struct{ to *slog.Logger }

func (l logger) warn(message string) {
	// A handler of the program that fails must not break the program that reports a task.
	defer func() { _ = recover() }()
	to := l.to
	if to == nil {
		to = slog.Default()
	}
	to.Warn("contextcore: " + message)
}

// once warns the first time this key is seen in the process.
func (l logger) once(key, message string) {
	if isDue("once "+key, 0) {
		l.warn(message)
	}
}

// limited warns at most once a minute for this key.
func (l logger) limited(key, message string) {
	if isDue("limited "+key, logPeriod) {
		l.warn(message)
	}
}

// isDue says whether a key was not logged within a period, or ever where there is none.
func isDue(key string, period time.Duration) bool {
	logged.Lock()
	defer logged.Unlock()
	last, isKnown := logged.last[key]
	if (isKnown && (period == 0 || time.Since(last) < period)) || (!isKnown && len(logged.last) >= mostLogged) {
		return false
	}
	logged.last[key] = time.Now()
	return true
}
