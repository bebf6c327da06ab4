"""Writes the file of :mod:`pycontainer.modules`, and compiles what goes into it.

A module is compiled without what no running program needs:

- annotations of functions, a tenth of what a start would read, and evaluate for each ``def``. Those of classes stay,
  because records are made from them;
- what is below ``if TYPE_CHECKING``;
- each ``from ... import`` at the top: it becomes data beside the code, and the loader does what it says.

Docstrings stay (help is made of them), and so do asserts and the numbers of lines, for tracebacks.
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

ONLY_TREE = 0x400  # ast.PyCF_ONLY_AST: parse, do not compile
ANNOTATIONS_ARE_TEXT = 0x1000000  # __future__.CO_FUTURE_ANNOTATIONS: what `from __future__ import annotations` turns on


def keep(modules: Modules, missed: list[str]) -> None:
    """Write the file anew, with the modules that it missed. If that fails, the next command may try."""
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
    except OSError:  # we may not write there, or there is no room
        with suppress(OSError):
            os.unlink(fresh)


def _part(name: str) -> Part:
    """The part of a module that was imported in the usual way."""
    path = sys.modules[name].__file__ or ""
    # Before it is read: if it changes in between, the part has a time that is too old, and is not used.
    seen = os.stat(path)
    code, imports = compiled(path)
    return os.path.relpath(path, HERE), seen.st_mtime_ns, seen.st_size, imports, code


def compiled(path: str) -> tuple[CodeType, Imports]:
    """The code of a source file, and what it imports at its top."""
    with open(path, "rb") as file:
        tree: Module = compile(file.read(), path, "exec", ONLY_TREE, dont_inherit=True)
    body = list(_for_the_interpreter(tree.body))
    tree.body = [node for node in body if not _becomes_data(node)]
    for node in _nodes(tree):
        if isinstance(node, FunctionDef):
            node.returns = None
        elif isinstance(node, arg):
            node.annotation = None
    is_text = any(isinstance(node, ImportFrom) and node.module == "__future__" for node in body)
    code = compile(tree, path, "exec", ANNOTATIONS_ARE_TEXT if is_text else 0, dont_inherit=True)
    return code, tuple(_imports(body))


def _for_the_interpreter(body: list[stmt]) -> Iterator[stmt]:
    """Leave out what is there for type checkers only."""
    for node in body:
        if isinstance(node, If) and isinstance(node.test, Name) and node.test.id == "TYPE_CHECKING":
            yield from node.orelse
        else:
            yield node


def _becomes_data(node: stmt) -> bool:
    """Whether it is an import that the loader does."""
    return isinstance(node, ImportFrom) and node.names[0].name != "*"


def _imports(body: list[stmt]) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """The modules to load, and the names to take from each, as (name there, name here) pairs."""
    for node in body:
        if isinstance(node, ImportFrom) and node.module and node.module != "__future__":
            yield node.module, tuple((alias.name, alias.asname or alias.name) for alias in node.names)
        elif isinstance(node, Import):  # the statement stays, and will find them loaded
            yield from ((alias.name, ()) for alias in node.names if alias.name.startswith("pycontainer."))


def _nodes(node: AST) -> Iterator[AST]:
    """The node and all below it: ``ast.walk``, which is in another module."""
    yield node
    for field in node._fields:
        value = getattr(node, field, None)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, AST):
                yield from _nodes(part)
