"""A module's code for :mod:`pycontainer.modules`: without what only readers and type checkers look at.

The annotations of functions, and the line of ``__future__`` that turns them into text, are a tenth of what a start
would read, and carry out for each ``def``. Those of classes stay, since records are made of them; so do docstrings, of
which help is made, asserts, and the numbers of lines.
"""

from __future__ import annotations

from _ast import AST, FunctionDef, Import, ImportFrom, arg  # `ast` itself takes 6 ms to load

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from _ast import Module
    from collections.abc import Iterator
    from types import CodeType

ONLY_TREE, ANNOTATIONS_ARE_TEXT = 0x400, 0x1000000  # PyCF_ONLY_AST; CO_FUTURE_ANNOTATIONS, for those that stay


def compiled(path: str) -> tuple[CodeType, tuple[str, ...]]:
    """The code of a source, and the names of ours that it may import when it runs, in this order."""
    with open(path, "rb") as file:
        tree = compile(file.read(), path, "exec", ONLY_TREE, dont_inherit=True)
    future = [node for node in tree.body if isinstance(node, ImportFrom) and node.module == "__future__"]
    tree.body = [node for node in tree.body if node not in future]
    for node in _nodes(tree):
        if isinstance(node, FunctionDef):
            node.returns = None
        elif isinstance(node, arg):
            node.annotation = None
    code = compile(tree, path, "exec", ANNOTATIONS_ARE_TEXT if future else 0, dont_inherit=True)
    return code, tuple(_imported(tree))


def _nodes(node: AST) -> Iterator[AST]:
    yield node
    for field in node._fields:
        value = getattr(node, field, None)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, AST):
                yield from _nodes(part)


def _imported(tree: Module) -> dict[str, None]:
    """What is imported at the top: a module, and what is taken from it, for that may be a module as well."""
    found: dict[str, None] = {}
    for node in tree.body:
        if isinstance(node, Import):
            found |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ImportFrom) and node.module:
            found[node.module] = None
            found |= dict.fromkeys(f"{node.module}.{alias.name}" for alias in node.names)
    return {name: None for name in found if name.startswith("pycontainer.")}
