"""What ``make run`` shows: an image that comes over HTTP from a registry, and a process in a container of it.

Everything happens in a temporary directory and on loopback, and is stopped and removed at the end.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time

from images.build import RecipeError
from images.registry import Registry, RegistryDown

LOOK_AROUND = "cat /etc/os-release; ps; id; hostname"


def _pyc(state: str, *arguments: str) -> int:
    """Run ``pyc ARGUMENTS`` on this terminal, showing the command as a user would type it."""
    print(f"\n$ pyc {shlex.join(arguments)}", flush=True)
    command = [
        os.path.join(os.path.dirname(sys.executable), "pyc"),
        "--root",
        f"{state}/root",
        "--runroot",
        f"{state}/run",
    ]
    environment = {
        **os.environ,
        "CONTAINERS_REGISTRIES_CONF": f"{state}/registry/registries.conf",
        "PYC_NETWORK": "none",  # a bridge would outlive this
    }
    start = time.monotonic()
    code = subprocess.run([*command, *arguments], env=environment).returncode
    print(f"  [{(time.monotonic() - start) * 1000:.0f} ms, exit code {code}]", flush=True)
    return code


def _show(state: str) -> int:
    print("Starting a registry and pushing two images that were built from Debian packages ...", flush=True)
    with Registry(f"{state}/registry") as registry:
        print(
            f"  {registry.publish('busybox')}\n  {registry.publish('alpine')}   (a stand-in: BusyBox, and it says so)"
        )
        registry.mirror()
        print("It stands in for Docker Hub below, by a registries.conf that names it as a mirror.")
        commands = [
            ("run", "--rm", "--hostname", "first-light", "alpine", "sh", "-c", LOOK_AROUND),
            ("run", "--rm", "busybox", "echo", "the second image"),
            ("run", "--rm", "busybox", "echo", "the same again: nothing to pull"),
            ("images",),
        ]
        for command in commands:
            if code := _pyc(state, *command):
                return code
    print(
        "\nThe registry is stopped and all of this is removed. To go on by yourself: `make registry` in one terminal,"
    )
    print("and in another, as root:  .venv/bin/pyc run --rm -it 127.0.0.1:5000/library/alpine sh")
    return 0


def main() -> int:
    if os.geteuid() != 0:
        print("make run: containers need root for now; type: sudo make run", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="pyc-demo-") as state:
            return _show(state)
    except (RegistryDown, RecipeError) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
