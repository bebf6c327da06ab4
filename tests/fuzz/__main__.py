"""``python -m tests.fuzz [SECONDS]``: feed the performer's loader what no encoder made (``make fuzz``).

clang's libFuzzer changes the seeds and keeps what reaches new code, under the address and undefined-behaviour
sanitizers. ``--seeds`` writes the seeds anew, which a change of the encoding needs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SEEDS = HERE / "seeds"
CORE = HERE.parents[1] / "pycontainer" / "core"
LARGEST = 4096  # bytes; a small input is changed, and run, more often


def build(program: str) -> None:
    """Compile the fuzzer. Raises CalledProcessError."""
    sources = [CORE / name for name in ("performer.c", "monitor.c", "init.c")]
    sanitizers = "-fsanitize=fuzzer,address,undefined"
    flags = ["-g", "-O1", "-DPYC_FUZZ", sanitizers, "-fno-sanitize-recover=all", "-Wno-unused", f"-I{CORE}"]
    subprocess.run(["clang", *flags, "-o", program, *sources, HERE / "load_plan.c"], check=True)


def fuzz(seconds: int, scratch: str) -> subprocess.CompletedProcess[str]:
    """Fuzz for that long; what it found is in the result, and the input that did it in ``scratch``."""
    program, corpus = scratch + "/fuzz", scratch + "/corpus"
    os.makedirs(corpus)
    build(program)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LARGEST}",
        f"-artifact_prefix={scratch}/",
        "-print_final_stats=1",
    ]
    return subprocess.run([program, *options, corpus, SEEDS], capture_output=True, text=True, check=False)


def write_seeds() -> None:
    """One plan of each kind of call, and damaged ones that once reached something."""
    from pycontainer.core import wire
    from tests.unit.test_wire import SOCKET, sample

    SEEDS.mkdir(exist_ok=True)
    whole = wire.encode(sample(), (SOCKET,))
    for name, data in {
        "whole": whole,
        "cut": whole[: len(whole) // 2],
        "one-step": wire.encode(sample()[:1], (SOCKET,)),
    }.items():
        (SEEDS / f"{name}.plan").write_bytes(data)


def main(words: list[str]) -> int:
    if words == ["--seeds"]:
        write_seeds()
        return 0
    if not shutil.which("clang"):
        print("fuzz: needs clang: apt-get install clang", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        done = fuzz(int(words[0]) if words else 60, scratch)
        if done.returncode:
            for found in Path(scratch).glob("crash-*"):
                shutil.copy(found, SEEDS)
                print(f"fuzz: what did it is now {SEEDS / found.name}")
        print("\n".join(done.stderr.splitlines()[-12:]))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
