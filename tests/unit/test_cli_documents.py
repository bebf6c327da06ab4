from __future__ import annotations

import json
import random
from typing import Any

import pytest

from pycontainer.cli.documents import to_json
from pycontainer.engine.recall import recalled, stored
from pycontainer.oci.grammar.limits import Rlimit
from pycontainer.oci.options import ContainerOptions


def value(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(8 if depth else 5)
    if kind == 5:
        return {chance.choice(["a", "é", '"', ""]): value(chance, depth - 1) for _ in range(chance.randrange(4))}
    if kind > 5:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    return [None, True, chance.randrange(-9, 1 << 40), 0.5, "".join(chance.choices('a\n\t\\"é😀\x1b ', k=4))][kind]


@pytest.mark.parametrize("seed", range(50))
def test_documents_are_the_json_that_the_library_writes(seed):
    made = value(random.Random(seed), 4)
    assert to_json(made) == json.dumps(made, ensure_ascii=False, separators=(",", ":"))
    for indent in (3, 4):
        assert to_json(made, indent=indent) == json.dumps(made, ensure_ascii=False, indent=indent)


def test_what_a_terminal_would_obey_is_spelt_out():
    assert to_json({"a": "\x7f\x9b", "f": print}) == '{"a":"\\u007f\\u009b"}'
    with pytest.raises(TypeError, match="is not JSON"):
        to_json({"a": {1, 2}})


def test_options_come_back_from_json_with_the_types_of_their_fields():
    given = ContainerOptions(command=("a", "b"), add_host=(("x", "1.2.3.4"),), labels={"k": "v"}, memory=1 << 30,
                             ulimits=(Rlimit("nofile", 1, 2),), stop_timeout=3)  # fmt: skip
    again = recalled(json.loads(json.dumps(stored(given))))
    assert again == given
    assert isinstance(again.ulimits[0], Rlimit) and isinstance(again.add_host[0], tuple)
