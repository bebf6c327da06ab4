"""`pyc-oci checkpoint` and `restore`: a container written to files by CRIU, and made again from them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import RUNTIME, wait_until
from tests.support.host import cgroup_version, missing_command
from tests.support.oci import Oci

pytestmark = pytest.mark.root

# In directories, not in a file: a file that is open just then must have its old size again for a restore.
COUNT = "i=0; while true; do mkdir -p /tmp/n/$i; i=$((i+1)); sleep 0.05; done"


@pytest.fixture(scope="module")
def criu() -> None:
    if reason := missing_command("criu"):
        pytest.skip(reason)
    done = subprocess.run(["criu", "check"], capture_output=True, text=True)
    if done.returncode:
        version = subprocess.run(["criu", "--version"], capture_output=True, text=True).stdout.split()[1]
        pytest.skip(f"CRIU {version} does not know this kernel: {done.stderr.splitlines()[0]}")


class Counting:
    """A container that counts, and writes down how far it has come; its streams are pipes, as an engine gives it."""

    def __init__(self, oci: Oci, spec: dict[str, Any] | None = None) -> None:
        self.oci, self.images = oci, f"{oci.where}/images"
        self.spec = spec or oci.spec("sh", "-c", COUNT)
        self.start("create", "test")
        assert oci("start", "test").code == 0
        wait_until(lambda: self.reached() > 2)

    def start(self, *words: str) -> str:
        """Create or restore it with streams of its own; returns what was said."""
        bundle, said = self.oci.bundle(self.spec), Path(self.oci.where, "said")
        reader, writer = os.pipe()
        argv = [RUNTIME, "--root", self.oci.root, words[0], "--bundle", bundle, "--pid-file", f"{bundle}/pid"]
        with said.open("wb") as err:
            done = subprocess.run([*argv, *words[1:]], stdin=subprocess.DEVNULL, stdout=writer, stderr=err)
        os.close(writer)
        os.close(reader)
        assert done.returncode == 0, said.read_text()
        return said.read_text()

    def reached(self) -> int:
        path = Path(self.oci.rootfs, "tmp/n")
        return max((int(made.name) for made in path.iterdir()), default=0) if path.exists() else 0

    def checkpoint(self, *options: str) -> int:
        """How far it had come."""
        done = self.oci("checkpoint", "--image-path", self.images, *options, "test")
        assert done.code == 0, done.err
        return self.reached()

    def restore(self, name: str = "again", *options: str) -> int:
        """Its pid."""
        self.start("restore", "--image-path", self.images, "--detach", *options, name)
        return int(Path(self.oci.where, "bundle/pid").read_text())


@pytest.mark.usefixtures("criu")
def test_what_was_written_goes_on_where_it_stopped(oci: Oci) -> None:
    counting = Counting(oci)
    before = counting.checkpoint()
    assert oci("list", "--quiet").out == "", "it has ended, and nothing of it is left"
    pid = counting.restore()
    wait_until(lambda: counting.reached() > before + 2)
    assert counting.reached() < before + 1000
    state = json.loads(oci("state", "again").out)
    assert (state["status"], state["pid"]) == ("running", pid)
    assert oci("exec", "again", "cat", "/proc/1/comm").out == "sh\n"
    assert json.loads(oci("ps", "--format", "json", "again").out)[0] == pid
    assert oci("pause", "again").code == 0 and oci.status("again") == "paused"
    assert oci("resume", "again").code == 0 and oci("kill", "again", "KILL").code == 0
    wait_until(lambda: oci.status("again") == "stopped")
    assert oci("delete", "again").code == 0


@pytest.mark.usefixtures("criu")
def test_it_may_go_on_while_another_begins_where_it_was(oci: Oci) -> None:
    counting = Counting(oci)
    before = counting.checkpoint("--leave-running")
    wait_until(lambda: counting.reached() > before + 5)
    assert oci.status() == "running"
    assert oci("delete", "--force", "test").code == 0
    shutil.rmtree(Path(oci.rootfs, "tmp/n"))
    counting.restore("test")  # by the same name, and in the same cgroup
    wait_until(lambda: before <= counting.reached() < before + 1000)
    assert oci.status() == "running"


@pytest.mark.usefixtures("criu")
def test_a_paused_container_can_be_written_too(oci: Oci) -> None:
    counting = Counting(oci)
    assert oci("pause", "test").code == 0
    counting.checkpoint()
    counting.restore()
    assert oci.status("again") == "running"


@pytest.mark.usefixtures("criu")
def test_the_wall_is_as_it_was_and_the_limits_are_the_bundle_s(oci: Oci, tmp_path: Path) -> None:
    spec = oci.spec("sh", "-c", COUNT)
    (tmp_path / "shown").write_text("of the host")
    spec["mounts"] += [
        {"destination": "/data", "type": "bind", "source": str(tmp_path), "options": ["rbind", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]},
    ]
    spec["linux"]["resources"]["pids"] = {"limit": 50}
    spec["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    }
    look = "cat /data/shown; echo; cat /proc/1/cgroup; grep -E 'Cap|NoNewPrivs|Seccomp' /proc/1/status; "
    look += "for kind in pid net ipc uts mnt cgroup; do readlink /proc/1/ns/$kind > /dev/null; done; echo x > /data/y"
    counting = Counting(oci, spec)
    before = oci("exec", "test", "sh", "-c", look)
    counting.checkpoint()
    spec["linux"]["cgroupsPath"] = "/pyc/elsewhere"
    spec["linux"]["resources"]["pids"] = {"limit": 60}
    pid = counting.restore()
    after = oci("exec", "again", "sh", "-c", look)
    assert "of the host" in after.out
    if "NoNewPrivs:\t0" in after.out:  # CRIU before 3.19
        assert "process.noNewPrivileges is lost" in Path(oci.where, "said").read_text()
        after_lines = [line.replace("NoNewPrivs:\t0", "NoNewPrivs:\t1") for line in after.out.splitlines()]
    else:
        after_lines = after.out.splitlines()
    assert after_lines == before.out.splitlines()
    assert not (tmp_path / "y").exists()
    for kind in ("pid", "net", "ipc", "uts", "mnt", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    assert "/pyc/elsewhere" in Path(f"/proc/{pid}/cgroup").read_text()
    top = "/sys/fs/cgroup/pids" if cgroup_version() == 1 else "/sys/fs/cgroup"
    assert Path(f"{top}/pyc/elsewhere/pids.max").read_text() == "60\n"
    assert str(oci.where) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.usefixtures("criu")
def test_a_network_that_others_have_made_is_the_one_of_the_bundle(oci: Oci) -> None:
    if reason := missing_command("ip"):
        pytest.skip(reason)
    names = [f"pyctest{os.getpid()}c{letter}" for letter in "ab"]
    for name in names:
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        spec = oci.spec("sh", "-c", COUNT)
        network = next(ns for ns in spec["linux"]["namespaces"] if ns["type"] == "network")
        network["path"] = f"/run/netns/{names[0]}"
        counting = Counting(oci, spec)
        counting.checkpoint()
        network["path"] = f"/run/netns/{names[1]}"
        pid = counting.restore()
        assert os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat(f"/run/netns/{names[1]}").st_ino
        oci("delete", "--force", "again")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.usefixtures("criu")
def test_restore_in_the_foreground_is_the_program_with_its_exit_code(oci: Oci) -> None:
    counting = Counting(oci, oci.spec("sh", "-c", f"trap 'exit 7' TERM; {COUNT}"))
    counting.checkpoint()
    bundle = oci.bundle(counting.spec)
    argv = [RUNTIME, "--root", oci.root, "restore", "--bundle", bundle, "--image-path", counting.images, "again"]
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
    with Path(oci.where, "said").open("wb") as err, subprocess.Popen(argv, stderr=err, **streams) as process:
        wait_until(lambda: oci("state", "again").code == 0 and oci.status("again") == "running")
        process.terminate()
        assert process.wait(20) == 7
    assert oci("list", "--quiet").out == ""


@pytest.mark.usefixtures("criu")
def test_images_that_lie_give_one_line_and_leave_nothing(oci: Oci, tmp_path: Path) -> None:
    """What CRIU wrote may come from anywhere: it says neither what to mount nor what to open."""
    counting = Counting(oci)
    counting.checkpoint()
    (tmp_path / "canary").write_text("untouched")
    words = [f"fd[1]:{tmp_path}/canary", "../../etc/passwd", "file[1:2]"]
    Path(counting.images, "descriptors.json").write_text(json.dumps(words))
    bundle = oci.bundle(counting.spec)
    done = oci("restore", "--bundle", bundle, "--image-path", counting.images, "--detach", "liar")
    assert done.code == 1 and done.err.count("\n") <= 2 and "Traceback" not in done.err
    assert (tmp_path / "canary").read_text() == "untouched"
    assert oci("list", "--quiet").out == "" and not os.path.exists(f"{oci.root}/liar")


# --- what needs no CRIU -----------------------------------------------------------------------------------------------


def test_without_criu_it_is_one_line_that_says_so(oci: Oci) -> None:
    oci.create(oci.spec("sleep", "100"))
    assert "cannot checkpoint a container that is created" in oci("checkpoint", "test").err
    assert oci("start", "test").code == 0
    done = oci("--criu", "/nowhere/criu", "checkpoint", "--image-path", f"{oci.where}/images", "test")
    assert done.code == 1 and "need CRIU, and there is no /nowhere/criu" in done.err
    assert oci.status() == "running"
    images = Path(oci.where, "images")
    images.mkdir(exist_ok=True)
    (images / "descriptors.json").write_text('["/dev/null", "pipe:[1]", "pipe:[1]"]')
    options = ("restore", "--bundle", oci.bundle(oci.spec("true")), "--image-path", str(images))
    done = oci("--criu", "/nowhere/criu", *options, "new")
    assert done.code == 1 and "no /nowhere/criu" in done.err
    assert "does not exist" in oci("state", "new").err


def test_a_program_that_is_no_criu_is_one_line_and_leaves_all_as_it_was(oci: Oci) -> None:
    oci.create(oci.spec("sleep", "100"))
    assert oci("start", "test").code == 0
    done = oci("--criu", str(shutil.which("false")), "checkpoint", "--image-path", f"{oci.where}/images", "test")
    assert (done.code, done.err.count("\n")) == (1, 2) and "CRIU could not checkpoint test" in done.err
    assert oci.status() == "running"
    bundle, images = oci.bundle(oci.spec("true")), f"{oci.where}/images"
    done = oci("--criu", str(shutil.which("false")), "restore", "--bundle", bundle, "--image-path", images, "new")
    assert (done.code, done.err.count("\n")) == (1, 2) and "CRIU could not restore new" in done.err
    assert oci("list", "--quiet").out == "test\n"
    assert str(oci.where) not in Path("/proc/self/mountinfo").read_text()


def test_a_restore_from_nothing_is_one_line(oci: Oci) -> None:
    done = oci("restore", "--bundle", oci.bundle(oci.spec("true")), "--image-path", "/nowhere", "new")
    assert done.code == 1 and "/nowhere holds no checkpoint" in done.err and done.err.count("\n") == 1
    assert not os.path.exists("/nowhere")


@pytest.mark.parametrize("text", ["", "{", "[]", '["a", "b"]', '["a", "b", 3]', '{"a": 1}', '"abc"'])
def test_damaged_words_about_streams_are_one_line(oci: Oci, text: str, tmp_path: Path) -> None:
    (tmp_path / "descriptors.json").write_text(text)
    done = oci("restore", "--bundle", oci.bundle(oci.spec("true")), "--image-path", str(tmp_path), "new")
    assert done.code == 1 and "descriptors.json" in done.err and "Traceback" not in done.err
