"""The code of our modules in one file, from which a command takes what it imports.

Python looks for a module in its directory, and reads and checks a file of ``__pycache__``: for the hundred modules of a
start that takes 5 ms. Here all are behind one index. As with ``__pycache__``, nobody has to see to it: code is only
taken while its source has the time and size that it had when it was compiled, and a command that had to import in the
usual way adds what it imported. Only commands do so; who imports the package from Python imports as ever.
"""

from __future__ import annotations

import marshal
import os
import sys
from fcntl import F_DUPFD_CLOEXEC, fcntl

TYPE_CHECKING = False  # not even pycontainer.record comes before this
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Index = dict[str, tuple[str, int, int, int, int]]
else:
    ModuleSpec = type(__spec__)  # whose own module would load half of importlib

HERE = os.path.dirname(__file__)
FILE = f"{HERE}/modules.{sys.implementation.cache_tag}"
HEADER = 16
"""The file: two numbers of 8 bytes, the size of the index and of the whole file; the index; the code of each module.
The index: name -> source, its time in nanoseconds and its size; offset of the code and its length."""


class Modules:
    """Finds our modules and loads them, for ``sys.meta_path``."""

    def __init__(self) -> None:
        """Read the index; without a file, or with a damaged one, there is nothing in it."""
        self.index: Index = {}
        self.missed: list[str] = []
        try:
            self.file = _open_high(FILE)
            head = os.read(self.file, 1 << 15)
            size, whole = int.from_bytes(head[:8], "little"), int.from_bytes(head[8:HEADER], "little")
            if whole and whole == os.fstat(self.file).st_size:
                head += os.pread(self.file, max(0, HEADER + size - len(head)), len(head))
                self.index = marshal.loads(head[HEADER : HEADER + size])
                self.start = HEADER + size
        except OSError:
            pass

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Where a module is, or None: then it is looked for in the usual way."""
        if not name.startswith("pycontainer."):
            return None
        if name not in self.index or not self._is_fresh(name):
            self.missed.append(name)
            return None
        source = f"{HERE}/{self.index[name][0]}"
        is_package = source.endswith("/__init__.py")
        spec = ModuleSpec(name, self, origin=source, is_package=is_package)  # type: ignore[arg-type]  # no Loader by name
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(os.path.dirname(source))
        return spec

    def _is_fresh(self, name: str) -> bool:
        source, time, size, _, _ = self.index[name]
        try:
            now = os.stat(f"{HERE}/{source}")
        except OSError:
            return False
        return now.st_mtime_ns == time and now.st_size == size

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """An ordinary one."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run its code."""
        place = self.index[module.__name__]
        module.__file__ = f"{HERE}/{place[0]}"
        exec(marshal.loads(self._code(place)), module.__dict__)

    def keep(self) -> None:
        """Write the file anew, with what was missing in it. If that can't be done, the next command may try."""
        from pycontainer.light import suppress  # most commands come here never

        parts = {name: (*place[:3], self._code(place)) for name, place in self.index.items()}
        parts |= {name: part for name in self.missed if (part := _compiled(name))}
        index: Index = {}
        end = 0
        for name, (source, time, size, code) in parts.items():
            index[name] = source, time, size, end, len(code)
            end += len(code)
        head = marshal.dumps(index)
        sizes = len(head).to_bytes(8, "little") + (HEADER + len(head) + end).to_bytes(8, "little")
        fresh = f"{FILE}.{os.getpid()}"
        try:
            with open(fresh, "xb") as file:
                file.write(b"".join([sizes, head, *(part[3] for part in parts.values())]))
            os.rename(fresh, FILE)
        except OSError:  # it is not ours to write, or there is no room
            with suppress(OSError):
                os.unlink(fresh)

    def _code(self, place: tuple[str, int, int, int, int]) -> bytes:
        return os.pread(self.file, place[4], self.start + place[3])


def _open_high(path: str) -> int:
    """Above the numbers that a caller may have opened for a container, and believe to have."""
    low = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return fcntl(low, F_DUPFD_CLOEXEC, 16)
    finally:
        os.close(low)


def _compiled(name: str) -> tuple[str, int, int, bytes] | None:
    """Source, time, size and code of a module that was imported in the usual way; None for one in C."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None or not spec.has_location or not spec.origin.endswith(".py"):
        return None
    seen = os.stat(spec.origin)  # before it is read: if it changes meanwhile, the time is wrong and not the code
    code = spec.loader.get_code(name)
    return os.path.relpath(spec.origin, HERE), seen.st_mtime_ns, seen.st_size, marshal.dumps(code)


_used: list[Modules] = []


def use() -> None:
    """Import from the file from now on."""
    if not sys.flags.optimize:  # that is other code
        _used.append(Modules())
        sys.meta_path.insert(0, _used[0])


def keep() -> None:
    """At the end of a command: add what it imported and the file did not have."""
    if not _used or sys.dont_write_bytecode or not any(map(_compiled, _used[0].missed)):
        return
    if os.access(HERE, os.W_OK):
        _used[0].keep()
