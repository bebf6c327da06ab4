"""Containers from Python: the examples in the documentation run, and what they do not show."""

from __future__ import annotations

import doctest
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pycontainer
from pycontainer import containers, networks, volumes
from pycontainer.engine.options import Roots
from pycontainer.errors import CommandFailed, CommandNotFound, Conflict, NotFound, UsageError
from tests.support.cli import Pyc
from tests.support.hosts import HostedPyc
from tests.support.states import until

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def here(stocked: Pyc, monkeypatch: pytest.MonkeyPatch) -> Iterator[Roots]:
    """The state that the tests share, as the default."""
    for name, value in {"PYC_ROOT": stocked.root, "PYC_RUNROOT": stocked.runroot, "PYC_NETWORK": "none"}.items():
        monkeypatch.setenv(name, value)
    yield Roots(stocked.root, stocked.runroot)


def test_the_examples_are_right(image: str) -> None:
    names = {name: getattr(containers, name) for name in containers.__all__}
    extra = {**names, "NAME": image, "pycontainer": pycontainer, "networks": networks, "volumes": volumes}
    for module, least in ((containers, 10), (networks, 4), (volumes, 4)):
        result = doctest.testmod(module, extraglobs=extra, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
        assert result.failed == 0
        assert result.attempted >= least


NETWORKS = "## Networks and volumes"


def test_the_manual_s_examples_of_networks_are_right(stocked: Pyc, net: HostedPyc, tmp_path: Path) -> None:
    """On a host of their own; test_python_images.py runs the rest of the manual."""
    manual = Path(__file__).parents[2] / "docs/python.md"
    section = manual.read_text().partition(NETWORKS)[2].partition("\n## ")[0]
    (tmp_path / "section.md").write_text(section)
    stocked("pull", "-q", "alpine").ok()
    code = "import doctest, pycontainer as p; print(doctest.testfile('section.md', False, globs={'pycontainer': p}))"
    done = subprocess.run(
        ["nsenter", f"--net={net.netns}", sys.executable, "-c", code],
        env=net.env(PYC_ROOT=net.root, PYC_RUNROOT=net.runroot),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "failed=0" in done.stdout and "attempted=0" not in done.stdout, done.stdout + done.stderr


def test_importing_costs_nothing() -> None:
    code = "import sys, pycontainer; print([n for n in sys.modules if n.startswith('pycontainer.')]); pycontainer.run"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert pycontainer.Roots is Roots
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pycontainer.nonsense  # type: ignore[attr-defined]


def test_options_become_what_they_say(image: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("shared")
    done = pycontainer.run(
        image,
        ["sh", "-c", "cat /data/file; hostname; cat /proc/self/limits | grep processes; touch /data/x || touch /no"],
        volumes={tmp_path: "/data:ro"},
        workdir=tmp_path,
        user=0,
        hostname="boxed",
        read_only=True,
        cap_drop=["ALL"],
        tmpfs=["/scratch"],
        labels={"a": "b"},
        pids_limit=50,
        pull="never",
    )
    assert done.stdout.startswith(b"sharedboxed\n") and done.code == 1
    assert done.stderr.count(b"Read-only file system") == 2


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"nonsense": 1}, TypeError, "no such option: nonsense"),
        ({"memory": "1k"}, UsageError, "the minimum is 6m"),
        ({"volumes": ["relative:bad:path:x"]}, UsageError, "."),
        ({"restart": "always", "rm": True}, UsageError, "contradict"),
        ({"cap_add": ["NOPE"]}, UsageError, "unknown capability"),
        ({"pull": "never", "image": "not/here:1"}, NotFound, "no such image"),
    ],
)
def test_mistakes_are_errors_of_ours(
    image: str, options: dict[str, object], error: type[Exception], words: str
) -> None:
    asked = {"image": image, "command": ["true"], **options}
    with pytest.raises(error, match=words):
        pycontainer.run(**asked)  # type: ignore[call-overload]
    assert pycontainer.list(all=True) == []


def test_what_can_not_be_executed(image: str) -> None:
    with pytest.raises(CommandNotFound):
        pycontainer.run(image, ["no-such-program"])
    with pytest.raises(CommandNotFound):
        pycontainer.run(image, ["no-such-program"], detach=True)
    assert pycontainer.list(all=True) == []
    with pycontainer.run(image, detach=True) as container, pytest.raises(CommandNotFound, match="not found in"):
        container.exec(["no-such-program"])


