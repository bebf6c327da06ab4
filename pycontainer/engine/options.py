"""What ``run`` is asked to do: a container's options and what happens around it."""

from __future__ import annotations

import os

from pycontainer.oci.options import ContainerOptions
from pycontainer.record import Record


class Roots(Record):
    """Where the state lives: ``root`` survives a reboot, ``runroot`` must not."""

    root: str
    runroot: str

    @classmethod
    def default(cls) -> Roots:
        """/var/lib and /run for root, the XDG directories for everyone else; PYC_ROOT and PYC_RUNROOT before both."""
        if os.geteuid() == 0:
            root, runroot = "/var/lib/pycontainer", "/run/pycontainer"
        else:
            home = os.environ.get("HOME", "/")
            data = os.environ.get("XDG_DATA_HOME") or home + "/.local/share"
            root = data + "/pycontainer"
            runtime = os.environ.get("XDG_RUNTIME_DIR")
            runroot = runtime + "/pycontainer" if runtime else root + "/run"
        asked = os.environ.get("PYC_ROOT") or root, os.environ.get("PYC_RUNROOT") or runroot
        return cls(*map(os.path.abspath, asked))

    @classmethod
    def of(cls, given: Roots | None) -> Roots:
        """Those that a caller has given, or the default. Raises TypeError for what is none."""
        if not isinstance(given, cls | None):
            raise TypeError(f"roots: want pycontainer.Roots(root, runroot), and not {given!r}")
        return given or cls.default()

    def container(self, container_id: str) -> str:
        """The container's directory, which is its OCI bundle."""
        return f"{self.root}/containers/{container_id}"

    def live(self, container_id: str) -> str:
        """Where its live state is."""
        return f"{self.runroot}/containers/{container_id}"


class RunOptions(Record):
    """One ``pyc run``.

    Attributes:
        image: a name, tag, digest or ID, as the user wrote it.
        container: what the container is.
        name: its name, or "" to make one up.
        pull: ``missing``, ``always`` or ``never``.
        platform: ``os[/architecture[/variant]]``, or "" for this host's.
        rm: remove the container when it has exited.
        cidfile: a file that must not exist and gets the container's ID.
        quiet: print nothing while pulling.
        attach: of ``stdin``, ``stdout``, ``stderr``; () means both outputs, and stdin with ``-i``, as in docker.
        sig_proxy: pass signals on to the container's first process.
        dry_run: print the plan instead of carrying it out.
        explain: "" (don't), ``text``, or ``json:FILE``.
        step: wait for the user before each step.
        detach: leave it running and return.
        detach_keys: what to type to leave it; "" for ctrl-p,ctrl-q.
    """

    image: str
    container: ContainerOptions = ContainerOptions()
    name: str = ""
    pull: str = "missing"
    platform: str = ""
    rm: bool = False
    cidfile: str = ""
    quiet: bool = False
    attach: tuple[str, ...] = ()
    sig_proxy: bool = True
    dry_run: bool = False
    explain: str = ""
    step: bool = False
    detach: bool = False
    detach_keys: str = ""
