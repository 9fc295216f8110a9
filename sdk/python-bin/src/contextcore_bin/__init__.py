"""Where the binary of ContextCore is."""

import os
import sys
import sysconfig
from collections.abc import Iterator

# How executables begin: ELF, Mach-O (64 bits, universal), PE. A script of another project with the same name does not.
_EXECUTABLE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ")


class BinaryNotFound(FileNotFoundError):
    """The package is here and its binary is not."""


def _directories() -> Iterator[str]:
    """Where installers put the scripts of this package, the likeliest first."""
    yield sysconfig.get_path("scripts")
    # pip install --prefix / --target: LIB/python3.x/site-packages/contextcore_bin, or TARGET/contextcore_bin.
    package = os.path.dirname(os.path.abspath(__file__))
    yield os.path.join(os.path.dirname(package), "bin")
    yield os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(package)))), "bin")
    yield sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))


def _is_executable(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4).startswith(_EXECUTABLE) and os.access(path, os.X_OK)
    except OSError:
        return False


def path() -> str:
    """The absolute path of the binary.

    Raises:
        BinaryNotFound: it is nowhere it should be, or another project's script took its place.
    """
    name = "contextcore.exe" if sys.platform == "win32" else "contextcore"
    places = [os.path.join(directory, name) for directory in _directories()]
    for place in places:
        if _is_executable(place):
            return place
    raise BinaryNotFound("no binary at " + ", ".join(places) + "; reinstall contextcore-bin")
