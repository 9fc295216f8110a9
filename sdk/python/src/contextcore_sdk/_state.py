"""Directories of the spool: which state directory, and how it is opened without following links.

Everything below the state directory is opened relative to a descriptor, so that nobody can move a directory away and put
a link in its place. Where the platform has no such calls (Windows), plain paths are used.
"""

import os
import stat
from collections.abc import Iterator, Mapping

from .errors import SpoolUnavailable

_AT = os.mkdir in os.supports_dir_fd and os.open in os.supports_dir_fd
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
# Filesystems on which `flock` is not to be trusted.
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph"}


def effective_uid() -> int:
    """The user that must own what is used; 0 where there are no users."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def candidates(given: "str | os.PathLike[str] | None", environ: Mapping[str, str]) -> Iterator[str]:
    """Places for the state directory in order of preference. One that was named has no alternative."""
    named = os.fspath(given) if given else environ.get("CONTEXTCORE_STATE_DIR")
    if named:
        yield os.path.abspath(named)
        return
    # A relative one is not used, as the specification of these directories says.
    if os.path.isabs(environ.get("XDG_STATE_HOME", "")):
        yield os.path.join(environ["XDG_STATE_HOME"], "contextcore")
    home = environ.get("HOME") or os.path.expanduser("~")
    if os.path.isabs(home):
        yield os.path.join(home, ".local", "state", "contextcore")
    temporary = environ.get("TMPDIR") or environ.get("TEMP") or "/tmp"
    yield os.path.abspath(os.path.join(temporary, f"contextcore-{effective_uid()}"))


def named_project(environ: Mapping[str, str]) -> "str | None":
    """The project that `CONTEXTCORE_PROJECT`, or else the file `.contextcore/project` here or above, names."""
    if environ.get("CONTEXTCORE_PROJECT"):
        return environ["CONTEXTCORE_PROJECT"]
    try:
        above = os.getcwd()
        while True:
            try:
                with open(os.path.join(above, ".contextcore", "project"), encoding="utf-8") as file:
                    lines = (line.strip() for line in file)
                    return next((line for line in lines if line and not line.startswith("#")), None)
            except (FileNotFoundError, NotADirectoryError):
                if os.path.dirname(above) == above:
                    return None
                above = os.path.dirname(above)
    except (OSError, ValueError):
        return None


def find(given: "str | os.PathLike[str] | None", environ: Mapping[str, str]) -> str:
    """The first state directory that can be made and written.

    Raises:
        SpoolUnavailable: there is none.
    """
    refused: list[str] = []
    for path in candidates(given, environ):
        try:
            _usable(path)
        except OSError as error:
            refused.append(f"{path}: {error.strerror or error}")
        else:
            return path
    raise SpoolUnavailable("no directory for the spool can be written (" + "; ".join(refused) + ")")


def _usable(path: str) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(0, "it is a link or no directory")
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise OSError(0, "it belongs to another user")
    # The mode says little: root passes every mode and no read-only file system.
    probe = os.path.join(path, f".probe.{os.getpid()}.{os.urandom(4).hex()}")
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(probe)


class Directory:
    """An open directory; names within it are opened without following links."""

    __slots__ = ("fd", "path")

    def __init__(self, path: str, fd: "int | None" = None) -> None:
        """Opens a directory by its path, or takes over an open descriptor."""
        self.path = path
        self.fd = fd if fd is not None else (os.open(path, _DIRECTORY) if _AT else -1)

    def enter(self, name: str, durable: bool = False) -> "Directory":
        """The directory of this name, made if it is missing, so that it survives a power failure if `durable`."""
        path = os.path.join(self.path, name)
        at = self.fd if _AT else None
        try:
            os.mkdir(name if _AT else path, 0o700, dir_fd=at)
            if durable:
                self.sync()
        except FileExistsError:
            pass
        if not _AT:
            return Directory(path)
        fd = os.open(name, _DIRECTORY, dir_fd=at)
        if os.fstat(fd).st_uid != effective_uid():
            os.close(fd)
            raise OSError(0, f"{path} belongs to another user")
        return Directory(path, fd)

    def open(self, name: str, flags: int) -> int:
        """Opens a file here, mode 0600, never through a link."""
        flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        if _AT:
            return os.open(name, flags, 0o600, dir_fd=self.fd)
        return os.open(os.path.join(self.path, name), flags, 0o600)

    def rename(self, old: str, new: str) -> None:
        """Renames a file within this directory."""
        if _AT:
            os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        else:
            os.rename(os.path.join(self.path, old), os.path.join(self.path, new))

    def unlink(self, name: str) -> None:
        """Removes a file of this directory, if it is there."""
        try:
            if _AT:
                os.unlink(name, dir_fd=self.fd)
            else:
                os.unlink(os.path.join(self.path, name))
        except FileNotFoundError:
            pass

    def sync(self) -> None:
        """Makes the names in this directory durable."""
        if self.fd >= 0:
            os.fsync(self.fd)

    def close(self) -> None:
        """Closes the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def on_network(path: str, mounts: str = "/proc/self/mountinfo") -> bool:
    """Whether a path lies on a file system whose locks other machines do not see."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as table:
            rows = [line.split() for line in table]
    except OSError:
        return False
    path = os.path.realpath(path)
    best, kind = "", ""
    for row in rows:
        point = row[4].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best) and "-" in row:
            best, kind = point, row[row.index("-") + 1]
    return kind in _NETWORK
