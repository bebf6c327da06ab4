"""The VM's disk: a Debian with what the tests need, built from Debian's packages once, and kept under .cache/vm.

``python -m tests.vm.image [bookworm|trixie]`` builds it and prints where it is. A built one is used until the list of
packages changes, or what is configured below. Beside the disk stay the kernel, and the same root as a directory: it has
the compiler and the Python that the project is built and installed with.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from typing import NamedTuple

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
CACHE = os.path.join(SOURCE, ".cache", "vm")

SYSTEM = (
    "linux-image-cloud-amd64 initramfs-tools systemd-sysv libpam-systemd dbus udev kmod openssh-server sudo e2fsprogs"
)
TESTS = (
    "busybox-static bzip2 criu docker-registry iproute2 nginx-light python3-pip rsync skopeo strace util-linux xz-utils"
    " zstd"
)
SIZE = 6 << 30  # of the disk; what is not written takes no place

# Relative to the root. DHCP is QEMU's own; the daemon of Debian's registry is started by the tests, not by the machine.
FILES = {
    "etc/initramfs-tools/conf.d/few": "MODULES=list\n",
    "etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\n",  # all of them take seconds to unpack
    "etc/fstab": "/dev/vda / ext4 defaults,errors=remount-ro 0 0\n",
    "etc/hostname": "pycontainer\n",
    "etc/hosts": "127.0.0.1 localhost pycontainer\n",
    "etc/resolv.conf": "nameserver 10.0.2.3\n",
    "etc/systemd/network/10-all.network": "[Match]\nName=e*\n[Network]\nDHCP=ipv4\n",
    "etc/sudoers.d/vagrant": "vagrant ALL=(ALL) NOPASSWD: ALL\n",
    "etc/pip.conf": "[global]\nno-index = true\nfind-links = /opt/wheels\n",
    "etc/ssh/sshd_config.d/test.conf": "UseDNS no\nPermitRootLogin prohibit-password\nMaxSessions 50\n",
}
SETUP = """
set -eu
useradd --create-home --shell /bin/bash vagrant
for home in /root /home/vagrant; do
  mkdir -m 700 -p $home/.ssh
  cp /tmp/key.pub $home/.ssh/authorized_keys
