package contextcore

// Directories of the spool: which state directory, made private and without following links.

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	capBytes         = 1 << 30
	newFile          = os.O_WRONLY | os.O_APPEND | os.O_CREATE | os.O_EXCL | noFollow
	longestDirectory = 200
)

// directoryName is the directory of a project: percent-encoded, or a hash where that would be too long for a file name.
func directoryName(project string) string {
	var name strings.Builder
	for index := range len(project) {
		c := project[index]
		isKept := (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strings.IndexByte("-._~", c) >= 0
		if isKept && (index > 0 || c != '.') {
			name.WriteByte(c)
		} else {
			fmt.Fprintf(&name, "%%%02X", c)
		}
	}
	if name.Len() > longestDirectory {
		return "%" + digest("project", project)[:32]
	}
	return name.String()
}

// candidates are places for the state directory in order of preference. One that was named has no alternative.
func candidates(given string, env environment) []string {
	if named := cmp.Or(given, env("CONTEXTCORE_STATE_DIR")); named != "" {
		if absolute, err := filepath.Abs(named); err == nil {
			named = absolute
		}
		return []string{named}
	}
	var found []string
	// A relative one is not used, as the specification of these directories says.
	if state := env("XDG_STATE_HOME"); filepath.IsAbs(state) {
		found = append(found, filepath.Join(state, "contextcore"))
	}
	home := env("HOME")
	if home == "" {
		home, _ = os.UserHomeDir()
	}
	if filepath.IsAbs(home) {
		found = append(found, filepath.Join(home, ".local", "state", "contextcore"))
	}
	temporary := filepath.Join(os.TempDir(), fmt.Sprintf("contextcore-%d", os.Geteuid()))
	if absolute, err := filepath.Abs(temporary); err == nil {
		temporary = absolute
	}
	return append(found, temporary)
}

// namedProject is the project that CONTEXTCORE_PROJECT, or else the file `.contextcore/project` here or above, names.
func namedProject(env environment) string {
	if named := env("CONTEXTCORE_PROJECT"); named != "" {
		return named
	}
	above, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		text, err := os.ReadFile(filepath.Join(above, ".contextcore", "project"))
		if err == nil {
			return firstLine(string(text))
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(above) == above {
			return ""
		}
		above = filepath.Dir(above)
	}
}

func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}

// enter makes a directory if it is missing, so that it survives a power failure if `durable`; it refuses links and directories of other
// users.
func enter(path string, durable bool) error {
	err := os.Mkdir(path, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err == nil && durable {
		if err := syncDirectory(filepath.Dir(path)); err != nil {
			return err
		}
	}
	found, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !found.IsDir() {
		return fmt.Errorf("%s is a link or no directory", path)
	}
	if !isOwn(found) {
		return fmt.Errorf("%s belongs to another user", path)
	}
	return nil
}

// findState is the first state directory that can be made and written.
func findState(given string, env environment) (string, error) {
	var refused []string
	for _, path := range candidates(given, env) {
		err := tryState(path)
		if err == nil {
			return path, nil
		}
		refused = append(refused, fmt.Sprintf("%s: %v", path, err))
	}
	return "", fmt.Errorf("no directory for the spool can be written (%s)", strings.Join(refused, "; "))
}

func tryState(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := enter(path, false); err != nil {
		return err
	}
	probe := filepath.Join(path, temporaryName("probe"))
	file, err := os.OpenFile(probe, newFile, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(probe))
}

func randomHex(bytes int) string {
	random := make([]byte, bytes)
	// It never fails: a system without random numbers ends the program.
	_, _ = rand.Read(random)
	return hex.EncodeToString(random)
}

func temporaryName(name string) string {
	return fmt.Sprintf(".%s.%d.%s.tmp", name, os.Getpid(), randomHex(4))
}

// syncDirectory makes the names in a directory durable.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(syncFile(directory), directory.Close())
}

// replaceFile writes a file under another name, makes it durable, and renames it: nobody meets an empty one.
func replaceFile(directory, name string, text []byte) error {
	temporary := filepath.Join(directory, temporaryName(name))
	file, err := os.OpenFile(temporary, newFile, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(temporary, filepath.Join(directory, name))
	}
	if err != nil {
		_ = os.Remove(temporary)
	}
	return err
}

// isDescribed says whether a `lane.json` says where its lane goes.
func isDescribed(path string) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	var about map[string]any
	if json.Unmarshal(text, &about) != nil {
		return false
	}
	for _, name := range []string{"v", "endpoint", "protocol", "credentials"} {
		if _, ok := about[name]; !ok {
			return false
		}
	}
	return true
}

// describe writes `lane.json` where it is missing or cannot be read.
func describe(lane string, to *destination) error {
	if to == nil || isDescribed(filepath.Join(lane, "lane.json")) {
		return nil
	}
	if err := replaceFile(lane, "lane.json", append(appendObject(nil, to.about()), '\n')); err != nil {
		return err
	}
	return syncDirectory(lane)
}

// makeRoom keeps a lane under its limit: what was taken goes first, then new calls are refused.
func makeRoom(spool string) error {
	type taken struct {
		path string
		size int64
		at   time.Time
	}
	var total int64
	var done []taken
	projects, err := os.ReadDir(spool)
	if err != nil {
		return err
	}
	for _, project := range projects {
		// What another process removes meanwhile is missing here, and takes no room.
		entries, _ := os.ReadDir(filepath.Join(spool, project.Name()))
		for _, entry := range entries {
			found, err := entry.Info()
			if err != nil {
				continue
			}
			total += found.Size()
			if strings.HasSuffix(entry.Name(), ".done") {
				done = append(done, taken{filepath.Join(spool, project.Name(), entry.Name()), found.Size(), found.ModTime()})
			}
		}
	}
	slices.SortFunc(done, func(one, other taken) int { return one.at.Compare(other.at) })
	for _, each := range done {
		if total <= capBytes {
			break
		}
		_ = os.Remove(each.path)
		total -= each.size
	}
	if total > capBytes {
		return fmt.Errorf("the spool holds %d MiB that nobody has taken; is `contextcore drain` running?", total>>20)
	}
	return nil
}
