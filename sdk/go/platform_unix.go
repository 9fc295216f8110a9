//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package contextcore

// What the SDK asks of the system where there are locks on files.

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

const noFollow = syscall.O_NOFOLLOW

// lockState is what came of locking a file.
type lockState int

const (
	locked lockState = iota
	// held by somebody else.
	held
	// unknown: the system, or the file system, has no locks.
	unknown
)

// lockFile locks an open file, for as long as it is open, without waiting.
func lockFile(file *os.File, exclusive bool) lockState {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	for {
		switch err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB); {
		case err == nil:
			return locked
		case errors.Is(err, syscall.EWOULDBLOCK):
			return held
		case !errors.Is(err, syscall.EINTR):
			return unknown
		}
	}
}

func isOwn(info fs.FileInfo) bool {
	found, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(found.Uid) == os.Geteuid()
}

// isUnlinked says whether a file has no name any more, so that what is written to it would be lost.
func isUnlinked(file *os.File) bool {
	var found syscall.Stat_t
	return syscall.Fstat(int(file.Fd()), &found) == nil && found.Nlink == 0
}

func syncFile(file *os.File) error { return file.Sync() }

// More files than these are closed by nobody who starts a program.
const mostFiles = 4_096

// detach starts a program in a session of its own, so that it does not end with this one's terminal, and without a file of this one:
// whoever started this process may wait until nobody has a pipe of theirs.
func detach(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	highest := 2
	// Go's own files are closed anyway.
	entries, _ := os.ReadDir("/dev/fd")
	for _, entry := range entries {
		if number, err := strconv.Atoi(entry.Name()); err == nil {
			highest = max(highest, min(number, mostFiles))
		}
	}
	// What is nil here is closed there.
	command.ExtraFiles = make([]*os.File, highest-2)
}
