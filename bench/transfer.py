"""Images on their way: the results of bench.pull and bench.images, which measure whole commands with all they take."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from typing import Any

from bench import images, pull
from bench.measure import OURS, Case, Failed, Table
from bench.peers import Stage


def measure_pull(stage: Stage, rounds: int) -> list[Table]:
    """Pull and unpack 502 MB; the same in ten layers; an image that is here already."""
    few = max(1, rounds // 7)
    found = _results(pull.main, ["--rounds", str(few), "--images", "big", "--places", "tmpfs"])
    columns = (OURS, "podman", "ctr", "1 worker")
    return [Table("pull", "Pull and unpack (ctr: containerd)", columns, _cases(found, "seconds", "memory"))]


def measure_images(stage: Stage, rounds: int) -> list[Table]:
    """Push, save and load."""
    few = max(1, rounds // 10)
    found = _results(images.main, ["--rounds", str(few), "--image", "debian", "--places", "tmpfs"])
    return [Table("images", "Push, save and load", (OURS, "podman", "docker", "skopeo"), _cases(found, "seconds"))]


def _results(main: Callable[[list[str]], int], arguments: list[str]) -> list[dict[str, Any]]:
    """What one of them writes as JSON; its own table is not shown."""
    with tempfile.TemporaryDirectory(prefix="pyc-bench-") as scratch:
        path, said = os.path.join(scratch, "json"), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main([*arguments, "--json", path])
        if not os.path.exists(path):
            raise Failed(f"exited {code}: {said.getvalue().strip()[-300:]}")
        with open(path) as file:
            found: list[dict[str, Any]] = json.load(file)
        return found


_UNITS = {"seconds": "s", "memory": "MiB"}
_WORDS = {"seconds": "", "memory": ", memory at the peak"}


def _cases(found: list[dict[str, Any]], *figures: str) -> list[Case]:
    """A row for each figure of each case. A bar is about time; what is not about time is a limit of ours."""
    cases = []
    for case in found:
        shares = {bar["what"].removeprefix("time of "): bar["bar"] for bar in case["bars"]}
        for figure in figures:
            samples = {name: [one[figure] for one in taken] for name, taken in case["samples"].items()}
            bars = {name: bar for name, bar in shares.items() if figure == "seconds" and name in samples}
            cases.append(
                Case(
                    case["case"] + _WORDS[figure],
                    _UNITS[figure],
                    samples,
                    case["absent"],
                    bars,
                    shares.get(figure),
                )
            )
    return cases
