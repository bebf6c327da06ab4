"""A cache of our modules' code in one file, which makes the imports of a command quicker.

A start imports a hundred modules. For each of them Python searches directories, opens a file of ``__pycache__`` and
compares it with the source: 5 ms in all. A command opens one file instead, in which the code of every module stands
behind one index::

    import pycontainer.x    Python asks the finders in ``sys.meta_path``, of which ours is the first
    find_spec               there is code for x, and the source of x has not changed: we are its loader.
                            Else None: the next finder imports it in the usual way, and we note what we missed
    exec_module             load what x imports at its top, then run the code of x
    keep                    at the end of the command: write what was missed into the file, for the next one

So nobody has to look after the file, as nobody has to look after ``__pycache__``. It may be deleted at any time.

What a module imports at its top is kept beside its code, as data, and loaded here without the help of importlib, which
takes longer to search, lock and describe a module than the module takes to run. :mod:`pycontainer.bytecode` writes the
file. Only commands use it: a program that imports the package gets ordinary imports.
"""

import marshal
import os
import sys
from _thread import _count as other_threads
from fcntl import F_DUPFD_CLOEXEC, fcntl

# Nothing of ours is imported here, as it could not come from the file; nor is __future__, a file more to be read.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

    Imports = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    Part = tuple[str, int, int, Imports, CodeType]
else:
    ModuleSpec, ModuleType = type(__spec__), type(sys)  # the modules that export them load half of importlib

HERE = os.path.dirname(__file__)
FILE = f"{HERE}/modules.{sys.implementation.cache_tag}"
FORMAT, HEADER = 4, 24
"""The file is a header, an index, and a part for each module; index and parts are encoded by marshal.

The header: three numbers of 8 bytes, which are the size of the index, the size of the whole file, and FORMAT.
The index: from a module's name to the offset and the length of its part.
A part: the path of the source, its time in nanoseconds and its size; what the module imports at its top, as pairs of a
module and its (name there, name here) pairs; the module's code.
"""


class Modules:
    """The file as a finder and loader of modules, for ``sys.meta_path``."""

    def __init__(self) -> None:
        """Read the index; it is empty if there is no file, or a damaged one."""
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
        """Say that we load a module, or None: then the next finder is asked. Source: importlib.abc.MetaPathFinder."""
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
        """What the file has of a module, unless its source has changed."""
        if name not in self.index:
            return None
        part: Part = marshal.loads(self.bytes_of(name))
        try:
            now = os.stat(f"{HERE}/{part[0]}")
        except OSError:
            return None
        return part if now.st_mtime_ns == part[1] and now.st_size == part[2] else None

    def bytes_of(self, name: str) -> bytes:
        """A part, as it stands in the file."""
        offset, length = self.index[name]
        return os.pread(self.file, length, self.start + offset)

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """Leave it to importlib, which makes an ordinary one."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run its code, after its imports."""
        source, _, _, imports, code = self.found.pop(module.__name__)
        module.__file__ = f"{HERE}/{source}"
        # importlib locks a module while it is loaded, so that no other thread finds half of it; our short way does not.
        if other_threads() or "importtime" in sys._xoptions:
            _import_with_locks(module.__dict__, imports)
        else:
            self._import(module.__dict__, imports)
        exec(code, module.__dict__)

    def _import(self, space: dict[str, object], imports: "Imports") -> None:
        """Bind what a module imports at its top in its namespace, and load what is not loaded yet."""
        for source, names in imports:
            module = sys.modules.get(source) or self._load(source)
            there = module.__dict__
            for name, here in names:
                space[here] = there[name] if name in there else self._absent(source, name)

    def _load(self, name: str) -> ModuleType:
        """Load a module: what importlib and :meth:`exec_module` do, in short."""
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
            self._import(module.__dict__, part[3])
            exec(part[4], module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
        setattr(package, last, module)
        return module

    def _absent(self, source: str, name: str) -> object:
        """A name that is not in a module: a submodule of it, or what its ``__getattr__`` makes."""
        below = f"{source}.{name}"
        if below in sys.modules or below in self.index:
            return sys.modules.get(below) or self._load(below)
        space: dict[str, object] = {}
        _import_with_locks(space, ((source, ((name, name),)),))
        return space[name]


def _import_with_locks(space: dict[str, object], imports: "Imports") -> None:
    """Do what import statements do."""
    for source, names in imports:
        module = __import__(source, None, None, [name for name, _ in names])
        for name, here in names:
            if not hasattr(module, name):
                raise ImportError(f"cannot import name {name!r} from {source!r}")
            space[here] = getattr(module, name)


def _open_high(path: str) -> int:
    """Open a file under a high number: a caller may have handed us low ones for the container."""
    low = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return fcntl(low, F_DUPFD_CLOEXEC, 16)
    finally:
        os.close(low)


def _is_ours(name: str) -> bool:
    """Whether a module was imported in the usual way, from its source."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec is not None and spec.has_location and spec.origin.endswith(".py")


_used: list[Modules] = []


def start(name: str) -> None:
    """Call the ``main`` of a module, with imports from the file. This is all that our scripts do."""
    use()
    __import__(name)
    sys.modules[name].main()


def use() -> None:
    """Import from the file from now on."""
    if not sys.flags.optimize and not _used:  # `python -O` compiles to other code than the file has
        _used.append(Modules())
        sys.meta_path.insert(0, _used[0])


def keep() -> None:
    """At the end of a command: add to the file what it had to import in the usual way."""
    if not _used or sys.dont_write_bytecode or not any(map(_is_ours, _used[0].missed)):
        return
    if os.access(HERE, os.W_OK):
        from pycontainer.bytecode import keep  # hardly any command comes here

        keep(_used[0], [name for name in _used[0].missed if _is_ours(name)])
