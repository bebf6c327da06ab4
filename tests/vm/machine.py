"""A VM in QEMU: start it, run commands in it through ssh, reboot it, and cut its power."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import tempfile
import time
from types import TracebackType
from typing import IO

from images.registry import free_port
from tests.support.cli import Result
from tests.vm.image import Image

BOOT = 600.0  # seconds; with KVM it takes 5, with software emulation 12, on a busy machine many times that
REGISTRY = "10.0.2.100:5000"  # where a VM finds this host's registry, the only place that it can reach


class MachineDown(Exception):
    """The VM did not come up, or has gone."""


class Machine:
    """A VM with a disk of its own in ``directory``, where its console is logged too.

    Attributes:
        log: the path of what it wrote to its console.
        accelerator: "kvm" or "tcg", software emulation.
        booted: how many seconds the last boot took, until ssh answered.
    """

    def __init__(
        self, image: Image, directory: str, *, data: str, registry: str, memory: int = 2048, cpus: int = 1
    ) -> None:
        """``data`` is the file that is to be the second disk, /dev/vdb; ``registry`` is what REGISTRY is here."""
        self.image, self.directory, self.memory, self.cpus = image, directory, memory, cpus
        self.data, self.registry = data, registry
        self.log = os.path.join(directory, "console.log")
        self.disk = os.path.join(directory, "disk.img")
        self.accelerator = accelerator()
        self.booted = 0.0
        self._port = 0
        self._socket = ""
        self._qemu: subprocess.Popen[bytes] | None = None
        self._connection: subprocess.Popen[bytes] | None = None

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
        self._port = free_port()
        self._socket = os.path.join(tempfile.gettempdir(), f"pyc-vm-{self._port}")  # a path must be short, unix(7)
        with open(self.log, "ab") as log:
            self._qemu = subprocess.Popen(  # a session of its own, so that Ctrl-C does not pull its plug
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        patience = 1.0
        while not self._answers(patience):
            if self._qemu.poll() is not None or time.monotonic() > began + BOOT:
                with open(self.log, errors="replace") as text:
                    raise MachineDown(f"the VM does not answer:\n{text.read()[-3000:]}")
            time.sleep(0.2)
            patience = min(patience * 1.5, 60)  # a question that is not waited for is work in vain, for a slow machine
        self.booted = time.monotonic() - began
        self._open_connection()

    def power_off(self, timeout: float = 300) -> bool:
        """Let it shut down; pull the plug if that takes too long, and return False."""
        done = self._qemu is None
        if self._qemu and self._qemu.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self("systemctl poweroff", timeout=timeout)
                done = self._qemu.wait(timeout) == 0
        self.cut_power()
        return done

    def reboot(self) -> None:
        """Shut down in good order and boot again. Raises MachineDown if it does not shut down."""
        if not self.power_off():
            with open(self.log, errors="replace") as text:
                raise MachineDown(f"the VM does not shut down:\n{text.read()[-3000:]}")
        self.power_on()

    def cut_power(self) -> None:
        """What happens when somebody pulls the plug: whatever the guest had not written to its disk is lost."""
        for process in filter(None, (self._qemu, self._connection)):
            process.kill()
            process.wait()
        self._qemu = self._connection = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._socket)

    def _command(self) -> list[str]:
        # restrict: no way out but to the registry, so no test can depend on a network.
        registry = f"tcp:{REGISTRY}-cmd:busybox nc {self.registry.replace(':', ' ')}"
        forward = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self._port}-:22,guestfwd={registry}"
        # A power cut is the end of QEMU: what the guest has flushed is this host's then, so no disk need be waited for.
        disk = f"file={self.disk},if=virtio,format=raw,cache=unsafe,discard=unmap"
        return [
            *("qemu-system-x86_64", *_kind(self.accelerator)),
            *("-smp", str(self.cpus), "-m", str(self.memory), "-nographic", "-no-reboot", "-nodefaults", "-no-hpet"),
            *("-serial", "stdio", "-kernel", self.image.kernel, "-initrd", self.image.initrd),
            *("-append", f"root=/dev/vda rw console=ttyS0 quiet {parameters(self.accelerator)}"),
            *("-drive", disk, "-drive", f"file={self.data},if=virtio,format=raw,readonly=on"),
            *("-netdev", forward, "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"),
        ]

    def _answers(self, patience: float) -> bool:
        """Whether sshd says who it is. QEMU itself takes connections from the first moment."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 2) as probe:
            probe.settimeout(patience)
            return probe.recv(4) == b"SSH-"
        return False

    # --- use ----------------------------------------------------------------------------------------------------------

    def _open_connection(self) -> None:
        """Log in once: to do that for each command is a second of work for an emulated processor."""
        nothing = subprocess.DEVNULL
        command = [*self.ssh()[:-1], "-o", "ControlMaster=yes", "-N", self.ssh()[-1]]
        self._connection = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)

    def ssh(self, user: str = "root") -> list[str]:
        """The beginning of an ssh command line; the shell command comes behind it. Only root's logins are one."""
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
        if user == "root":
            words += ["-S", self._socket]
        return ["ssh", "-i", self.image.key, "-p", str(self._port), *words, f"{user}@127.0.0.1"]

    def __call__(
        self,
        script: str,
        *,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        timeout: float = 600,
        user: str = "root",
        check: bool = False,
    ) -> Result:
        """Run a shell script in a session of ``user``; with ``check``, a failed one raises AssertionError."""
        done = subprocess.run([*self.ssh(user), script], stdin=stdin, capture_output=True, timeout=timeout)
        result = Result(
            (script,), done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        return result.ok() if check else result

    def start(
        self,
        script: str,
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: IO[bytes] | int = subprocess.PIPE,
        stderr: int = subprocess.STDOUT,
    ) -> subprocess.Popen[bytes]:
        """Run a shell script as root without waiting; its output is the caller's to read."""
        return subprocess.Popen([*self.ssh(), script], stdin=stdin, stdout=stdout, stderr=stderr)

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


def parameters(accelerator: str) -> str:
    """Return those of the kernel that spare it work.

    An emulator keeps the code that it has translated by the address where it stands, and translates it anew for each
    process if that is another one each time.
    """
    return "mitigations=off tsc=reliable rcupdate.rcu_expedited=1" + " norandmaps" * (accelerator == "tcg")
