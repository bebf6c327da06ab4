"""``rmi``, the prunes, ``system df``, ``history`` and the lists of images, on real images and containers."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from images.registry import Registry
from pycontainer.image.platform import host
from tests.support.cli import Pyc, sh

pytestmark = pytest.mark.root


@pytest.fixture
def full(pyc: Pyc, image: str) -> Pyc:
    """Images ``busybox`` (three names), ``kept:1`` (used by ``idle``), two without a name; a stopped container."""
    pyc("pull", "-q", image).ok()
    pyc("tag", image, "one:1").ok()
    pyc("tag", image, "other/two:2").ok()
    pyc("run", "--name", "job", "-l", "role=job", image, *sh("dd if=/dev/zero of=/big bs=1000 count=500")).ok()
    for message in ("a", "b"):
        pyc("commit", "-m", message, "-c", f"LABEL nameless={message}", "job").ok()
    pyc("commit", "-c", "LABEL kept=yes", "job", "kept:1").ok()
    pyc("run", "--name", "idle", "kept:1", "true").ok()
    return pyc


def names(pyc: Pyc) -> list[str]:
    return sorted(pyc("images", "--format", "{{.Repository}}:{{.Tag}}").ok().lines)


# --- rmi ------------------------------------------------------------------------------------------------------------


def test_a_name_is_untagged_and_the_last_one_deletes(full: Pyc, image: str) -> None:
    full("rm", "job", "idle").ok()
    assert full("rmi", "one:1").ok().lines == ["Untagged: one:1"]
    refused = full("rmi", full("images", "-q", "other/two").stdout.strip())
    assert refused.code == 1 and "several names" in refused.stderr
    full("rmi", "-f", full("images", "-q", "other/two").stdout.strip()).ok()
    assert names(full) == ["<none>:<none>", "<none>:<none>", "kept:1"]
    assert full("rmi", "kept:1").ok().lines[0] == "Untagged: kept:1"
    assert full("rmi", *full("images", "-q").stdout.split()).code == 0
    assert os.listdir(f"{full.root}/layers") == [] and os.listdir(f"{full.root}/oci/blobs/sha256") == []


def test_an_image_in_use_keeps_its_layers_whatever_is_forced(full: Pyc) -> None:
    refused = full("rmi", "kept:1")
    assert refused.code == 1 and "used by container idle" in refused.stderr
    assert full("rmi", "-f", "kept:1").ok().lines == ["Untagged: kept:1"]
    assert full("rmi", "-f", full("inspect", "-f", "{{.Image}}", "idle").stdout.strip()).code == 1
    assert full("cp", "idle:/big", "-").code == 0
    full("rm", "idle").ok()
    assert "deleted: sha256:" in full("image", "prune", "-f").ok().stdout


def test_rmi_of_another_platform_removes_nothing(full: Pyc) -> None:
    refused = full("rmi", "--platform", "linux/s390x", "one:1")
    assert refused.code == 1 and "not for linux/s390x" in refused.stderr
    assert "one:1" in names(full)
    full("rmi", "--platform", "linux/s390x,linux/amd64", "one:1").ok()


def test_a_name_with_a_digest_goes_without_the_tags_that_have_it(full: Pyc, image: str) -> None:
    digest = full("images", "--digests", "--format", "{{.Digest}}", image).ok().lines[0]
    full("pull", "-q", f"{image}@{digest}").ok()
    removed = full("rmi", f"{image}@{digest}").ok().lines
    assert removed == [f"Untagged: {image}@{digest}"]
    assert f"{image}:latest" in names(full)


def test_missing_images_are_told_and_the_others_removed(full: Pyc) -> None:
    result = full("rmi", "nothing:1", "one:1")
    assert result.code == 1 and "no such image: nothing:1" in result.stderr and "one:1" not in names(full)
    assert full("rmi", "-f", "nothing:1").code == 0


# --- prunes -----------------------------------------------------------------------------------------------------------


def test_image_prune_removes_what_has_no_name_and_no_user(full: Pyc, image: str) -> None:
    result = full("image", "prune", stdin="y\n").ok()
    assert result.stdout.startswith("WARNING! This will remove all dangling images.")
    assert re.search(r"Deleted Images:\n(deleted: sha256:[0-9a-f]{64}\n){2,}\nTotal reclaimed space: \d", result.stdout)
    assert names(full) == sorted([f"{image}:latest", "kept:1", "one:1", "other/two:2"])


def test_image_prune_all_leaves_what_is_used(full: Pyc, image: str) -> None:
    full("rm", "job").ok()
    shown = full("image", "prune", "-a", "-f").ok().stdout
    assert "untagged: one:1" in shown and "untagged: other/two:2" in shown
    assert names(full) == ["kept:1"]
    assert full("run", "--rm", "kept:1", "ls", "/big").ok().stdout == "/big\n"


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (("label=nameless=a",), 1),
        (("label=nameless",), 0),
        (("label!=nameless=a",), 1),
        (("label=nameless", "label=other"), 2),
        (("until=1h",), 2),
        (("until=0s",), 0),
        (("until=2000-01-01",), 2),
    ],
)
def test_image_prune_heeds_filters(full: Pyc, filters: tuple[str, ...], left: int) -> None:
    full("image", "prune", "-f", *(word for text in filters for word in ("--filter", text))).ok()
    assert names(full).count("<none>:<none>") == left


def test_an_answer_that_is_no_yes_removes_nothing(full: Pyc) -> None:
    before = names(full)
    for answer in ("n\n", "", "no\n"):
        for command in (("image", "prune", "-a"), ("container", "prune"), ("system", "prune", "-a")):
            result = full(*command, stdin=answer)
            assert result.code == 0 and "WARNING!" in result.stdout and "reclaimed" not in result.stdout
    assert names(full) == before and len(full("ps", "-aq").lines) == 2


def test_container_prune_removes_those_that_do_not_run(full: Pyc, image: str) -> None:
    with full.start("run", "--name", "alive", image, "sleep", "60") as process:
        while "alive" not in full("ps", "--format", "{{.Names}}").stdout:
            time.sleep(0.02)
        full("container", "prune", "-f", "--filter", "label=kept").ok()
        assert sorted(full("ps", "-a", "--format", "{{.Names}}").lines) == ["alive", "job"]
        job = full("ps", "-aq", "--no-trunc", "-f", "name=job").stdout.strip()
        result = full("container", "prune", "-f").ok()
        assert result.stdout == f"Deleted Containers:\n{job}\n\nTotal reclaimed space: 500kB\n"
        full("rm", "-f", "alive").ok()
        process.communicate(timeout=20)


def test_system_prune_removes_all_that_nobody_uses(full: Pyc) -> None:
    full("network", "create", "unused").ok()
    result = full("system", "prune", "-a", "-f", "--volumes").ok()
    assert "Deleted Containers:" in result.stdout and "Deleted Images:" in result.stdout
    assert "Deleted Networks:\nunused\n" in result.stdout and "unused" not in full("network", "ls").stdout
    assert names(full) == [] and full("ps", "-aq").stdout == ""
    reclaimed = re.search(r"Total reclaimed space: ([\d.]+)MB", result.stdout)
    assert reclaimed and float(reclaimed[1]) > 3


def test_wrong_filters_are_refused(pyc: Pyc) -> None:
    for command in (("image", "prune"), ("container", "prune"), ("system", "prune")):
        for text in ("color=red", "until=whenever", "label"):
            result = pyc(*command, "-f", "--filter", text)
            assert result.code == 125 and "Traceback" not in result.stderr, (command, text)


# --- system df --------------------------------------------------------------------------------------------------------


def test_df_counts_shared_layers_once(full: Pyc) -> None:
    header, images, containers, volumes, cache = full("system", "df").ok().lines
    assert header.split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert images.split()[:3] == ["Images", "4", "2"] and cache.split()[:2] == ["Build", "Cache"]
    assert containers.split()[:4] == ["Containers", "2", "0", "500kB"] and "500kB (100%)" in containers
    assert volumes.startswith("Local Volumes")
    rows = [json.loads(line) for line in full("system", "df", "--format", "json").lines]
    assert [row["Type"] for row in rows] == ["Images", "Containers", "Local Volumes", "Build Cache"]
    assert full("system", "df", "--format", "{{.Type}}={{.Active}}").lines[0] == "Images=2"


def test_df_says_what_the_disk_says(full: Pyc) -> None:
    """The bytes of all blobs and layers, as found by walking through them."""
    blobs = sum(path.stat().st_size for path in Path(full.root, "oci/blobs/sha256").iterdir())
    files = {
        path.stat().st_ino: path.stat().st_size
        for path in Path(full.root, "layers").glob("*/fs/**/*")
        if path.is_file() and not path.is_symlink()
    }
    shown = full("system", "df", "--format", "{{.Size}}").lines[0]
    assert shown == f"{(blobs + sum(files.values())) / 1e6:.3g}MB"


def test_what_df_calls_reclaimable_is_what_prune_gives_back(full: Pyc) -> None:
    full("rm", "job").ok()
    promised = full("system", "df", "--format", "{{.Reclaimable}}").lines[0].split(" ")[0]
    assert f"Total reclaimed space: {promised}" in full("image", "prune", "-a", "-f").ok().stdout


def test_df_lists_everything_when_asked(full: Pyc, image: str) -> None:
    shown = full("system", "df", "-v").ok().stdout
    for title in ("Images space usage:", "Containers space usage:", "Local Volumes space usage:"):
        assert title in shown
    assert "SHARED SIZE" in shown and "UNIQUE SIZE" in shown and "idle" in shown
    parts = json.loads(full("system", "df", "-v", "--format", "json").stdout)
    (kept,) = [row for row in parts["Images"] if row["Repository"] == "kept"]
    assert kept["Containers"] == "1" and kept["SharedSize"] != "0B"
    assert {row["Names"]: row["Size"] for row in parts["Containers"]} == {"job": "500kB", "idle": "0B"}


# --- history, images, inspect -----------------------------------------------------------------------------------------


def test_history_shows_the_last_step_first(full: Pyc) -> None:
    full("commit", "-m", "why it is", "-a", "Ada", "idle", "third:1").ok()
    header, last, before, *_ = full("history", "third:1").ok().lines
    assert header.split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert last.startswith(full("images", "-q", "third").stdout.strip()) and "why it is" in last and "0B" in last
    assert before.startswith("<missing>") and "500kB" in before and "dd if=/dev/zero" in before
    steps = [json.loads(line) for line in full("history", "--format", "json", "--no-trunc", "third:1").lines]
    assert steps[0]["Comment"] == "why it is" and steps[0]["ID"].startswith("sha256:")
    assert full("history", "-q", "third:1").lines[1:] == ["<missing>"] * (len(steps) - 1)
    exact = full("history", "--human=false", "--format", "{{.Size}} {{.CreatedAt}}", "third:1").lines[1]
    assert re.fullmatch(r"500000 \d{4}-\d\d-\d\dT[\d:.]+Z", exact)
    assert full("history", "--platform", "linux/s390x", "third:1").code == 1


def test_an_image_is_described_as_docker_describes_it(full: Pyc, image: str) -> None:
    """Every field of the Engine API's ImageInspect (1.50) that is not deprecated or another system's."""
    (document,) = json.loads(full("image", "inspect", image).ok().stdout)
    fields = "Id RepoTags RepoDigests Comment Created DockerVersion Author Config Architecture Os Size GraphDriver"
    assert set(f"{fields} RootFS Metadata Descriptor".split()) <= set(document)
    assert document["Descriptor"]["digest"] in document["RepoDigests"][0] and document["Descriptor"]["size"] > 0
    assert full("image", "inspect", "--platform", "linux/s390x", image).code == 1
    assert full("image", "inspect", "--platform", str(host()), "-f", "{{.Os}}", image).stdout == "linux\n"
    assert full("inspect", "-s", "-f", "{{.SizeRw}}", "job").ok().stdout == "500000\n"
    assert full("inspect", "--type", "image", "job").code == 1


def test_images_are_chosen_by_every_filter(full: Pyc, image: str) -> None:
    def chosen(*filters: str) -> list[str]:
        flags = [word for text in filters for word in ("-f", text)]
        return sorted(full("images", "--format", "{{.Repository}}:{{.Tag}}", *flags).ok().lines)

    assert chosen("dangling=true") == ["<none>:<none>"] * 2 and len(chosen("dangling=false")) == 4
    assert chosen("label=kept") == chosen("label=kept=yes") == ["kept:1"] and chosen("label=kept=no") == []
    assert chosen("reference=*one*") == ["one:1"] and chosen("reference=other/*") == ["other/two:2"]
    assert chosen("since=one:1", "dangling=false") == ["kept:1"] and "one:1" in chosen("before=kept:1")
    assert chosen("until=1h", "reference=kept") == []
    assert full("images", "-f", "colour=red").code == 125 and full("images", "-f", "since=nothing").code != 0


def test_digests_are_shown_and_the_same_as_the_registrys(full: Pyc, image: str) -> None:
    assert "DIGEST" in full("images", "--digests").lines[0]
    digest = full("images", "--digests", "--format", "{{.Digest}}", image).stdout.strip()
    assert full("image", "inspect", "-f", "{{index .RepoDigests 0}}", image).stdout.strip().endswith(digest)
    assert full("images", "-a", "-q").lines == full("images", "-q").lines


def test_the_tree_shows_the_platforms_of_a_name(pyc: Pyc, registry: Registry) -> None:
    name = registry.publish("busybox") + ":multi"
    pyc("pull", "-q", name).ok()
    header, top, *rows = pyc("images", "--tree").ok().lines
    assert header.split() == ["IMAGE", "ID", "DISK", "USAGE", "CONTENT", "SIZE", "IN", "USE"]
    assert top.startswith(name) and len(rows) > 1
    assert ["MB" in row for row in rows] == [row.split()[1] == str(host()) for row in rows]
    assert all(" 0B " in row for row in rows if "MB" not in row)
    for flag in ("-q", "--digests", "--no-trunc"):
        assert pyc("images", "--tree", flag).code == 125
