"""A docker daemon of the test's own: its state in one directory, its mounts and network in namespaces of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

_START = """
umount /sys/fs/cgroup/unified 2>/dev/null
ip link set lo up
exec "$@"
"""


class Dockerd:
    """Usable as a context manager; calling it runs ``docker ARGUMENTS`` and gives what it printed."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.socket = f"unix://{directory}/docker.sock"

    def __enter__(self) -> Dockerd:
        daemon = [
            "dockerd", "--host", self.socket, "--data-root", f"{self.directory}/data",
            "--exec-root", f"{self.directory}/exec", "--pidfile", f"{self.directory}/pid",
            "--iptables=false", "--bridge=none", "--default-ulimit", "nofile=1024:4096",
        ]  # fmt: skip
        apart = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", _START, "sh"]
        with open(f"{self.directory}/log", "wb") as log:
            self._process = subprocess.Popen([*apart, *daemon], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while self._docker("version").returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                with open(f"{self.directory}/log", errors="replace") as log_text:
                    raise RuntimeError(f"dockerd did not start:\n{log_text.read()[-2000:]}")
            time.sleep(0.1)
        return self

    def _docker(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        command = ["docker", "--host", self.socket, *arguments]
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": self.directory}
        return subprocess.run(command, input=stdin or b"", capture_output=True, timeout=60, env=environment)

    def __call__(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        done = self._docker(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
