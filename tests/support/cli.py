"""``pyc`` as a user starts it: another process, its own state, a clean environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field

from tests.support.terminal import Terminal


@dataclass(frozen=True)
class Result:
    """What a finished command left: its exit code and both outputs, decoded."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    def ok(self) -> Result:
        """This result, or a failed test that shows both outputs."""
        assert self.code == 0, f"{' '.join(self.argv)} exited {self.code}\n{self.stdout}{self.stderr}"
        return self


def pyc_command() -> str:
    """The ``pyc`` beside the interpreter that runs the tests, else the one on the PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), "pyc")
    return beside if os.path.exists(beside) else shutil.which("pyc") or "pyc"


@dataclass(frozen=True)
class Pyc:
    """A ``pyc`` bound to its own ``--root`` and ``--runroot``: calling it runs a command to its end.

    Attributes:
        scratch: an empty directory for the test; HOME is in it, so no file of the developer's is read.
        environment: added to the clean environment of every command.
    """

    root: str
    runroot: str
    scratch: str
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def beneath(cls, directory: str, environment: dict[str, str] | None = None) -> Pyc:
        """Make the three directories beneath ``directory``."""
        made = cls(directory + "/root", directory + "/runroot", directory + "/scratch", environment or {})
        os.makedirs(os.path.join(made.scratch, "home"))
        return made

    def argv(self, *arguments: str) -> list[str]:
        return [pyc_command(), "--root", self.root, "--runroot", self.runroot, *arguments]

    def env(self, **more: str) -> dict[str, str]:
        """Nothing of the developer's environment but the search path."""
        clean = {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.path.join(self.scratch, "home")}
        clean["PYC_NETWORK"] = "none"  # tests of networks have a host of their own
        return {**clean, "LANG": "C.UTF-8", "TERM": "xterm", **self.environment, **more}

    def __call__(
        self, *arguments: str, stdin: str | bytes = b"", timeout: float = 60, env: dict[str, str] | None = None
    ) -> Result:
        """Run ``pyc ARGUMENTS`` and wait; a hang is killed after ``timeout`` seconds and fails the test."""
        done = subprocess.run(
            self.argv(*arguments),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=timeout,
            env=self.env(**(env or {})),
            cwd=self.scratch,
        )
        return Result(("pyc", *arguments), done.returncode, _text(done.stdout), _text(done.stderr))

    def start(self, *arguments: str, **options: int) -> subprocess.Popen[bytes]:
        """Start ``pyc ARGUMENTS`` without waiting; its streams are pipes unless ``options`` say otherwise."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(self.argv(*arguments), env=self.env(), cwd=self.scratch, **pipes)  # type: ignore[call-overload,no-any-return]

    def terminal(self, *arguments: str, rows: int = 24, columns: int = 80) -> Terminal:
        """Start ``pyc ARGUMENTS`` on a terminal of its own."""
        return Terminal(self.argv(*arguments), env=self.env(), cwd=self.scratch, rows=rows, columns=columns)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def sh(script: str) -> tuple[str, ...]:
    """The words of a command that runs ``script`` in the container's shell."""
    return ("sh", "-c", script)
