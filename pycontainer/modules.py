"""The code of our modules in one file, from which a command takes what it imports.

Python looks for a module in its directory, and reads and checks a file of ``__pycache__``: for the hundred modules of a
start that takes 5 ms. Here all are behind one index. As with ``__pycache__``, nobody has to see to it: code is only
taken while its source has the time and size that it had when it was compiled, and a command that had to import in the
usual way adds what it imported. Only commands do so; who imports the package from Python imports as ever.

With a module's code is what it imports at its top. That is done here, before the code runs: searching, locking and
describing, one module at a time, takes importlib longer than running their code, and ``from`` a module that is there
longer than looking its names up.
"""

import marshal
import os
import sys
from _thread import _count as other_threads
from fcntl import F_DUPFD_CLOEXEC, fcntl

TYPE_CHECKING = False  # not even pycontainer.record comes before this, nor does __future__, which is a file to be read
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

    Imports = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    Part = tuple[str, int, int, Imports, CodeType]
else:
    ModuleSpec, ModuleType = type(__spec__), type(sys)  # whose own modules would load half of importlib

HERE = os.path.dirname(__file__)
FILE = f"{HERE}/modules.{sys.implementation.cache_tag}"
FORMAT, HEADER = 4, 24
"""The file: numbers of 8 bytes, the size of the index, that of the whole file, and FORMAT; the index; a part for each.
The index: name -> offset of its part and its length. A part: source, its time in nanoseconds and its size; what the
module imports at its top, as (module, (name there, name here) pairs) pairs; its code."""


class Modules:
    """Finds our modules and loads them, for ``sys.meta_path``."""

    def __init__(self) -> None:
        """Read the index; without a file, or with a damaged one, there is nothing in it."""
        self.index: dict[str, tuple[int, int]] = {}
        self.found: dict[str, Part] = {}
        self.missed: list[str] = []
        try:
            self.file = _open_high(FILE)
            head = os.read(self.file, 1 << 15)
            size, whole, form = (int.from_bytes(head[at : at + 8], "little") for at in range(0, HEADER, 8))
            if form == FORMAT and whole == os.fstat(self.file).st_size:
                head += os.pread(self.file, max(0, HEADER + size - len(head)), len(head))
                self.index = marshal.loads(head[HEADER : HEADER + size])
                self.start = HEADER + size
        except OSError:
            pass

    def find_spec(self, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        """Where a module is, or None: then it is looked for in the usual way."""
        if not name.startswith("pycontainer."):
            return None
        part = self._part(name)
        if part is None:
            self.missed.append(name)
            return None
        self.found[name] = part
        source = f"{HERE}/{part[0]}"
        is_package = source.endswith("/__init__.py")
        spec = ModuleSpec(name, self, origin=source, is_package=is_package)  # type: ignore[arg-type]  # no Loader by name
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(os.path.dirname(source))
        return spec

    def _part(self, name: str) -> "Part | None":
        """What the file has of a module, if its source has not changed since."""
        if name not in self.index:
            return None
        part: Part = marshal.loads(self.bytes_of(name))
        try:
            now = os.stat(f"{HERE}/{part[0]}")
        except OSError:
            return None
        return part if now.st_mtime_ns == part[1] and now.st_size == part[2] else None

    def bytes_of(self, name: str) -> bytes:
        """A part, as it is in the file."""
        offset, length = self.index[name]
        return os.pread(self.file, length, self.start + offset)

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """An ordinary one."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run its code, with all there that it imports."""
        source, _, _, imports, code = self.found.pop(module.__name__)
        module.__file__ = f"{HERE}/{source}"
        if other_threads() or "importtime" in sys._xoptions:  # a thread may not find what is half loaded
            _import(module.__dict__, imports)
        else:
            self._bring(module.__dict__, imports)
        exec(code, module.__dict__)

    def _bring(self, space: dict[str, object], imports: "Imports") -> None:
        """Put what a module imports into its namespace, and load what is not there yet."""
        for source, names in imports:
            module = sys.modules.get(source) or self._load(source)
            there = module.__dict__
            for name, here in names:
                space[here] = there[name] if name in there else self._made(source, name)

    def _load(self, name: str) -> ModuleType:
        """Load a module, and before it what it imports."""
        part = self._part(name)
        if part is None:
            __import__(name)
            return sys.modules[name]
        parent, _, last = name.rpartition(".")
        package = sys.modules.get(parent) or self._load(parent)
        module = sys.modules[name] = ModuleType(name)
        module.__file__ = f"{HERE}/{part[0]}"
        module.__package__ = parent
        if part[0].endswith("/__init__.py"):
            module.__package__, module.__path__ = name, [os.path.dirname(module.__file__)]
        try:
            self._bring(module.__dict__, part[3])
            exec(part[4], module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
        setattr(package, last, module)
        return module

    def _made(self, source: str, name: str) -> object:
        """What a module does not have: it is a module below it, or made when it is asked for."""
        below = f"{source}.{name}"
        if below in sys.modules or below in self.index:
            return sys.modules.get(below) or self._load(below)
        space: dict[str, object] = {}
        _import(space, ((source, ((name, name),)),))
        return space[name]


def _import(space: dict[str, object], imports: "Imports") -> None:
    """Do what import statements do."""
    for source, names in imports:
        module = __import__(source, None, None, [name for name, _ in names])
        for name, here in names:
            if not hasattr(module, name):
                raise ImportError(f"cannot import name {name!r} from {source!r}")
            space[here] = getattr(module, name)


def _open_high(path: str) -> int:
    """Above the numbers that a caller may have opened for a container, and believe to have."""
    low = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return fcntl(low, F_DUPFD_CLOEXEC, 16)
    finally:
        os.close(low)


def _is_ours(name: str) -> bool:
    """Whether it was imported in the usual way, from a source."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec is not None and spec.has_location and spec.origin.endswith(".py")


_used: list[Modules] = []


def start(name: str) -> None:
    """What a script of ours does: call the ``main`` of a module that is taken from the file, as all after it."""
    use()
    __import__(name)
    sys.modules[name].main()


def use() -> None:
    """Import from the file from now on."""
    if not sys.flags.optimize and not _used:  # optimized, it is other code
        _used.append(Modules())
        sys.meta_path.insert(0, _used[0])


def keep() -> None:
    """At the end of a command: add what it imported and the file did not have."""
    if not _used or sys.dont_write_bytecode or not any(map(_is_ours, _used[0].missed)):
        return
    if os.access(HERE, os.W_OK):
        from pycontainer.bytecode import keep  # most commands come here never

        keep(_used[0], [name for name in _used[0].missed if _is_ours(name)])
