"""``commit`` and ``diff``: what a container has changed, seen, and kept as an image."""

from __future__ import annotations

import json
import os
import random
import time

import pytest

from pycontainer.engine.diff import diff
from pycontainer.engine.image.commit import commit
from pycontainer.engine.options import Roots
from pycontainer.image.store import Store
from tests.support.cli import Pyc, sh
from tests.support.tars import snapshot

pytestmark = pytest.mark.root

CHANGES = """
echo new > /etc/new; chmod 4755 /etc/new; rm /bin/true; mkdir -p /d/e; echo text > /d/e/file; ln /d/e/file /d/hard
ln -s /etc/new /d/link; mknod /d/fifo p; chown 12:34 /d/e; touch -d 2001-02-03 /d/e/file
rm -rf /home; mkdir /home; echo x > /home/mine; rm /etc/profile; mkdir /etc/profile; chmod 711 /root
"""


@pytest.fixture
def job(stocked: Pyc, image: str) -> Pyc:
    stocked("run", "--name", "job", image, *sh(CHANGES)).ok()
    return stocked


def test_changes_are_listed_as_docker_lists_them(job: Pyc) -> None:
    assert job("diff", "job").ok().lines == [
        "C /bin",
        "D /bin/true",
        "A /d",
        "A /d/e",
        "A /d/e/file",
        "A /d/fifo",
        "A /d/hard",
        "A /d/link",
        "C /etc",
        "A /etc/new",
        "C /etc/profile",
        "C /home",
        "A /home/mine",
        "C /root",
    ]


def test_a_container_that_wrote_nothing_has_no_changes_and_its_image_no_new_layer(stocked: Pyc, image: str) -> None:
    stocked("run", "--name", "idle", image, "true").ok()
    assert stocked("diff", "idle").stdout == ""
    stocked("commit", "idle", "idle:1").ok()
    before, after = (json.loads(stocked("image", "inspect", name).stdout)[0] for name in (image, "idle:1"))
    assert before["RootFS"] == after["RootFS"] and before["Id"] != after["Id"]
    stocked("rmi", "idle:1").ok()


def test_a_replaced_directory_shows_what_it_no_longer_has(stocked: Pyc, image: str) -> None:
    stocked("run", "--name", "job", image, *sh("rm -rf /var; mkdir -p /var/www; echo > /var/www/x")).ok()
    assert stocked("diff", "job").lines == ["C /var", "D /var/log", "D /var/tmp", "C /var/www", "A /var/www/x"]


def test_a_committed_image_has_exactly_the_files_of_the_container(job: Pyc, tmp_path) -> None:
    made = job("commit", "job", "job:1").ok().stdout.strip()
    job("run", "--name", "copy", "job:1", "id").ok()
    try:
        for name in ("job", "copy"):
            job("cp", "-a", f"{name}:/", str(tmp_path / name)).ok()
        first, second = (snapshot(str(tmp_path / name)) for name in ("job", "copy"))
        del first["."], second["."]  # the time of the root is when a container began
        assert first == second
        assert second["d/hard"][3] == second["d/e/file"][3], "the hard link is one"
        assert job("images", "--no-trunc", "-q", "job:1").lines == [made]
    finally:
        job("rm", "copy")
        job("rmi", "job:1").ok()


