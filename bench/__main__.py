"""``make bench``: pycontainer beside what a user would pick instead.

    python -m bench [SECTION...] [--rounds N] [--json FILE] [--write-docs] [--from FILE]

Peers are those that are installed; who is missing leaves a column empty. Daemons are started and stopped here, and
everything happens in a mount and a network namespace of its own. Needs root.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable

from bench import crowd, growth, listing, machine, report, runtime, starts, trace, traffic, transfer
from bench.measure import Failed, Table
from bench.peers import Stage, go_apart, stage

SECTIONS: dict[str, tuple[Callable[[Stage, int], list[Table]], str]] = {
    "starts": (starts.measure, "run in its ways, from inside Python, and exec"),
    "runtime": (runtime.measure, "pyc-oci beside runc and crun"),
    "listing": (listing.measure, "ps, inspect and logs with 100 containers"),
    "crowd": (crowd.measure, "starts per second, idle containers, 500 alive"),
    "traffic": (traffic.measure, "log and published port"),
    "pull": (transfer.measure_pull, "pull and unpack 502 MB"),
    "images": (transfer.measure_images, "push, save and load"),
    "growth": (growth.measure, "against containers, layers and mounts"),
    "trace": (trace.measure, "where the time of one start goes"),
}


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    listed = "\n".join(f"  {name:8}  {words}" for name, (_, words) in SECTIONS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=(__doc__ or "").splitlines()[0],
        epilog="sections:\n" + listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="what to measure (all)")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each start; what takes long has fewer (20)")
    parser.add_argument("--json", metavar="FILE", help="write all samples there")
    parser.add_argument("--write-docs", action="store_true", help="put the figures into docs/ and README.md")
    parser.add_argument("--from", dest="source", metavar="FILE", help="measure nothing: take what --json wrote")
    found = parser.parse_args(arguments)
    if unknown := [name for name in found.sections if name not in SECTIONS]:
        parser.error(f"no section {unknown[0]}: there are {', '.join(SECTIONS)}")
    if found.rounds < 1:
        parser.error("--rounds must be at least 1")
    if not found.source and os.geteuid() != 0:
        parser.error("containers need root")
    return found


def measured(names: list[str], rounds: int) -> report.Report:
    """Run the sections."""
    host, tables = machine.described(), []
    if os.getloadavg()[0] > (os.cpu_count() or 1) / 2:
        print("bench: this machine is busy: ratios will do, the figures themselves will not", file=sys.stderr)
    with stage() as shared:
        for name in names or SECTIONS:
            began = time.monotonic()
            print(f"bench: {name} ...", end=" ", file=sys.stderr, flush=True)
            try:
                tables += SECTIONS[name][0](shared, rounds)
            except Failed as error:
                print(f"failed: {error}", file=sys.stderr)
                continue
            print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return report.Report(host, rounds, tables)


def main(arguments: list[str]) -> int:
    """Measure, show, and write."""
    asked = options(arguments)
    if asked.source:
        try:
            found = report.Report.read(asked.source)
        except (OSError, ValueError, KeyError, TypeError) as error:
            print(f"bench: {asked.source} is no report of ours: {error}", file=sys.stderr)
            return 2
    else:
        go_apart("bench", arguments)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
        found = measured(asked.sections, asked.rounds)
    report.show(found)
    if asked.json:
        found.write(asked.json)
    if asked.write_docs:
        report.write_documents(found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
