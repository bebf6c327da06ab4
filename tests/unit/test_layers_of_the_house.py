from __future__ import annotations

import ast
import os
import re

import pytest

import pycontainer

# From the top floor down: a module may import from its own floor and from those below it.
FLOORS = (
    {"__main__"},
    {"containers", "images", "manifests", "networks", "volumes"},
    {"options"},
    {"cli"},
    {"engine"},
    {"explain"},
    {"oci"},
    {"plan"},
    {"cgroups", "network", "rootfs", "image"},
    {"core"},
    {"bytecode", "errors", "jsontext", "light", "modules", "record", "result", "streams"},
)
# Below oci, types of the runtime-spec may be named where nothing is imported when it runs.
NAMED_BY_THOSE_BELOW = {"pycontainer.oci.spec"}
WHO_MAY_USE = {"explain": {"cli", "engine", "explain"}}

HOUSE = os.path.dirname(pycontainer.__file__)


def floor(part: str) -> int:
    return next(number for number, parts in enumerate(FLOORS) if part in parts)


def sources():
    for place, _, names in os.walk(HOUSE):
        for name in names:
            if name.endswith(".py"):
                yield os.path.relpath(f"{place}/{name}", HOUSE)


def imports(path: str):
    """(module, is it for types only) of each import of ours in a file, wherever in it."""
    with open(f"{HOUSE}/{path}") as file:
        tree = ast.parse(file.read())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.count(".")
            names = [f"{node.module}.{alias.name}" for alias in node.names] if parts < 2 else [node.module]
        else:
            continue
        for name in names:
            if name.startswith("pycontainer."):
                yield name, id(node) in typing_only


def part_of(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("path", sorted(sources()))
def test_imports_go_down_only(path):
    here = path.split("/")[0].removesuffix(".py")
    if here == "__init__":
        assert not [module for module, for_types in imports(path) if not for_types]
        return
    for module, for_types in imports(path):
        there = part_of(module)
        if there == "__version__" or (for_types and module in NAMED_BY_THOSE_BELOW):
            continue
        assert floor(here) <= floor(there), f"{path} reaches up to {module}"
        assert here in WHO_MAY_USE.get(there, {here}), f"{path} may not use {module}"


def test_every_part_of_the_house_has_a_floor():
    parts = {path.split("/")[0].removesuffix(".py") for path in sources()} - {"__init__", "__main__"}
    assert parts <= set().union(*FLOORS)


GUIDED = (
    "cgroups",
    "core",
    "engine",
    "engine/image",
    "engine/network",
    "explain",
    "image",
    "network",
    "oci",
    "plan",
    "rootfs",
)


@pytest.mark.parametrize("folder", GUIDED)
def test_the_guide_of_a_folder_names_each_of_its_modules(folder):
    with open(f"{HOUSE}/{folder}/__init__.py") as file:
        guide = {word for line in file if line.startswith("#") for word in re.findall(r"\w+", line)}
    modules = {name[:-3] for name in os.listdir(f"{HOUSE}/{folder}") if name.endswith(".py") and name[0] != "_"}
    assert modules - guide == set()
