"""A VM in QEMU: start it, run commands in it through ssh, reboot it, and cut its power."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import time
from types import TracebackType
from typing import IO

from images.registry import free_port
from tests.support.cli import Result
from tests.vm.image import Image

BOOT = 180.0  # seconds; with KVM it takes 5, with software emulation on a busy machine many times that


class MachineDown(Exception):
    """The VM did not come up, or has gone."""


class Machine:
    """A VM with a disk of its own in ``directory``, where its console is logged too.

    Attributes:
        log: the path of what it wrote to its console.
        accelerator: "kvm" or "tcg", software emulation.
        booted: how many seconds the last boot took, until ssh answered.
    """

    def __init__(self, image: Image, directory: str, *, memory: int = 2048, cpus: int = 2) -> None:
        self.image, self.directory, self.memory, self.cpus = image, directory, memory, cpus
        self.log = os.path.join(directory, "console.log")
        self.disk = os.path.join(directory, "disk.img")
        self.accelerator = accelerator()
        self.booted = 0.0
        self._port = free_port()
        self._qemu: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Machine:
        os.makedirs(self.directory, exist_ok=True)
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.image.disk, self.disk], check=True)
        try:
            self.power_on()
        except BaseException:
            self.cut_power()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.power_off()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.disk)

    # --- power --------------------------------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Boot, and wait until ssh answers. Raises MachineDown with the end of the console's log."""
        began = time.monotonic()
        with open(self.log, "ab") as log:
            self._qemu = subprocess.Popen(  # a session of its own, so that Ctrl-C does not pull its plug
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        while not self._answers():
            if self._qemu.poll() is not None or time.monotonic() > began + BOOT:
                with open(self.log, errors="replace") as text:
                    raise MachineDown(f"the VM does not answer:\n{text.read()[-3000:]}")
            time.sleep(0.2)
        self.booted = time.monotonic() - began

    def power_off(self, timeout: float = 90) -> None:
        """Let it shut down; pull the plug if that takes too long."""
        if self._qemu and self._qemu.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self("systemctl poweroff", timeout=30)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._qemu.wait(timeout)
        self.cut_power()

    def reboot(self) -> None:
        """Shut down in good order and boot again."""
        self.power_off()
        self.power_on()

    def cut_power(self) -> None:
        """What happens when somebody pulls the plug: whatever the guest had not written to its disk is lost."""
        if self._qemu:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None

    def _command(self) -> list[str]:
        forward = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self._port}-:22"
        # restrict: no way out, so no test can depend on a network. writethrough would hide what a power cut loses.
        disk = f"file={self.disk},if=virtio,format=raw,cache=writeback,discard=unmap"
        return [
            *("qemu-system-x86_64", *_kind(self.accelerator)),
            *("-smp", str(self.cpus), "-m", str(self.memory), "-nographic", "-no-reboot", "-nodefaults", "-no-hpet"),
            *("-serial", "stdio", "-kernel", self.image.kernel, "-initrd", self.image.initrd),
            *("-append", "root=/dev/vda rw console=ttyS0 quiet mitigations=off tsc=reliable"),
            *(
                "-drive",
                disk,
                "-netdev",
                forward,
                "-device",
                "virtio-net-pci,netdev=net,romfile=",
                "-device",
                "virtio-rng-pci",
            ),
        ]

    def _answers(self) -> bool:
        """Whether sshd says who it is. QEMU itself takes connections from the first moment."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 2) as probe:
            probe.settimeout(2)
            return probe.recv(4) == b"SSH-"
        return False

    # --- use ----------------------------------------------------------------------------------------------------------

    def ssh(self, user: str = "root") -> list[str]:
        """The beginning of an ssh command line; the shell command comes behind it."""
        options = (
            *("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"),
            *(
                "ConnectTimeout=60",
                "IdentitiesOnly=yes",
                "PreferredAuthentications=publickey",
                "ServerAliveInterval=15",
            ),
        )
        words = [word for option in options for word in ("-o", option)]
        return ["ssh", "-i", self.image.key, "-p", str(self._port), *words, f"{user}@127.0.0.1"]

    def __call__(
        self,
        script: str,
        *,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        timeout: float = 120,
        user: str = "root",
        check: bool = False,
    ) -> Result:
        """Run a shell script in a session of ``user``; with ``check``, a failed one raises AssertionError."""
        done = subprocess.run([*self.ssh(user), script], stdin=stdin, capture_output=True, timeout=timeout)
        result = Result(
            (script,), done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        return result.ok() if check else result

    def start(self, script: str, *, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Run a shell script as root without waiting; its output is the caller's to read."""
        return subprocess.Popen([*self.ssh(), script], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def send(self, sources: list[str], target: str, *, below: str = "/") -> None:
        """Copy files and directories, named relative to ``below``, into the directory ``target`` of the VM."""
        skipped = [f"--exclude={name}" for name in ("__pycache__", "images/out", "*.so", ".cache")]
        where = shlex.quote(target)
        with subprocess.Popen(["tar", "-C", below, *skipped, "-cf", "-", *sources], stdout=subprocess.PIPE) as tar:
            assert tar.stdout
            self(f"mkdir -p {where} && tar -C {where} -xf - --no-same-owner", stdin=tar.stdout, check=True)
        assert tar.returncode == 0

    def fetch(self, path: str, target: str) -> None:
        """Copy one file of the VM to the path ``target`` here."""
        with open(target, "wb") as file:
            subprocess.run([*self.ssh(), f"cat {shlex.quote(path)}"], stdout=file, check=True, timeout=120)


def accelerator() -> str:
    """Return "kvm" where the processor virtualizes, else "tcg", software emulation.

    /dev/kvm alone proves nothing: it can be of a KVM that itself runs in a VM without nested virtualization, interprets
    what a guest's kernel does, and gives up at the first instruction that it does not know.
    """
    hardware = any(os.path.isdir(f"/sys/module/{module}") for module in ("kvm_intel", "kvm_amd"))
    return "kvm" if hardware and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"


def _kind(accelerator: str) -> tuple[str, ...]:
    """The simplest processor: what newer ones have, vectors above all, is slow to emulate."""
    return ("-accel", accelerator, "-cpu", "qemu64,+rdtscp" if accelerator == "tcg" else "host")
