"""Measuring whole commands beside each other: what one run took, fair turns, one table, one JSON file."""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

PLACES = {"tmpfs": "/dev/shm", "disk": "/var/tmp"}
OURS = "pyc"


class Failed(Exception):
    """An engine is not installed, or refused: its column stays empty, and the reason is printed."""


class Sample(NamedTuple):
    """What one run took.

    Attributes:
        seconds: from before its start to after its end.
        cpu: seconds of processor time, a daemon's included.
        memory: MiB at the peak of the process that does the work.
        written: MiB given to a disk's file system; to a tmpfs, none.
    """

    seconds: float
    cpu: float
    memory: float
    written: float


Run = Callable[[str], Sample]
"""Does it once, with all it needs in an empty directory."""


class Case(NamedTuple):
    """One thing that all engines did, in turns.

    Attributes:
        samples: of each engine, one a round.
        absent: why an engine has none.
        load: the lowest and highest load of the machine meanwhile.
        bars: how much of another engine's time ours may take.
        limits: what ours must not exceed, by attribute of a sample.
    """

    title: str
    samples: dict[str, list[Sample]]
    absent: dict[str, str]
    load: tuple[float, float]
    bars: dict[str, float]
    limits: dict[str, float]


# ---- one run


def timed(argv: Sequence[str], *, stdin: str = os.devnull, daemon: int = 0) -> Sample:
    """Run a command that succeeds; ``daemon`` is the process ID of who works for it.

    Raises:
        Failed: it is not installed, or did not succeed.
    """
    if shutil.which(argv[0]) is None:
        raise Failed(f"{argv[0]} is not installed")
    before = _of_daemon(daemon) if daemon else Sample(0, 0, 0, 0)
    with tempfile.TemporaryFile() as output, open(stdin, "rb") as given:
        start = time.perf_counter()
        process = subprocess.Popen(argv, stdin=given, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise Failed(f"{' '.join(argv[:3])}: {output.read().decode(errors='replace').strip()[-300:]}")
    cpu, written = usage.ru_utime + usage.ru_stime, usage.ru_oublock * 512 / (1 << 20)
    if not daemon:
        return Sample(seconds, cpu, usage.ru_maxrss / 1024, written)
    after = _of_daemon(daemon)
    return Sample(seconds, cpu + after.cpu - before.cpu, after.memory, written + after.written - before.written)


def _of_daemon(pid: int) -> Sample:
    """What it has taken since its own start."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return Sample(0, cpu, _line(pid, "status", "VmHWM") / 1024, _line(pid, "io", "write_bytes") / (1 << 20))


def _line(pid: int, file_name: str, name: str) -> int:
    with open(f"/proc/{pid}/{file_name}") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))


# ---- fair turns


@contextmanager
def room(place: str) -> Iterator[str]:
    """An empty directory on tmpfs or disk, gone at the end.

    Whatever is made in it gets a neighbourhood of its own on ext4 (chattr(1), "T"). Else each run would be slower than
    the last: without a journal, ext4 looks at all inodes freed nearby in the last minutes before it takes one.
    """
    directory = tempfile.mkdtemp(prefix="pyc-bench-", dir=PLACES[place])
    try:
        subprocess.run(["chattr", "+T", directory], capture_output=True)
        yield directory
    finally:
        remove(directory)


def remove(directory: str) -> None:
    """Delete a directory of an engine's, and what it has mounted there."""
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split()[4] for line in file]
    for path in reversed(mounts):
        if path.startswith(directory + "/"):
            subprocess.run(["umount", "--lazy", path])
    subprocess.run(["rm", "-rf", directory])


