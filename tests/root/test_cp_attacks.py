"""Containers that try to turn ``cp``, ``commit``, ``diff`` and ``export`` against the host that runs them.

CVE-2018-15664, CVE-2019-10152, CVE-2021-41089, CVE-2026-42306 (links swapped in while a path is looked up),
CVE-2019-14271, CVE-2026-41567 (programs and libraries of the container's run by the copier).
"""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainer.engine.copy import copy_in, copy_out
from pycontainer.engine.diff import diff
from pycontainer.engine.export import export
from pycontainer.engine.options import Roots
from pycontainer.errors import PycError
from tests.support.cli import Pyc, sh
from tests.support.tars import snapshot

pytestmark = pytest.mark.root

# Copies that found something; most find nothing while the names change hands.
TRIES = int(os.environ.get("PYC_TRIES", "100"))

# A directory with a file, and a link to a directory of the host, take turns under one name as fast as the shell can.
RACE = """
cd /; mkdir /real; echo decoy > /real/secret; mkdir /real/deep; echo decoy > /real/deep/secret
ln -s {canary} /evil; ln -s ../../../../../../../../../..{canary} /evil2; mkdir -p /proc/x 2>/dev/null
mkdir -p {canary}; echo inside > {canary}/secret
touch /ready
while true; do
  mv -T /real /race 2>/dev/null; mv -T /race /real 2>/dev/null
  mv -T /evil /race 2>/dev/null; mv -T /race /evil 2>/dev/null
  mv -T /evil2 /race 2>/dev/null; mv -T /race /evil2 2>/dev/null
done
"""


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A directory of the host, whose very path the container knows."""
    place = tmp_path / "canary"
    (place / "deep").mkdir(parents=True)
    (place / "secret").write_text("the host's secret")
    (place / "deep/secret").write_text("the host's secret")
    os.chmod(place / "secret", 0o640)
    return place


@pytest.fixture
def racer(stocked: Pyc, image: str, canary: Path) -> Iterator[Roots]:
    with stocked.start("run", "--name", "racer", image, *sh(RACE.format(canary=canary))) as process:
        roots = Roots(stocked.root, stocked.runroot)
        while process.poll() is None and not any(change.path == "/ready" for change in _try_diff(roots)):
            time.sleep(0.02)
        yield roots
        assert process.poll() is None, "the racer gave up"
        stocked("rm", "-f", "racer").ok()
        process.communicate(timeout=20)


def _try_diff(roots: Roots) -> list:
    try:
        return diff(roots, "racer")
    except PycError:
        return []


def test_a_racing_link_leads_no_copy_out_to_a_file_of_the_host(racer: Roots, canary: Path, tmp_path: Path) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    before, got, arrived = snapshot(str(canary)), set(), 0
    for number in itertools.count():
        if arrived == TRIES:
            break
        source = ("/race/secret", "/race/.", "/race/deep/secret", "/race")[number % 4]
        target = tmp_path / f"out{number}"
        try:
            copy_out(racer, "racer", source, str(target), follow=bool(number & 4))
        except PycError:
            continue
        arrived += 1
        files = [target] if target.is_file() else [p for p in target.rglob("*") if p.is_file() and not p.is_symlink()]
        if target.is_symlink():
            got.add("link")
            continue
        got |= {path.read_text().strip() for path in files}
    assert got <= {"decoy", "inside", "link", ""} and got & {"decoy", "inside", "link"}, got
    assert snapshot(str(canary)) == before
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_a_racing_link_leads_no_copy_in_to_a_place_of_the_host(racer: Roots, canary: Path, tmp_path: Path) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    before, arrived = snapshot(str(canary)), 0
    (tmp_path / "in/deep").mkdir(parents=True)
    for name in ("secret", "deep/secret", "planted"):
        (tmp_path / "in" / name).write_text("attacker's")
        os.chmod(tmp_path / "in" / name, 0o777)
    for number in itertools.count():
        if arrived == TRIES:
            break
        source = ("in/secret", "in/.", "in/deep/secret", "in/planted")[number % 4]
        target = ("/race/secret", "/race/.", "/race/deep/secret", "/race/planted")[number % 4]
        try:
            copy_in(racer, "racer", f"{tmp_path}/{source}", target, keep=bool(number & 4))
            arrived += 1
        except PycError:
            continue
    assert snapshot(str(canary)) == before
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_an_export_never_holds_a_file_of_the_host(racer: Roots) -> None:
    for _ in range(5):
        try:
            assert b"the host's secret" not in b"".join(export(racer, "racer"))
        except PycError:
            continue


TRAPS = """
mkdir -p /usr/bin /lib /lib64 /usr/lib/gconv /lib/x86_64-linux-gnu /usr/lib/python3/dist-packages; cd /
for name in xz unxz unpigz pigz gzip gunzip tar zstd docker-untar; do
  for place in /bin /usr/bin /usr/local/bin /sbin; do
    mkdir -p $place; rm -f $place/$name; printf '#!/bin/sh\\ntouch {marker} /marker\\n' > $place/$name
    chmod 755 $place/$name
  done
