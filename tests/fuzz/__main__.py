"""``python -m tests.fuzz [SECONDS]``: feed what reads hostile bytes with what nobody would write (``make fuzz``).

    plan       the performer's loader, in C, under the address and undefined-behaviour sanitizers
    layer      the reader of tar archives, behind the decompressors
    registry   documents, challenges and headers of a registry

libFuzzer changes the seeds, and keeps what reaches new code: clang's in C, atheris's in Python. What it finds becomes a
seed. ``--seeds`` writes the seeds anew, which a change of the encoding of plans needs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
SEEDS = HERE / "seeds"
CORE = HERE.parents[1] / "pycontainer" / "core"
LARGEST = {"plan": 4096, "layer": 8192, "registry": 8192}
"""Target -> bytes of an input: a small one is changed, and run, more often."""


def program(target: str, scratch: str) -> list[str]:
    """What fuzzes the target. Raises CalledProcessError where it can't be compiled."""
    if target != "plan":
        return [sys.executable, "-m", "tests.fuzz.python", target]
    sources = [CORE / name for name in ("performer.c", "monitor.c", "init.c")]
    sanitizers = "-fsanitize=fuzzer,address,undefined"
    flags = ["-g", "-O1", "-DPYC_FUZZ", sanitizers, "-fno-sanitize-recover=all", "-Wno-unused", f"-I{CORE}"]
    subprocess.run(["clang", *flags, "-o", f"{scratch}/fuzz", *sources, HERE / "load_plan.c"], check=True)
    return [f"{scratch}/fuzz"]


def fuzz(target: str, seconds: int, scratch: str) -> subprocess.CompletedProcess[str]:
    """Fuzz for that long; what it found is in the result, and the input that did it in ``scratch``."""
    corpus = scratch + "/corpus"
    os.makedirs(corpus)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LARGEST[target]}",
        f"-artifact_prefix={scratch}/",
        "-print_final_stats=1",
        "-timeout=10",
        "-rss_limit_mb=1024",
    ]
    argv = [*program(target, scratch), *options, corpus, str(SEEDS / target)]
    return subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False, cwd=HERE.parents[1])


def write_seeds() -> None:
    """Good ones of every kind; what once did damage is kept beside them."""
    from tests.fuzz import good

    for target, made in good.all_of_them().items():
        (SEEDS / target).mkdir(parents=True, exist_ok=True)
        for name, data in made.items():
            (SEEDS / target / name).write_bytes(data)


def main(words: list[str]) -> int:
    if words == ["--seeds"]:
        write_seeds()
        return 0
    if not shutil.which("clang") or not find_spec("atheris"):
        print("fuzz: needs clang (apt-get install clang) and atheris (pip install atheris)", file=sys.stderr)
        return 1
    code = 0
    for target in LARGEST:
        with tempfile.TemporaryDirectory() as scratch:
            done = fuzz(target, int(words[0]) if words else 60, scratch)
            for found in (*Path(scratch).glob("crash-*"), *Path(scratch).glob("timeout-*")) if done.returncode else ():
                shutil.copy(found, SEEDS / target)
                print(f"fuzz: what did it is now {SEEDS / target / found.name}")
            print(f"--- {target}", *(done.stderr + done.stdout).splitlines()[-12:], sep="\n")
            code = code or done.returncode
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
