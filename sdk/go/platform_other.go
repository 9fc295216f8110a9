//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package contextcore

// Where there are no locks on files, the SDK writes the spool only: each line is a file of its own.

import (
	"io/fs"
	"os"
	"os/exec"
)

const noFollow = 0

type lockState int

const (
	locked lockState = iota
	held
	unknown
)

func lockFile(*os.File, bool) lockState { return unknown }
func isOwn(fs.FileInfo) bool            { return true }
func isUnlinked(*os.File) bool          { return false }

// Not every system opens directories to sync them.
func syncFile(file *os.File) error {
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil
	}
	return file.Sync()
}

func detach(*exec.Cmd) {}