def test_exec_is_checked_and_timed(image: str) -> None:
    with pycontainer.run(image, detach=True) as container:
        with pytest.raises(CommandFailed, match="exited with 3: last words") as caught:
            container.exec(["sh", "-c", "echo last words >&2; exit 3"]).check()
        assert (caught.value.code, caught.value.stderr) == (3, b"last words\n")
        slow = container.exec(["sh", "-c", "echo begun; sleep 50"], timeout=0.3)
        assert (slow.timed_out, slow.code, slow.stdout) == (True, 137, b"begun\n")
        big = os.urandom(1 << 20)
        assert container.exec(["cat"], input=big).stdout == big
        assert container.exec(["tty"], tty=True).text.strip().startswith("/dev/pts/")
        container.exec("touch /mark", detach=True)
        deadline = time.monotonic() + 5
        while container.exec(["ls", "/mark"]).code and time.monotonic() < deadline:
            time.sleep(0.02)
        assert container.exec(["ls", "/mark"]).code == 0


def test_the_life_of_one(image: str) -> None:
    container = pycontainer.create(image, ["sleep", "100"])
    assert (container.status, container.pid, container.exit_code) == ("created", 0, None)
    with pytest.raises(Conflict, match="is not running"):
        container.exec(["true"])
    container.start()
    for seconds in (0.1, 0):
        with pytest.raises(TimeoutError):
            container.wait(timeout=seconds)
    container.pause()
    assert container.status == "paused"
    with pytest.raises(Conflict, match="is paused"):
        container.exec(["true"])
    container.unpause()
    container.stop(timeout=0)
    assert (container.status, container.exit_code, container.wait()) == ("exited", 137, 137)
    container.start()
    assert container in pycontainer.list()
    with pytest.raises(Conflict):
        container.remove()
    container.remove(force=True)
    with pytest.raises(NotFound):
        _ = container.status


def test_files_go_in_and_out(image: str) -> None:
    import io
    import tarfile

    with pycontainer.run(image, detach=True) as container:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as archive:
            member = tarfile.TarInfo("note")
            member.size = 4
            archive.addfile(member, io.BytesIO(b"text"))
        container.put_archive("/tmp", made.getvalue())
        assert container.exec(["cat", "/tmp/note"]).stdout == b"text"
        back = b"".join(container.get_archive("/tmp/note"))
        with tarfile.open(fileobj=io.BytesIO(back)) as archive:
            content = archive.extractfile("note")
            assert content and content.read() == b"text"


def test_threads_do_not_disturb_each_other(image: str) -> None:
    with pycontainer.run(image, detach=True) as container, ThreadPoolExecutor(8) as pool:

        def work(number: int) -> tuple[str, str]:
            inside = container.exec(["echo", str(number)]).text.strip()
            return inside, pycontainer.run(image, ["echo", str(number)]).text.strip()

        assert list(pool.map(work, range(24))) == [(str(number), str(number)) for number in range(24)]


def test_nothing_of_this_process_is_changed(image: str) -> None:
    """No signal handler, no descriptor, no child, no thread is left; what a process keeps, the first start has made."""
    pycontainer.run(image, ["true"])
    before = (len(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGINT), threading.active_count())
    for _ in range(3):
        pycontainer.run(image, ["true"])
        with pycontainer.run(image, detach=True) as container:
            container.exec(["true"])
    pycontainer.run(image, ["true"])
    after = (len(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGINT), threading.active_count())
    assert after[0] <= before[0] + 1 and after[1:] == before[1:]  # perhaps a pidfd
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        children = file.read().split()
    names = [open(f"/proc/{pid}/cmdline").read() for pid in children if os.path.exists(f"/proc/{pid}/cmdline")]  # noqa: SIM115
    assert not [name for name in names if name.startswith("pyc-monitor")]


def test_after_an_interrupt_nothing_of_a_run_is_left(image: str) -> None:
    code = f"import pycontainer\npycontainer.run({image!r}, ['sleep', '60'])"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    until(lambda: bool(pycontainer.list()), "a container that runs")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10)[1].rstrip().endswith("KeyboardInterrupt")
    assert pycontainer.list(all=True) == []
