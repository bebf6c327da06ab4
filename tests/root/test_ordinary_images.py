"""What people run does what it does under docker, behind our defaults: Debian's own packages, nothing lifted.

What is different is in docs/security.md, and tested at the end.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from images.build import layout
from tests.support.cli import Pyc, Result, sh
from tests.support.host import needs_command

pytestmark = [pytest.mark.root, pytest.mark.slow, needs_command("mmdebstrap", "busybox")]

AS_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups"


@pytest.fixture(scope="module")
def _services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pyc]:
    command = Pyc.beneath(str(tmp_path_factory.mktemp("services")))
    identity = command("load", "-q", "-i", layout("services"), timeout=300).ok().stdout.split()[-1]
    command("tag", identity.removeprefix("sha256:"), "services").ok()
    yield command


class Services:
    """Runs a script in the image."""

    def __init__(self, pyc: Pyc) -> None:
        self.pyc = pyc

    def __call__(self, script: str, *options: str) -> Result:
        return self.pyc("run", "--rm", *options, "services", *sh(script), timeout=120)


@pytest.fixture
def services(_services: Pyc) -> Services:
    return Services(_services)


WORKS = {
    "su": ("su -s /bin/sh nobody -c 'id -u'", "65534"),
    "sudo to root": (f"echo 'nobody ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers; {AS_NOBODY} sudo id -u", "0"),
    "sudo from root": ("sudo -u nobody id -u", "65534"),
    "ping as root": ("ping -c 1 127.0.0.1 | grep -o ' 0% packet loss'", "0% packet loss"),
    "ping as a user": (f"{AS_NOBODY} ping -c 1 127.0.0.1 | grep -o ' 0% packet loss'", "0% packet loss"),
    "useradd and passwd": ("useradd -m bob && echo bob:x | chpasswd && su bob -c 'id -un'", "bob"),
    "sshd": (
        """mkdir -p /run/sshd /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
        cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys; /usr/sbin/sshd -p 2222
        until nc -z 127.0.0.1 2222 2> /dev/null || test $((tries += 1)) -gt 100; do sleep 0.1; done
        ssh -q -o StrictHostKeyChecking=no -p 2222 root@127.0.0.1 id -u""",
        "0",
    ),
    "nginx": (
        """nginx && python3 -c 'import urllib.request as r; print(r.urlopen("http://127.0.0.1/").status)'
        cut -d: -f2 /proc/$(cat /run/nginx.pid)/comm > /dev/null""",
        "200",
    ),
    "redis": ("redis-server --daemonize yes > /dev/null; sleep 0.5; redis-cli ping", "PONG"),
    "PostgreSQL": (
        """pg_ctlcluster $(ls /etc/postgresql) main start; sleep 1; su postgres -c 'psql -Atc "select 6*7"'""", "42"
    ),
    "python": ("python3 -c 'import multiprocessing as m; print(sum(m.Pool(2).map(abs, [-1, 2])))'", "3"),
    "tar and chown": (
        "cd /tmp; tar c /etc/passwd 2> /dev/null | tar x; chown 1000:1000 etc/passwd; stat -c %u etc/passwd", "1000"
    ),
    "setcap": ("cp /bin/true /t; setcap cap_net_raw+ep /t && getcap /t", "/t cap_net_raw=ep"),
    "a port below 1024 as a user": (
        f"""{AS_NOBODY} python3 -c 'import socket; socket.create_server(("", 80)); print("bound")'""", "bound"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WORKS)
def test_it_works(services: Services, what: str) -> None:
    script, answer = WORKS[what]
    assert services(script).ok().lines[-1].strip() == answer


def test_packages_are_installed_from_a_repository_of_files(services: Services, tmp_path: Path) -> None:
    """apt drops privileges, locks, forks and unpacks owners; dpkg runs scripts."""
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    control = "Package: hello-there\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: says it\n"
    (tree / "DEBIAN/control").write_text(control)
    (tree / "DEBIAN/postinst").write_text("#!/bin/sh\nchown games:games /opt/hello\n")
    (tree / "DEBIAN/postinst").chmod(0o755)
    (tree / "opt").mkdir()
    (tree / "opt/hello").write_text("hello\n")
    repository = tmp_path / "repository"
    repository.mkdir()
    package = repository / "hello-there_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, package], check=True, capture_output=True)
    data = package.read_bytes()
    entry = f"Filename: ./{package.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    (repository / "Packages").write_text(control + entry)
    script = """rm -rf /etc/apt/sources.list* && echo 'deb [trusted=yes] file:/r ./' > /etc/apt/sources.list
    apt-get -qq update && apt-get -qq install -y hello-there > /dev/null && cat /opt/hello && stat -c %U /opt/hello"""
    tmp_path.chmod(0o755)
    assert services(script, "-v", f"{repository}:/r:ro").ok().lines == ["hello", "games"]


# What docker lets through: each is in the table of docs/security.md, with what lifts it.
DIFFERENT = {
    "nodes": ("mknod /n c 1 3", "--cap-add MKNOD"),
    "raw packets": (
        """python3 -c 'import socket as s; s.socket(s.AF_INET, s.SOCK_RAW, s.IPPROTO_TCP)'""", "--cap-add NET_RAW"
    ),
    "frames": ("python3 -c 'import socket as s; s.socket(s.AF_PACKET, s.SOCK_RAW)'", "--cap-add NET_RAW"),
    "other families": ("python3 -c 'import socket as s; s.socket(39, 1, 0)'", "--security-opt seccomp=docker"),
    "the kernel's command line": ("grep . /proc/cmdline", "--security-opt unmask=/proc/cmdline"),
    "keys of the host": ("grep . /proc/key-users", "--security-opt unmask=/proc/key-users"),
    "core dumps": ("ulimit -c unlimited", "--ulimit core=-1"),
    "5,000 processes": (
        'test "$(cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2> /dev/null)" != 2048', "--pids-limit -1"
    ),
    "setuid programs from a bind": ("grep ' /b ' /proc/mounts | grep -v nosuid", "-v /tmp:/b:suid"),
}  # fmt: skip


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_is_different_is_lifted_as_the_table_says(services: Services, what: str) -> None:
    script, lifts = DIFFERENT[what]
    bind = ("-v", "/tmp:/b") if " /b " in script else ()
    assert services(script, *bind).code != 0
    if what == "core dumps":
        lifts = "--ulimit core=0:-1"
    if what == "other families":
        return  # whether this kernel has any is its own affair
    assert services(script, *lifts.split()).code == 0
