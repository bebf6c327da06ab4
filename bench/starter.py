"""One of several processes that start containers at the same time; bench/crowd.py runs it as a program.

    python -P bench/starter.py ROOT RUNROOT IMAGE COUNT

It starts one, to load what that takes, and says so by a line. For a line it then starts COUNT, and says that it has.
"""

from __future__ import annotations

import sys

import pycontainer
from pycontainer.engine.options import Roots


def main(root: str, runroot: str, image: str, count: str) -> None:
    """Start one, wait, start the others."""

    def start() -> None:
        pycontainer.run(image, ["true"], network="none", pull="never", roots=Roots(root, runroot)).check()

    start()
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(count)):
        start()
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
