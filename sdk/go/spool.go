package contextcore

// The spool: one file a process, one line a call, one write a line. docs/SPOOL.md is the format. A call that returned has written its
// line, so a killed process loses nothing.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	segmentBytes = 8 << 20
	pause        = time.Second
)

// writer has one file at a time, held with a lock for life: whoever obtains the lock knows that the writer is dead.
type writer struct {
	id     string
	header []byte
	number int
	// Without locks each line is a file of its own.
	alone bool
	file  *os.File
	path  string
	size  int
	// The last write ended a line.
	clean bool
	seq   uint64
	// The last number that is in the file.
	written uint64
	// Files before this one that were not made durable.
	unsynced []string
}

func newWriter(directory, project string) (*writer, error) {
	w := &writer{id: randomHex(16)}
	host, _ := os.Hostname()
	header := object{
		{"v", int64(1)}, {"writer", w.id}, {"project", project}, {"lang", "go"}, {"sdk", Version}, {"host", host},
		{"pid", int64(os.Getpid())},
	}
	if given := resource(os.Getenv); len(given) > 0 {
		header = append(header, field{"resource", given})
	}
	w.header = append(appendObject(nil, header), '\n')
	return w, w.nextSegment(directory)
}

func (w *writer) names(directory string) (temporary, name string) {
	base := w.id + "." + strconv.Itoa(w.number+1)
	return filepath.Join(directory, "."+base+".tmp"), filepath.Join(directory, base+".jsonl")
}

// nextSegment opens another file with the header as its first line, and leaves the one before.
func (w *writer) nextSegment(directory string) error {
	temporary, name := w.names(directory)
	file, err := os.OpenFile(temporary, newFile, 0o600)
	if err != nil {
		return err
	}
	if lockFile(file, true) != locked {
		w.alone = true
		return errors.Join(file.Close(), os.Remove(temporary))
	}
	if _, err = file.Write(w.header); err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, file.Close(), os.Remove(temporary))
	}
	if w.file != nil {
		w.unsynced = append(w.unsynced, w.path)
		w.close()
	}
	w.file, w.path, w.number, w.clean, w.size = file, name, w.number+1, true, len(w.header)
	return nil
}

// write appends a line. An error says that it is not in the file.
func (w *writer) write(line []byte, directory string) error {
	if w.alone {
		return w.writeAlone(line, directory)
	}
	if !w.clean {
		line = append([]byte{'\n'}, line...)
	}
	// After a short write it tries the rest, and says how much of all is there.
	count, err := w.file.Write(line)
	w.size += count
	switch {
	case err == nil, count == len(line)-1:
		// All is there, or all but its end: the next write begins with one.
		w.clean = err == nil
		return nil
	case count > 0:
		w.clean = false
	}
	return err
}

// writeAlone writes a line as a file of its own, complete when it gets its name.
func (w *writer) writeAlone(line []byte, directory string) error {
	temporary, name := w.names(directory)
	file, err := os.OpenFile(temporary, newFile, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(append([]byte{}, w.header...), line...))
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	w.number++
	w.unsynced = append(w.unsynced, name)
	return nil
}

// isReady says whether there is a file with room.
func (w *writer) isReady(need int) bool {
	return w.alone || (w.file != nil && w.size+need <= segmentBytes)
}

func (w *writer) close() {
	if w.file != nil {
		_ = w.file.Close()
		w.file = nil
	}
}

// spool has the lines of one project for one destination.
type spool struct {
	// Of options; empty for the environment's.
	given       string
	destination *destination
	project     string
	log         logger
	// Some client wants a helper to be started.
	drains atomic.Bool
	helper helper

	mutex       sync.Mutex
	state       string
	lane        string
	directory   string
	writer      *writer
	last        time.Time
	checked     time.Time
	pausedUntil time.Time
	clients     map[*client]bool
}

// path is the directory of the lane. It is known once something was written.
func (s *spool) path() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return filepath.Join(s.state, "lanes", s.lane)
}

