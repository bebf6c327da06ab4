"""``make bench``: pycontainer beside what a user would pick instead.

    python -m bench [SECTION...] [--rounds N] [--json FILE] [--from FILE] [--write-docs]

Peers are those that are installed; who is missing leaves a column empty. Daemons are started and stopped here, and
everything happens in a mount and a network namespace of its own. Needs root.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from types import FrameType, ModuleType

from bench import crowd, growth, images, listing, machine, pull, report, runtime, starts, trace, traffic
from bench.measure import Failed, Table, last_words
from bench.report import Report
from bench.stage import Stage, go_apart, is_apart, stage
from images import build

SECTIONS: dict[str, ModuleType] = {
    module.__name__.removeprefix("bench."): module
    for module in (starts, runtime, listing, crowd, traffic, pull, images, growth, trace)
}
QUIET = 0.1  # what share of the processors others may use, for figures that are to be published


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    listed = "\n".join(f"  {name:8}  {(module.__doc__ or '').splitlines()[0]}" for name, module in SECTIONS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=(__doc__ or "").splitlines()[0],
        epilog="sections:\n" + listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="what to measure (all)")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each start; what takes long has fewer (20)")
    parser.add_argument("--json", metavar="FILE", help="write all samples there")
    parser.add_argument("--from", dest="source", metavar="FILE", help="what --json wrote: measure only SECTIONs anew")
    parser.add_argument("--write-docs", action="store_true", help="put the figures into docs/ and README.md")
    found = parser.parse_args(arguments)
    if unknown := [name for name in found.sections if name not in SECTIONS]:
        parser.error(f"no section {unknown[0]}: there are {', '.join(SECTIONS)}")
    if found.rounds < 1:
        parser.error("--rounds must be at least 1")
    if found.write_docs and found.sections and not found.source:
        parser.error(f"the documents are of whole runs: name no SECTION, or take the others --from {report.RESULTS}")
    if (found.sections or not found.source) and os.geteuid() != 0:
        parser.error("containers need root")
    return found


def build_images(names: list[str]) -> None:
    """Build what the sections need while there is a network; who needs what can't be built will miss it."""
    for image in dict.fromkeys(
        ["busybox", *(image for name in names for image in getattr(SECTIONS[name], "IMAGES", ()))]
    ):
        try:
            build.layout(image)
        except build.RecipeError as error:
            tell(f"image {image}: {last_words(str(error))}")


def measured(names: list[str], rounds: int) -> Report:
    """Run the sections. One that fails is told, and the others go on."""
    began, host, tables = time.monotonic(), machine.described(), list[Table]()
    if (busy := machine.busy()) > QUIET:
        host["note"] = f"others used {busy:.0%} of this machine: ratios will do, the figures themselves will not"
        tell(host["note"])
    failures: dict[str, str] = {}
    with stage() as shared:
        for name in names:
            _section(name, shared, rounds, tables, failures)
    host["load"] += f", {os.getloadavg()[0]:.1f} after {(time.monotonic() - began) / 60:.0f} minutes"
    return Report(host, rounds, tables, failures)


def _section(name: str, shared: Stage, rounds: int, tables: list[Table], failures: dict[str, str]) -> None:
    began = time.monotonic()
    try:
        for table in SECTIONS[name].measure(shared, rounds):
            tables.append(table)
    except Failed as error:
        failures[name] = str(error)
    except Exception as error:  # a mistake of ours: an hour of figures is not to be lost for it
        failures[name] = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    took = f"{name:8} {time.monotonic() - began:4.0f} s"
    tell(f"{took}  failed: {failures[name]}" if name in failures else took)


def tell(text: str) -> None:
    """Say what happens."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def end(number: int, _: FrameType | None) -> None:
    """Stop all that was started: no second signal is to disturb that."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    tell("interrupted: removing what was started")
    raise SystemExit(128 + number)


def anew(asked: argparse.Namespace, arguments: list[str], earlier: Report | None) -> Report:
    """Measure what was asked for, after going where it is to happen."""
    names = asked.sections or list(SECTIONS)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is not signal.SIG_IGN:  # as nohup(1) asks for
            signal.signal(each, end)
    if not is_apart():
        build_images(names)
        go_apart("bench", arguments)
    found = measured(names, asked.rounds)
    return report.merged(earlier, found, names) if earlier else found


def main(arguments: list[str]) -> int:
    """Measure, write, and show."""
    asked = options(arguments)
    try:
        found = Report.read(asked.source) if asked.source else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"bench: {asked.source} is no report of ours: {error}", file=sys.stderr)
        return 2
    if asked.sections or found is None:
        found = anew(asked, arguments, found)
    if asked.json:
        found.write(asked.json)
    if asked.write_docs:
        report.write_documents(found)
    report.show(found)
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
