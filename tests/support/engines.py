"""Other engines with `pyc-oci` underneath, each with its state in a directory of the test's own.

The daemons run in mount and network namespaces of their own: what they mount and which bridges they make is gone with
them, whatever happens.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from images import build

RUNTIME = os.path.join(os.path.dirname(sys.executable), "pyc-oci")
# Debian's engines don't take a hybrid host's second hierarchy; loopback is for their own sockets.
_ALONE = (
    'mountpoint -q /sys/fs/cgroup/unified && umount /sys/fs/cgroup/unified; ip link set lo up; cd /; exec "$0" "$@"'
)


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Engine:
    """A command line, and perhaps the daemon behind it."""

    def __init__(self, command: Sequence[str], env: dict[str, str] | None = None) -> None:
        self.command, self.env = list(command), {**os.environ, **(env or {})}
        self.daemon: subprocess.Popen[bytes] | None = None

    def __call__(self, *words: str, stdin: bytes | None = None) -> Done:
        done = subprocess.run(
            [*self.command, *words],
            env=self.env,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def ok(self, *words: str) -> str:
        """The output of a command that must succeed."""
        done = self(*words)
        assert done.code == 0, f"{words}: {done.err or done.out}"
        return done.out.strip()

    def on_terminal(self, *words: str) -> tuple[int, str]:
        """Exit code and output of a command whose streams are a terminal."""
        pid, master = pty.fork()
        if pid == 0:
            os.execvpe(self.command[0], [*self.command, *words], self.env)
        output = b""
        try:
            while chunk := os.read(master, 65536):
                output += chunk
        except OSError:
            pass  # the other side is closed
        os.close(master)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.decode(errors="replace").replace("\r", "")

    def serve(self, argv: Sequence[str], log: str, socket: str) -> None:
        """Start the daemon, in namespaces of its own, and wait for its socket."""
        with open(log, "wb") as file:
            self.daemon = subprocess.Popen(
                ["unshare", "-m", "-n", "--propagation", "private", "sh", "-c", _ALONE, *argv],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        deadline = time.monotonic() + 30
        while not os.path.exists(socket):
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                with open(log) as told:
                    raise AssertionError(f"{argv[0]} did not start:\n{told.read()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the daemon, and wait for it."""
        if self.daemon is None:
            return
        self.daemon.send_signal(signal.SIGTERM)
        try:
            self.daemon.wait(20)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()


def wait_until(condition: object, seconds: float = 10) -> None:
    """Until the callable says yes."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def archive(kind: str, directory: str) -> str:
    """busybox as a ``docker-archive`` or ``oci-archive``."""
    path = f"{directory}/busybox.{kind}.tar"
    layout = build.layout("busybox")
    copied = [
        "skopeo",
        "--insecure-policy",
        "copy",
        "-q",
        f"oci:{layout}:latest",
        f"{kind}:{path}:docker.io/library/busybox:latest",
    ]
    subprocess.run(copied, check=True, timeout=60)
    return path


def remove_parents(*names: str) -> None:
    """Empty cgroups that an engine leaves above its containers."""
    for hierarchy in ("/sys/fs/cgroup", *(entry.path for entry in os.scandir("/sys/fs/cgroup"))):
        for name in names:
            top = f"{hierarchy}/{name}"
            for place, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(place)
                except OSError:
                    continue
