"""`pyc-oci` on bundles that a test makes: a directory with busybox in it and a config.json."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from pycontainer.oci.example import example
from tests.support.engines import RUNTIME, Done

PROGRAMS = (
    "sh true cat sleep id ps echo mount hostname env ls touch test kill grep chmod mkdir stat readlink date".split()
)


class Oci:
    """A ``--root`` of its own, and the bundles beside it.

    ``above`` are the words of a command that runs it, as another user perhaps.
    """

    def __init__(self, where: str, above: Sequence[str] = ()) -> None:
        self.above = tuple(above)
        self.where, self.root = where, f"{where}/state"
        self.rootfs = f"{where}/rootfs"
        os.makedirs(f"{self.rootfs}/bin", exist_ok=True)
        os.chmod(where, 0o755)
        shutil.copy(shutil.which("busybox") or "/bin/busybox", f"{self.rootfs}/bin/busybox")
        for name in PROGRAMS:
            os.symlink("busybox", f"{self.rootfs}/bin/{name}")
        os.mkdir(f"{self.rootfs}/tmp", 0o777)
        os.chmod(f"{self.rootfs}/tmp", 0o1777)

    def spec(self, *args: str) -> dict[str, Any]:
        """The example's spec with this command, no terminal and a writable root."""
        spec: dict[str, Any] = dict(example())
        spec["process"] |= {"args": list(args), "terminal": False}
        spec["root"] = {"path": self.rootfs}
        return spec

    def bundle(self, spec: dict[str, Any], name: str = "bundle") -> str:
        """Write it, and return the directory."""
        directory = f"{self.where}/{name}"
        os.makedirs(directory, exist_ok=True)
        os.chown(directory, os.stat(self.where).st_uid, -1)
        with open(f"{directory}/config.json", "w") as file:
            json.dump(spec, file)
        return directory

    def __call__(self, *words: str, stdin: bytes = b"", **more: Any) -> Done:
        argv = [*self.above, RUNTIME, "--root", self.root, *words]
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=60, **more)
        return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def run(self, spec: dict[str, Any], *options: str, **more: Any) -> Done:
        """`run` in the foreground."""
        return self("run", "--bundle", self.bundle(spec), *options, "test", **more)

    def output(self, spec: dict[str, Any], *options: str, **more: Any) -> str:
        """What it wrote, when it must succeed."""
        done = self.run(spec, *options, **more)
        assert done.code == 0, done.err
        return done.out

    def create(self, spec: dict[str, Any], *options: str, name: str = "test", **more: Any) -> int:
        """`create` as an engine does it, with its streams in a file; returns the pid."""
        bundle = self.bundle(spec, name)
        argv = [*self.above, RUNTIME, "--root", self.root, "create", "--bundle", bundle, "--pid-file", f"{bundle}/pid"]
        with open(f"{bundle}/out", "wb") as out:
            done = subprocess.run([*argv, *options, name], stdin=subprocess.DEVNULL, stdout=out, stderr=out, **more)
        assert done.returncode == 0, self.said(name)
        with open(f"{bundle}/pid") as file:
            return int(file.read())

    def said(self, name: str = "test") -> str:
        """What a created container has written so far."""
        with open(f"{self.where}/{name}/out") as file:
            return file.read()

    def status(self, name: str = "test") -> str:
        """As `state` tells it."""
        done = self("state", name)
        assert done.code == 0, done.err
        return str(json.loads(done.out)["status"])

    def clean(self) -> None:
        """Delete all that is left."""
        for name in self("list", "--quiet").out.split():
            self("delete", "--force", name)