done
for name in libnss_files.so.2 libnss_compat.so.2 libnss_dns.so.2 libc.so.6 libz.so.1 liblzma.so.5; do
  for place in /lib /lib64 /lib/x86_64-linux-gnu; do echo 'not a library' > $place/$name; done
done
echo /lib/evil.so > /etc/ld.so.preload; echo 'passwd: evil' > /etc/nsswitch.conf; echo x > /lib/libnss_evil.so.2
echo "open('{marker}', 'w')" > /usr/lib/python3/dist-packages/sitecustomize.py
"""


@pytest.mark.parametrize("running", [False, True], ids=["exited", "running"])
def test_nothing_of_the_containers_is_executed_or_loaded(
    stocked: Pyc, image: str, tmp_path: Path, running: bool
) -> None:
    marker = tmp_path / "marker"
    script = TRAPS.format(marker=marker) + ("touch /ready; exec sleep 60" if running else "")
    with stocked.start("run", "--name", "trap", image, *sh(script)) as process:
        while process.poll() is None and stocked("cp", "trap:/ready", "-").code:
            time.sleep(0.02)
        (tmp_path / "file").write_text("x")
        archives = [
            subprocess.run([*packer, "-c", str(tmp_path / "file.tar")], capture_output=True, check=True).stdout
            for packer in (["cat"], ["gzip"], ["xz"], ["bzip2"], ["zstd"])
            if not subprocess.run(["tar", "cf", str(tmp_path / "file.tar"), "-C", str(tmp_path), "file"]).returncode
            and packer != ["cat"]
        ]
        for archive in archives:
            stocked("cp", "-", "trap:/tmp", stdin=archive).ok()
        stocked("cp", str(tmp_path / "file"), "trap:/file").ok()
        stocked("cp", "trap:/etc", str(tmp_path / "etc")).ok()
        stocked("export", "-o", str(tmp_path / "all.tar"), "trap").ok()
        stocked("diff", "trap").ok()
        stocked("commit", "trap", "trapped").ok()
        assert stocked("cp", "trap:/marker", "-").code == 1
        assert not marker.exists()
        stocked("rm", "-f", "trap").ok()
        process.communicate(timeout=20)
    stocked("rmi", "trapped").ok()


def test_a_device_of_the_containers_is_not_made_on_the_host_unless_asked_for(
    stocked: Pyc, image: str, tmp_path: Path
) -> None:
    stocked("run", "--name", "job", image, *sh("mkdir /d; cp /bin/busybox /d/su; chmod 4777 /d/su")).ok()
    device = tarfile.TarInfo("disk")
    device.type, device.devmajor, device.devminor, device.mode = tarfile.BLKTYPE, 8, 0, 0o666
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(device)
    stocked("cp", "-", "job:/d", stdin=file.getvalue()).ok()
    result = stocked("cp", "job:/d", str(tmp_path / "d")).ok()
    assert "left out the device 'd/disk'" in result.stderr
    assert os.listdir(tmp_path / "d") == ["su"]
    assert os.stat(tmp_path / "d/su").st_mode & 0o6000 == 0
    stocked("cp", "-a", "job:/d", str(tmp_path / "kept")).ok()
    assert os.stat(tmp_path / "kept/disk").st_rdev == os.makedev(8, 0)


def test_a_tree_as_deep_as_paths_go_is_copied_and_removed(stocked: Pyc, image: str) -> None:
    script = "mkdir /d; cd /d; i=0; while [ $i -lt 450 ]; do mkdir abcdefgh; cd abcdefgh; i=$((i+1)); done; echo > end"
    stocked("run", "--name", "job", image, *sh(script)).ok()
    archive = stocked("cp", "job:/d", "-")
    assert archive.code == 0 and "abcdefgh/end" in archive.stdout
    assert len(stocked("diff", "job").ok().lines) == 452
    assert stocked("commit", "job", "deep").code == 0
    stocked("rm", "job").ok()
    stocked("rmi", "deep").ok()


def test_a_name_with_control_characters_does_not_reach_a_terminal(stocked: Pyc, image: str) -> None:
    stocked("run", "--name", "job", image, *sh("touch \"$(printf '/a\\033[31m\\nb')\"")).ok()
    with stocked.terminal("diff", "job") as terminal:
        terminal.expect("A /a\N{REPLACEMENT CHARACTER}.31m\N{REPLACEMENT CHARACTER}b")