done
chown -R vagrant: /home/vagrant/.ssh
update-initramfs -u -k all >/dev/null
systemctl --quiet enable systemd-networkd ssh
systemctl --quiet disable docker-registry nftables nginx 2>/dev/null || true
systemctl --quiet mask serial-getty@ttyS0 apt-daily.timer apt-daily-upgrade.timer e2scrub_reap.service
"""
PREFIX, AT = "/opt/pycontainer", "/opt/tests"  # where pyc is, as provision has it, and the tests
# Whoever collects tests compiles them.
PREPARE = f"""
cd {AT}
{PREFIX}/bin/python -m images.build busybox alpine layers >/dev/null
{PREFIX}/bin/python -m pytest -q --collect-only tests/root >/dev/null
"""
# What comes behind it, a root and a script, sees nothing of this host but that root.
MOUNTS = 'mount -t proc proc "$0/proc" && mount -t sysfs sysfs "$0/sys" && exec chroot "$0" sh -ec "$1"'
ALONE = ("unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", MOUNTS)


class Image(NamedTuple):
    """What a machine is started from; all are paths.

    Attributes:
        suite: the Debian's name.
        disk: raw, with one ext4 filesystem; not to be written to.
        kernel, initrd: of the disk.
        root: the same files as a directory.
        key: of ssh, for root and vagrant.
    """

    suite: str
    disk: str
    kernel: str
    initrd: str
    root: str
    key: str


def image(suite: str = "bookworm") -> Image:
    """The image, built now if it is not there yet (a minute or two). Raises CalledProcessError with what failed."""
    os.makedirs(CACHE, mode=0o700, exist_ok=True)
    place = os.path.join(CACHE, f"{suite}-{_recipe(suite)}")
    with open(os.path.join(CACHE, f"{suite}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(place):
            _build(suite, place)
    kernel, initrd = (_newest(place + "/root/boot", name) for name in ("vmlinuz-", "initrd.img-"))
    return Image(suite, place + "/disk.img", kernel, initrd, place + "/root", place + "/key")


def install(built: Image, archive: str) -> None:
    """Build the project's wheel, install it as a user would, and write what that made into a tar archive, tests too.

    All of it with the image's own Python, compiler and ``provision``, but by chroot: pip takes minutes in a VM that is
    emulated by software, and seconds here; so do compiling the tests and building the images that most of them need.
    The archive is to be unpacked at the VM's /.
    """
    with (
        open(os.path.join(CACHE, f"{built.suite}.lock"), "w") as lock,
        tempfile.TemporaryDirectory(dir=built.root + "/tmp") as work,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        inside = work.removeprefix(built.root)
        for name in ("pycontainer", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
            _copy(os.path.join(SOURCE, name), os.path.join(work, name))
        shutil.copy(os.path.join(HERE, "provision"), work)
        for left in (PREFIX, AT):
            shutil.rmtree(built.root + left, ignore_errors=True)
        chroot = ("chroot", built.root)
        _run(*chroot, "pip3", "wheel", "-q", "--no-deps", "-w", f"{inside}/out", inside)
        (wheel,) = os.listdir(f"{work}/out")
        _run(*chroot, "sh", f"{inside}/provision", f"{inside}/out/{wheel}")
        _run(*chroot, f"{PREFIX}/bin/pip", "install", "-q", "pytest")
        for name in ("tests", "images", "docs", "pyproject.toml"):
            _copy(os.path.join(SOURCE, name), f"{built.root}{AT}/{name}")
        _run(*ALONE, built.root, PREPARE)
        _run("tar", "-C", built.root, "-cf", archive, PREFIX[1:], AT[1:], "usr/local/bin")


def _copy(source: str, target: str) -> None:
    if os.path.isdir(source):
        built = shutil.ignore_patterns("__pycache__", "*.so", "performer", "_core.c", "_seccomp.c", "out")
        shutil.copytree(source, target, ignore=built)
    else:
        shutil.copy(source, target)


def packages() -> list[str]:
    """Everything to be installed: the system, what the tests need, and what ``provision`` asks for."""
    with open(os.path.join(HERE, "provision")) as file:
        (line,) = (line for line in file if line.startswith("packages="))
    return sorted({*SYSTEM.split(), *TESTS.split(), *shlex.split(line.partition("=")[2])[0].split()})


def wheels() -> list[str]:
    """What pip takes from PyPI: what the project depends on, what builds its wheel, and pytest."""
    with open(os.path.join(SOURCE, "pyproject.toml"), "rb") as file:
        project = tomllib.load(file)
    tools = [name for name in project["project"]["optional-dependencies"]["dev"] if name.startswith("pytest")]
    return sorted({*project["project"]["dependencies"], *project["build-system"]["requires"], *tools, "wheel"})


def _recipe(suite: str) -> str:
    what = repr((suite, packages(), wheels(), FILES, SETUP, SIZE))
    return hashlib.sha256(what.encode()).hexdigest()[:12]


def _build(suite: str, place: str) -> None:
    print(f"building the image of a {suite} machine", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix=suite, dir=CACHE) as work:
        root = f"{work}/root"
        include = ",".join(packages())
        _run("mmdebstrap", "--quiet", "--mode=root", "--variant=apt", f"--include={include}", suite, root)
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pycontainer's tests", "-f", f"{work}/key")
        for path, text in FILES.items():
            _write(os.path.join(root, path), text)
        shutil.copy(f"{work}/key.pub", f"{root}/tmp/key.pub")
        _run("chroot", root, "sh", "-c", SETUP)
        _fetch_wheels(root)
        _run("truncate", "--size", str(SIZE), f"{work}/disk.img")
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", "-d", root, f"{work}/disk.img")
        shutil.rmtree(place, ignore_errors=True)
        os.mkdir(f"{work}/done", 0o700)
        for name in ("root", "disk.img", "key"):
            os.rename(f"{work}/{name}", f"{work}/done/{name}")
        os.rename(f"{work}/done", place)


def _fetch_wheels(root: str) -> None:
    """Into /opt/wheels, with the names and the certificates of this host: a mirror may have its own authority."""
    lent = {"/etc/resolv.conf": "/etc/resolv.conf", "/etc/hosts": "/etc/hosts"}
    certificates = "/etc/ssl/certs/ca-certificates.crt"
    if os.path.exists(certificates):
        lent[certificates] = "/tmp/certificates.crt"
    saved = {path: _read(root + path) for path in lent.values() if os.path.exists(root + path)}
    for source, target in lent.items():
        shutil.copy(source, root + target)
    passed = {name: value for name, value in os.environ.items() if name.upper().endswith("_PROXY")}
    passed |= {name: os.environ[name] for name in ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT") if name in os.environ}
    passed |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "PIP_CONFIG_FILE": "/dev/null"}
    if certificates in lent:
        passed["PIP_CERT"] = lent[certificates]
    _run("chroot", root, "pip3", "wheel", "-q", "--no-cache-dir", "-w", "/opt/wheels", *wheels(), env=passed)
    for target in lent.values():
        os.unlink(root + target)
    for path, text in saved.items():
        _write(root + path, text)


def _newest(directory: str, prefix: str) -> str:
    return os.path.join(directory, max(name for name in os.listdir(directory) if name.startswith(prefix)))


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.islink(path):
        os.unlink(path)
    with open(path, "w") as file:
        file.write(text)


def _run(*command: str, env: dict[str, str] | None = None) -> None:
    clean = {**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"}
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, env=clean if env is None else env)


if __name__ == "__main__":
    print(image(*sys.argv[1:2]).disk)