// append writes one operation; `rest` is its JSON after `{"v":1,"seq":…,"t":…,`.
func (s *spool) append(rest []byte) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	now := time.Now()
	writer, err := s.ready(now, len(rest)+headBytes)
	if err == nil {
		// Never earlier than the line before, also when the clock is set back.
		if now = now.Round(0).UTC(); now.After(s.last) {
			s.last = now
		}
		// A number is never used twice, also if the write fails half way.
		writer.seq++
		line := make([]byte, 0, len(rest)+headBytes)
		line = append(line, `{"v":1,"seq":`...)
		line = strconv.AppendUint(line, writer.seq, 10)
		line = append(line, `,"t":"`...)
		line = s.last.AppendFormat(line, millisecondForm)
		line = append(append(append(line, `",`...), rest...), '\n')
		err = writer.write(line, s.directory)
	}
	if err != nil {
		s.pausedUntil = time.Now().Add(pause)
		return fmt.Errorf("%w: %w", ErrSpoolUnavailable, err)
	}
	writer.written = writer.seq
	return nil
}

// ready gives a writer that has room for so many bytes.
func (s *spool) ready(now time.Time, need int) (*writer, error) {
	if now.Sub(s.checked) > pause {
		s.checked = now
		if s.writer != nil && s.writer.file != nil && isUnlinked(s.writer.file) {
			s.writer.close()
			s.writer, s.directory = nil, ""
		}
	}
	if s.writer != nil && s.writer.isReady(need) {
		return s.writer, nil
	}
	if s.writer == nil && now.Before(s.pausedUntil) {
		return nil, errors.New("it could not be written a moment ago")
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	if s.writer != nil && s.writer.file != nil {
		return s.writer, s.writer.nextSegment(s.directory)
	}
	made, err := newWriter(s.directory, s.project)
	if err == nil {
		s.writer = made
	}
	return made, err
}

// open makes the directories.
func (s *spool) open() error {
	if s.directory == "" {
		state, err := findState(s.given, os.Getenv)
		if err != nil {
			return err
		}
		s.state = state
		if s.lane == "" {
			s.lane = onlyLane(state, directoryName(s.project))
		}
		durable := s.destination != nil
		lane := filepath.Join(state, "lanes", s.lane)
		directory := filepath.Join(lane, "spool", directoryName(s.project))
		err = enter(filepath.Dir(lane), durable)
		if err == nil {
			err = enter(lane, durable)
		}
		if err == nil {
			err = describe(lane, s.destination)
		}
		if err == nil {
			err = enter(filepath.Dir(directory), false)
		}
		if err == nil {
			err = enter(directory, false)
		}
		if err != nil {
			return err
		}
		s.directory = directory
	}
	return makeRoom(filepath.Dir(s.directory))
}

// positions are the last number of the writer of this process; empty if it wrote nothing.
func (s *spool) positions() map[string]uint64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.writer == nil || s.writer.written == 0 {
		return nil
	}
	return map[string]uint64{s.writer.id: s.writer.written}
}

// sync makes what was written durable. It opens the files anew, so that other calls do not wait for the disk.
func (s *spool) sync() error {
	s.mutex.Lock()
	if s.writer == nil || s.directory == "" {
		s.mutex.Unlock()
		return nil
	}
	paths, directory := s.writer.unsynced, s.directory
	s.writer.unsynced = nil
	if s.writer.file != nil {
		paths = append(paths, s.writer.path)
	}
	s.mutex.Unlock()
	var failed error
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			// Somebody has drained it, and made it durable for that.
			continue
		}
		failed = errors.Join(failed, file.Sync(), file.Close())
	}
	return errors.Join(failed, syncDirectory(directory))
}

// release says that a client is closed; the file is closed with the last one.
func (s *spool) release(of *client) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.clients, of)
	if len(s.clients) == 0 && s.writer != nil {
		s.writer.close()
	}
}

var spools = struct {
	sync.Mutex
	known map[spoolKey]*spool
}{known: map[spoolKey]*spool{}}

type spoolKey struct{ where, state, home, lane, project string }

// spoolFor is the spool of this process for a project and a destination: all clients share it, so that their calls are in order.
func spoolFor(of *client, project string) *spool {
	where := of.stateDir
	if where == "" {
		where = os.Getenv("CONTEXTCORE_STATE_DIR")
	}
	lane := ""
	if of.destination != nil {
		lane = of.destination.lane()
	}
	key := spoolKey{where, os.Getenv("XDG_STATE_HOME"), os.Getenv("HOME"), lane, project}
	spools.Lock()
	defer spools.Unlock()
	found := spools.known[key]
	if found == nil {
		found = &spool{
			given: of.stateDir, destination: of.destination, project: project, log: of.log, lane: lane, clients: map[*client]bool{},
		}
		spools.known[key] = found
	}
	found.mutex.Lock()
	defer found.mutex.Unlock()
	found.clients[of] = true
	return found
}
