"""Makes the file of :mod:`pycontainer.modules`: code without what only readers and type checkers look at.

The annotations of functions, and the line of ``__future__`` that turns them into text, are a tenth of what a start
would read, and carry out for each ``def``. Those of classes stay, since records are made of them; so do docstrings, of
which help is made, asserts, and the numbers of lines. What is below ``if TYPE_CHECKING`` goes, and so does each ``from
... import`` at the top, which is told as data: who loads the module does what it says.
"""

from __future__ import annotations

import marshal
import os
import sys
from _ast import AST, FunctionDef, If, Import, ImportFrom, Name, arg  # `ast` itself takes 6 ms to load

from pycontainer.light import suppress
from pycontainer.modules import FILE, FORMAT, HEADER, HERE
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from _ast import Module, stmt
    from collections.abc import Iterator
    from types import CodeType

    from pycontainer.modules import Imports, Modules, Part

ONLY_TREE, ANNOTATIONS_ARE_TEXT = 0x400, 0x1000000  # PyCF_ONLY_AST; CO_FUTURE_ANNOTATIONS, for those that stay


def keep(modules: Modules, missed: list[str]) -> None:
    """Write the file anew, with what was missing in it. If that can't be done, the next command may try."""
    parts = {name: modules.bytes_of(name) for name in modules.index}
    parts |= {name: marshal.dumps(_part(name)) for name in missed}
    index: dict[str, tuple[int, int]] = {}
    end = 0
    for name, data in parts.items():
        index[name] = end, len(data)
        end += len(data)
    head = marshal.dumps(index)
    numbers = (len(head), HEADER + len(head) + end, FORMAT)
    pieces = [*(number.to_bytes(8, "little") for number in numbers), head, *parts.values()]
    fresh = f"{FILE}.{os.getpid()}"
    try:
        with open(fresh, "xb") as file:
            file.write(b"".join(pieces))
        os.rename(fresh, FILE)
    except OSError:  # it is not ours to write, or there is no room
        with suppress(OSError):
            os.unlink(fresh)


def _part(name: str) -> Part:
    """The part of a module that was imported in the usual way."""
    path = sys.modules[name].__file__ or ""
    seen = os.stat(path)  # before it is read: if it changes meanwhile, the time is wrong and not the code
    code, imports = compiled(path)
    return os.path.relpath(path, HERE), seen.st_mtime_ns, seen.st_size, imports, code


def compiled(path: str) -> tuple[CodeType, Imports]:
    """The code of a source, and what it imports before it runs."""
    with open(path, "rb") as file:
        tree: Module = compile(file.read(), path, "exec", ONLY_TREE, dont_inherit=True)
    body = list(_for_the_interpreter(tree.body))
    tree.body = [node for node in body if not _is_told(node)]
    for node in _nodes(tree):
        if isinstance(node, FunctionDef):
            node.returns = None
        elif isinstance(node, arg):
            node.annotation = None
    is_text = any(isinstance(node, ImportFrom) and node.module == "__future__" for node in body)
    code = compile(tree, path, "exec", ANNOTATIONS_ARE_TEXT if is_text else 0, dont_inherit=True)
    return code, tuple(_imports(body))


def _for_the_interpreter(body: list[stmt]) -> Iterator[stmt]:
    """Without what is there for type checkers."""
    for node in body:
        if isinstance(node, If) and isinstance(node.test, Name) and node.test.id == "TYPE_CHECKING":
            yield from node.orelse
        else:
            yield node


def _is_told(node: stmt) -> bool:
    """Whether it is left to who loads the module."""
    return isinstance(node, ImportFrom) and node.names[0].name != "*"


def _imports(body: list[stmt]) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """The modules to be loaded, with the names to be taken from each: there, and here."""
    for node in body:
        if isinstance(node, ImportFrom) and node.module and node.module != "__future__":
            yield node.module, tuple((alias.name, alias.asname or alias.name) for alias in node.names)
        elif isinstance(node, Import):  # it stays, and finds them there
            yield from ((alias.name, ()) for alias in node.names if alias.name.startswith("pycontainer."))


def _nodes(node: AST) -> Iterator[AST]:
    yield node
    for field in node._fields:
        value = getattr(node, field, None)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, AST):
                yield from _nodes(part)