def measure(
    title: str,
    engines: dict[str, Run],
    place: str,
    rounds: int,
    *,
    bars: dict[str, float] | None = None,
    limits: dict[str, float] | None = None,
) -> Case:
    """Let all engines run ``rounds`` times, in another order each round; who fails is left out from then on."""
    samples: dict[str, list[Sample]] = {name: [] for name in engines}
    absent: dict[str, str] = {}
    loads = []
    with room(place) as directory:
        for _ in range(rounds):
            for name in random.sample(list(engines), len(engines)):
                if name in absent:
                    continue
                fresh = tempfile.mkdtemp(dir=directory)
                os.sync()  # nobody pays for what others have written
                time.sleep(0.3)
                loads.append(os.getloadavg()[0])
                try:
                    samples[name].append(engines[name](fresh))
                except (Failed, OSError) as error:
                    absent[name] = str(error)
                remove(fresh)
    whole = {name: found for name, found in samples.items() if name not in absent}
    return Case(title, whole, absent, (min(loads), max(loads)), bars or {}, limits or {})


# ---- what came out


def median(samples: Sequence[Sample], what: str) -> float:
    """The median of one figure."""
    return statistics.median([float(getattr(sample, what)) for sample in samples])


def ratio(case: Case, theirs: str, ours: str = OURS) -> float:
    """Ours / theirs: the median of the rounds' own ratios, as what disturbs a round disturbs both."""
    return statistics.median(
        a.seconds / b.seconds for a, b in zip(case.samples[ours], case.samples[theirs], strict=True)
    )


def verdicts(case: Case) -> Iterator[tuple[str, float, float]]:
    """What was to be reached: its words, what was found, and the bar."""
    if OURS not in case.samples:
        return
    for theirs, bar in case.bars.items():
        if theirs in case.samples:
            yield f"time of {theirs}", ratio(case, theirs), bar
    for what, limit in case.limits.items():
        yield what, median(case.samples[OURS], what), limit


def show(title: str, cases: Sequence[Case]) -> None:
    """Print one table with a column for each engine, and a line for each bar."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if os.isatty(1) else 120)
    engines = list(dict.fromkeys(name for case in cases for name in (*case.samples, *case.absent)))
    table = Table(title=title)
    table.add_column(min_width=max(len(case.title) for case in cases))
    for name in engines:
        table.add_column(name, justify="right")
    for case in cases:
        table.add_row(f"[bold]{case.title}[/]")
        table.add_row("  load of the machine", f"{case.load[0]:.1f} - {case.load[1]:.1f}")
        for label, cell in _ROWS.items():
            table.add_row("  " + label, *(cell(case, name) if name in case.samples else "" for name in engines))
        table.add_section()
    console.print(table)
    for case in cases:
        for words, found, bar in verdicts(case):
            console.print(f"{'met   ' if found <= bar else 'MISSED'} {case.title}: {found:.3g} {words}, bar {bar:g}")
        for name, reason in case.absent.items():
            console.print(f"absent {case.title}: {name}: {reason}", markup=False)


def _share(case: Case, name: str) -> str:
    if name == OURS or OURS not in case.samples:
        return ""
    return f"{ratio(case, name):.2f}" + (f" ({case.bars[name]:.2f})" if name in case.bars else "")


def _spread(case: Case, name: str) -> str:
    times = [sample.seconds for sample in case.samples[name]]
    return f"{min(times):.2f} - {max(times):.2f}"


_ROWS: dict[str, Callable[[Case, str], str]] = {
    "seconds, median": lambda case, name: f"{median(case.samples[name], 'seconds'):.3f}",
    "best - worst": _spread,
    "processor seconds": lambda case, name: f"{median(case.samples[name], 'cpu'):.2f}",
    "peak MiB": lambda case, name: f"{median(case.samples[name], 'memory'):.0f}",
    "MiB written": lambda case, name: f"{median(case.samples[name], 'written'):.0f}",
    "pyc / it (bar)": _share,
}


def write_json(path: str, cases: Sequence[Case]) -> None:
    """All samples and verdicts, for whoever compares runs."""
    report = [
        {
            "case": case.title,
            "load": case.load,
            "samples": {name: [sample._asdict() for sample in found] for name, found in case.samples.items()},
            "absent": case.absent,
            "bars": [{"what": words, "found": found, "bar": bar} for words, found, bar in verdicts(case)],
        }
        for case in cases
    ]
    with open(path, "w") as file:
        json.dump(report, file, indent=1)
