package contextcore

// How far a lane was posted: `posted.json`, as `contextcore drain --to` writes it, and the lines that follow.

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"time"
)

const postedFile = "posted.json"

// postedLane is the directory of a destination, while it is held as a helper holds it.
type postedLane struct {
	path string
	lock *os.File
	// With fields that this program does not know.
	cursor map[string]any
	// Writers whose lines the service does not take now. They keep no other waiting.
	withheld map[string]bool
}

// withholds says whether the service does not take lines of one of these writers.
func (l *postedLane) withholds(writers map[string]uint64) bool {
	for writer := range writers {
		if l.withheld[writer] {
			return true
		}
	}
	return false
}

// place is how far a writer was posted: `segment`, `offset` and `seq`, and what this program does not know.
type place map[string]any

func (p place) number(name string) int64 {
	number, _ := p[name].(json.Number)
	found, _ := number.Int64()
	return found
}

func (p place) set(name string, number int64) { p[name] = json.Number(strconv.FormatInt(number, 10)) }

type postedLine struct {
	header, line []byte
	writer       string
	number       int64
	// Where its writer stands if it is not taken.
	before place
	// It is stored, or can never be.
	settled bool
	// The service does not take it now.
	withheld bool
}

type batch struct {
	lines  []*postedLine
	places map[string]place
	size   int
}

// take locks the lane. An error says that another process has it until the context ends.
func (l *postedLane) take(ctx context.Context) error {
	file, err := os.OpenFile(filepath.Join(l.path, "engine.lock"), os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return err
	}
	l.lock, l.withheld = file, map[string]bool{}
	for lockFile(file, true) == held {
		if !sleep(ctx, 20*time.Millisecond) {
			return errors.New("another process is sending it")
		}
	}
	l.cursor = map[string]any{}
	if text, err := os.ReadFile(filepath.Join(l.path, postedFile)); err == nil {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if decoder.Decode(&l.cursor) != nil || l.cursor == nil {
			l.cursor = map[string]any{}
		}
	}
	return nil
}

func (l *postedLane) release() {
	if l.lock != nil {
		_ = l.lock.Close()
	}
}

func (l *postedLane) places() map[string]place {
	found := map[string]place{}
	writers, _ := l.cursor["writers"].(map[string]any)
	for writer, each := range writers {
		if known, ok := each.(map[string]any); ok {
			found[writer] = maps.Clone(place(known))
		}
	}
	return found
}

type postedSegment struct {
	writer string
	number int64
	path   string
	// No other one of its writer follows.
	last bool
}

var segmentNames = regexp.MustCompile(`^([0-9a-f]{32})\.([0-9]{1,18})\.jsonl$`)

// segments are those of the lane by writer and number, at this moment: processes begin and end beside it.
func (l *postedLane) segments() ([]postedSegment, error) {
	var found []postedSegment
	err := filepath.WalkDir(filepath.Join(l.path, "spool"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if match := segmentNames.FindStringSubmatch(entry.Name()); match != nil && entry.Type().IsRegular() {
			number, _ := strconv.ParseInt(match[2], 10, 64)
			found = append(found, postedSegment{writer: match[1], number: number, path: path})
		}
		return nil
	})
	slices.SortFunc(found, func(one, other postedSegment) int {
		return cmp.Or(cmp.Compare(one.writer, other.writer), cmp.Compare(one.number, other.number))
	})
	for index := range found {
		found[index].last = index+1 == len(found) || found[index+1].writer != found[index].writer
	}
	return found, err
}

// nextBatch has the whole lines that follow, in one body.
func (l *postedLane) nextBatch() (*batch, error) {
	found := &batch{places: l.places()}
	segments, err := l.segments()
	if err != nil {
		return nil, err
	}
	for _, segment := range segments {
		if l.withheld[segment.writer] {
			continue
		}
		at := found.places[segment.writer]
		if at == nil {
			at = place{}
			at.set("segment", segment.number)
			at.set("offset", 0)
			at.set("seq", 0)
			found.places[segment.writer] = at
		}
		if segment.number < at.number("segment") || at["ended"] == true {
			continue
		}
		if segment.number > at.number("segment") {
			at.set("segment", segment.number)
			at.set("offset", 0)
		}
		if !found.read(segment, at) {
			break
		}
	}
	return found, nil
}

// read reads on in a segment. False if the body is full.
func (b *batch) read(segment postedSegment, at place) bool {
	data, err := os.ReadFile(segment.path)
	headerEnd := int64(bytes.IndexByte(data, '\n') + 1)
	if err != nil || headerEnd == 0 {
		// Somebody removed it meanwhile, or its header is not whole.
		return true
	}
	header := bytes.TrimSpace(data[:headerEnd])
	at.set("offset", max(at.number("offset"), headerEnd))
	for offset := at.number("offset"); offset < int64(len(data)); {
		end, isWhole := int64(len(data)), false
		if length := bytes.IndexByte(data[offset:], '\n'); length >= 0 {
			end, isWhole = offset+int64(length)+1, true
		}
		line := bytes.TrimSpace(data[offset:end])
		number := numberOf(line)
		if !isWhole && (number == 0 || (segment.last && !isDead(segment.path))) {
			// There is more to come. Where only its end is missing, the next line would have brought that.
			return true
		}
		size := len(line) + len(header) + 2
		if b.size+size > bodyBytes && len(b.lines) > 0 {
			return false
		}
		before := maps.Clone(at)
		offset = end
		at.set("offset", offset)
		if number > 0 {
			at.set("seq", max(at.number("seq"), number))
			b.lines = append(b.lines, &postedLine{header: header, line: line, writer: segment.writer, number: number, before: before})
			b.size += size
		}
	}
	return true
}

// numberOf is the number of a line; 0 if it is no operation.
func numberOf(line []byte) int64 {
	var found struct {
		Op  any   `json:"op"`
		Seq int64 `json:"seq"`
	}
	if json.Unmarshal(line, &found) != nil || found.Op == nil {
		return 0
	}
	return found.Seq
}

// store makes it durable how far the lane was posted, before anything behind it is removed.
func (l *postedLane) store(batch *batch) error {
	// Each writer is behind its lines up to the first that is not settled.
	for _, line := range slices.Backward(batch.lines) {
		if !line.settled {
			batch.places[line.writer] = line.before
		}
		if line.withheld {
			l.withheld[line.writer] = true
		}
	}
	if reflect.DeepEqual(batch.places, l.places()) {
		return nil
	}
	writers := map[string]any{}
	for writer, each := range batch.places {
		writers[writer] = map[string]any(each)
	}
	l.cursor["writers"] = writers
	text, err := json.Marshal(l.cursor)
	if err != nil {
		return fmt.Errorf("%s: %w", postedFile, err)
	}
	return replaceFile(l.path, postedFile, text)
}

// removePosted removes the segments that were posted whole and are not written any more.
func (l *postedLane) removePosted() {
	places := l.places()
	segments, _ := l.segments()
	for _, segment := range segments {
		at := places[segment.writer]
		if at == nil || segment.number > at.number("segment") || (segment.last && !isDead(segment.path)) {
			continue
		}
		info, err := os.Stat(segment.path)
		if err == nil && (segment.number < at.number("segment") || at.number("offset") >= info.Size()) {
			_ = os.Remove(segment.path)
		}
	}
}

// isDead says whether nobody writes a segment any more: its writer holds a lock for life, or wrote the file at once.
func isDead(path string) bool {
	file, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	return !isUnlinked(file) && lockFile(file, false) != held
}