def test_the_config_is_what_the_container_was_asked_to_be(stocked: Pyc, image: str) -> None:
    flags = ("-e", "A=1", "-e", "B=2", "-w", "/tmp", "-u", "33", "-l", "x=y", "--entrypoint", "echo")
    stocked("run", "--name", "job", *flags, image, "hello", "you").ok()
    changes = ("-c", "ENV B=3 C='4 5'", "-c", "EXPOSE 80 53/udp", "-c", 'LABEL "a b"=c', "-c", "STOPSIGNAL SIGINT")
    stocked("commit", "-a", "Ada <a@b>", "-m", "because", *changes, "job", "job:2").ok()
    (document,) = json.loads(stocked("image", "inspect", "job:2").stdout)
    config = document["Config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["echo"], ["hello", "you"])
    assert {"A=1", "B=3", "C=4 5"} <= set(config["Env"]) and "B=2" not in config["Env"]
    assert (config["WorkingDir"], config["User"], config["StopSignal"]) == ("/tmp", "33", "SIGINT")
    assert config["Labels"]["x"] == "y" and config["Labels"]["a b"] == "c"
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp"}
    assert (document["Author"], document["Comment"]) == ("Ada <a@b>", "because")
    assert stocked("run", "--rm", "job:2").ok().stdout == "hello you\n"
    assert stocked("run", "--rm", "--entrypoint", "id", "job:2", "-u").ok().stdout == "33\n"
    stocked("rmi", "job:2").ok()


def test_the_same_changes_are_the_same_layer(job: Pyc) -> None:
    roots = Roots(job.root, job.runroot)
    first, second = (commit(roots, "job").layers[-1].diff_id for _ in range(2))
    assert first == second
    for image in Store(job.root).images():
        if not image.names:
            job("rmi", image.id).ok()


def test_a_nameless_image_is_known_by_its_id_and_several_live_side_by_side(job: Pyc) -> None:
    ids = [job("commit", "-m", message, "job").ok().stdout.strip() for message in ("one", "two")]
    assert ids[0] != ids[1]
    shown = job("images", "--no-trunc", "--format", "{{.ID}} {{.Repository}} {{.Tag}}").lines
    assert {f"{made} <none> <none>" for made in ids} <= set(shown)
    for made in ids:
        assert job("run", "--rm", made, "cat", "/etc/new").ok().stdout == "new\n"
        job("rmi", made).ok()


def test_a_running_container_stands_still_while_it_is_committed(stocked: Pyc, image: str) -> None:
    script = "i=0; while true; do i=$((i+1)); echo $i > /a; cp /a /b; done"
    with stocked.start("run", "--name", "busy", image, *sh(script)) as busy:
        try:
            while busy.poll() is None and not diff_has(stocked, "busy", "/b"):
                pass
            for number in range(3):
                stocked("commit", "busy", f"busy:{number}").ok()
                pair = stocked("run", "--rm", f"busy:{number}", "cat", "/a", "/b").ok().stdout.split()
                assert len(pair) <= 2
            first = stocked("cp", "busy:/a", "-").stdout
            assert any(stocked("cp", "busy:/a", "-").stdout != first for _ in range(20)), "it runs on"
        finally:
            stocked("rm", "-f", "busy")
            busy.communicate(timeout=20)
    for number in range(3):
        stocked("rmi", f"busy:{number}")


def test_a_killed_commit_leaves_the_container_running_and_the_image_absent_or_whole(stocked: Pyc, image: str) -> None:
    random.seed(2)
    script = "dd if=/dev/urandom of=/big bs=1M count=12 2>/dev/null; i=0; while true; do i=$((i+1)); echo $i > /a; done"
    with stocked.start("run", "--name", "busy", image, *sh(script)) as busy:
        try:
            while busy.poll() is None and not diff_has(stocked, "busy", "/a"):
                pass
            for number in range(10):
                with stocked.start("commit", "busy", f"busy:{number}") as commit_:
                    time.sleep(random.uniform(0.05, 0.9))
                    commit_.kill()
                if stocked("image", "inspect", f"busy:{number}").code == 0:
                    assert stocked("run", "--rm", f"busy:{number}", "ls", "/big").ok().stdout == "/big\n"
            first, deadline = stocked("cp", "busy:/a", "-").stdout, time.monotonic() + 5
            while stocked("cp", "busy:/a", "-").stdout == first:
                assert time.monotonic() < deadline, "it still stands still"
        finally:
            stocked("rm", "-f", "busy").ok()
            busy.communicate(timeout=20)
    for number in range(10):
        stocked("rmi", f"busy:{number}")
    assert stocked("system", "check", "--repair").ok()
    assert stocked("system", "check").ok().stdout == "everything is as it should be\n"


def diff_has(pyc: Pyc, name: str, path: str) -> bool:
    try:
        return any(change.path == path for change in diff(Roots(pyc.root, pyc.runroot), name))
    except Exception:
        return False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody",), "no such container: nobody"),
        (("job", "Bad:Name:x"), "Bad:Name:x"),
        (("-c", "RUN echo", "job"), "RUN is not an instruction"),
        (("-c", "EXPOSE 99999", "job"), "EXPOSE 99999"),
        (("-c", "ENV", "job"), "ENV needs an argument"),
        (("job", "a@sha256:" + "0" * 64), "digest"),
    ],
)
def test_mistakes_are_told_in_one_line(job: Pyc, arguments: tuple[str, ...], said: str) -> None:
    result = job("commit", *arguments)
    assert result.code in (1, 125) and said in result.stderr and "Traceback" not in result.stderr


def test_a_file_that_would_be_read_as_a_deletion_is_refused(stocked: Pyc, image: str) -> None:
    stocked("run", "--name", "job", image, "touch", "/.wh.etc").ok()
    result = stocked("commit", "job")
    assert result.code == 1 and ".wh.etc" in result.stderr
    assert stocked("run", "--rm", image, "ls", "/etc/passwd").code == 0


def test_nothing_is_left_in_the_scratch_space(job: Pyc) -> None:
    before = set(os.listdir(f"{job.root}/tmp"))
    job("commit", "job", "job:3").ok()
    assert set(os.listdir(f"{job.root}/tmp")) <= before
    job("rmi", "job:3").ok()
