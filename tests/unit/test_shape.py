"""A value of the wrong kind is refused by the name of its field."""

from __future__ import annotations

import json
import typing

import pytest

from pycontainer.errors import UsageError
from pycontainer.oci import shape, spec
from pycontainer.oci.example import example


def leaves_of_type(kind: typing.Any, prefix: str = "") -> typing.Iterator[str]:
    for name, hint in typing.get_type_hints(kind).items():
        suffix, item = "", hint
        if typing.get_origin(hint) is list:
            suffix, item = "[]", typing.get_args(hint)[0]
        elif typing.get_origin(hint) is dict:
            suffix, item = ".*", typing.get_args(hint)[1]
        if typing.is_typeddict(item):
            yield from leaves_of_type(item, f"{prefix}{name}{suffix}.")
        else:
            yield f"{prefix}{name}{suffix}"


def leaves_of_shape(part: typing.Any, prefix: str = "") -> typing.Iterator[str]:
    for name, inner in part.items():
        if name == "!":
            assert set(inner) <= set(part)
            continue
        if isinstance(inner, list):
            inner, name = inner[0], name + "[]"
        if isinstance(inner, dict):
            yield from leaves_of_shape(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_field_of_the_types_has_a_shape_and_no_other() -> None:
    assert set(leaves_of_shape(shape.SPEC)) == set(leaves_of_type(spec.Spec))


def test_the_example_fits() -> None:
    shape.fit(example(), shape.SPEC, "")


WRONG: list[tuple[str, object, str]] = [
    ("hostname", 5, "hostname: want a string, not a number (5)"),
    ("process.terminal", "yes", "process.terminal: want true or false, not a string ('yes')"),
    ("process.args", "sh", "process.args: want a list, not a string ('sh')"),
    ("process.args", ["sh", 5], "process.args[1]: want a string, not a number (5)"),
    ("process.args", ["sh", None], "process.args[1]: want a string, not null (None)"),
    ("process.user.uid", 2**32 - 1, "process.user.uid: 4294967295 is not between 0 and 4294967294"),
    ("process.user.uid", True, "process.user.uid: want a whole number, not a truth value (True)"),
    ("process.user.uid", 1.0, "process.user.uid: want a whole number, not a number (1.0)"),
    ("linux.resources.pids.limit", 2**63, "linux.resources.pids.limit: 9223372036854775808 is not between"),
    ("linux.resources.pids.limit", 10**4400, "linux.resources.pids.limit: 0x"),
    ("linux.resources", [], "linux.resources: want an object, not a list ([])"),
    ("linux.sysctl", {"net.x": 1}, "linux.sysctl.net.x: want a string, not a number (1)"),
    ("mounts", [{"destination": "/a"}, {"options": "ro"}], "mounts[1].options: want a list, not a string ('ro')"),
    ("mounts", [[]], "mounts[0]: want an object, not a list ([])"),
]


def put(document: dict[str, typing.Any], name: str, value: object) -> None:
    *above, last = name.split(".")
    for part in above:
        document = document.setdefault(part, {})
    document[last] = value


@pytest.mark.parametrize(("name", "value", "words"), WRONG, ids=range(len(WRONG)))
def test_what_does_not_fit_is_named(name: str, value: object, words: str) -> None:
    document: dict[str, typing.Any] = dict(example())
    put(document, name, value)
    with pytest.raises(UsageError) as raised:
        shape.fit(document, shape.SPEC, "")
    assert raised.value.message.startswith(words)
    assert len(raised.value.message) < 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"hostname": "a\\u0000b"}', "hostname: a NUL character"),
        ('{"process": {"env": ["A=\\ud800"]}}', "process.env[0]: half a character"),
        ('{"linux": {"sysctl": {"a\\u0000b": "1"}}}', "linux.sysctl: a NUL character"),
        ("[]", "config.json: want an object, not a list"),
    ],
)
def test_strings_that_no_call_takes_are_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("[", "\\[")):
        shape.read(text, shape.SPEC, "")


def test_null_is_as_good_as_absent_and_what_is_unknown_is_left_alone() -> None:
    text = {"hostname": None, "new": {"x": [None, "\0"]}, "linux": {"resources": None}, "annotations": {"a": "\0"}}
    value = shape.read(json.dumps(text), shape.SPEC, "")
    assert value == {"new": {"x": [None, "\0"]}, "linux": {}, "annotations": {"a": "\0"}}
