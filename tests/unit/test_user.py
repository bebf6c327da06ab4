from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pycontainer.errors import ImageError, UsageError
from pycontainer.oci.user import MAX_ID, User, resolve_user
from pycontainer.rootfs.view import MergedView

PASSWD = """\
root:x:0:0:root:/root:/bin/sh

broken:x:zero:0::/:/bin/sh
negative:x:-1:0::/:/bin/sh
1000:x:0:0:named like a number:/root:/bin/sh
app:x:1000:1000:App:/srv/app:/bin/sh
app:x:0:0:second entry of that name::
web:x:33:33:www-data:/var/www:/usr/sbin/nologin
nohome:x:7:7
bad:x:8:8::relative:/bin/sh
inject:x:9:9::/home\x07/x:/bin/sh
big:x:4294967294:4294967294::/big:
wrap:x:4294967296:0::/:
+::::::
"""
GROUP = """\
root:x:0:
wheel:x:10:root,app
0050:x:0:
video:x:44:app,
audio:x:29:web
web:x:33:
near:x:45:app2,myapp
nonsense:x:abc:app
app:x:1000:
dup:x:44:app
"""


@pytest.fixture
def view(tmp_path: Path) -> MergedView:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return MergedView([str(tmp_path)])


@pytest.mark.parametrize(
    ("spec", "add", "expected"),
    [
        ("", [], User(0, 0, (0, 10), "/root", "root")),
        ("root", [], User(0, 0, (0, 10), "/root", "root")),
        ("0", [], User(0, 0, (0, 10), "/root", "root")),
        ("app", [], User(1000, 1000, (1000, 10, 44), "/srv/app", "app")),
        ("1000", [], User(1000, 1000, (1000, 10, 44), "/srv/app", "app")),  # a uid, not the account called 1000
        ("+1000", [], User(1000, 1000, (1000, 10, 44), "/srv/app", "app")),
        ("1000:1000", [], User(1000, 1000, (1000,), "/srv/app", "app")),
        ("app:video", [], User(1000, 44, (44,), "/srv/app", "app")),
        ("app:", [], User(1000, 1000, (1000, 10, 44), "/srv/app", "app")),
        (":44", [], User(0, 44, (44,), "/root", "root")),
        ("1:2", [], User(1, 2, (2,), "/", "")),
        ("1", [], User(1, 0, (0,), "/", "")),
        ("12345", ["video", "77", "77"], User(12345, 0, (0, 44, 77), "/", "")),
        ("web", ["wheel"], User(33, 33, (33, 29, 10), "/var/www", "web")),
        ("1:0050", [], User(1, 50, (50,), "/", "")),  # a gid, not the group called 0050
        ("app", ["0050"], User(1000, 1000, (1000, 10, 44, 50), "/srv/app", "app")),
        ("nohome", [], User(7, 7, (7,), "/", "nohome")),
        ("bad", [], User(8, 8, (8,), "/", "bad")),
        ("inject", [], User(9, 9, (9,), "/", "inject")),
        ("big", [], User(MAX_ID, MAX_ID, (MAX_ID,), "/big", "big")),
        ("2147483648", [], User(2147483648, 0, (0,), "/", "")),
    ],
)
def test_user_resolves_as_docker_does(view: MergedView, spec: str, add: list[str], expected: User) -> None:
    assert resolve_user(spec, add, view) == expected


@pytest.mark.parametrize(
    ("spec", "add", "message"),
    [
        ("nobody", [], "unable to find user nobody: no matching entries in passwd file"),
        ("broken", [], "unable to find user broken"),
        ("negative", [], "unable to find user negative"),
        ("wrap", [], "unable to find user wrap"),
        ("app:nogroup", [], "unable to find group nogroup: no matching entries in group file"),
        ("app:nonsense", [], "unable to find group nonsense"),
        ("app", ["nogroup"], "unable to find group nogroup"),
        ("-1", [], "user id -1 is out of range"),
        ("4294967295", [], "out of range"),
        ("4294967296", [], "out of range"),
        ("2147483648:4294967296", [], "group id 4294967296 is out of range"),
        ("9" * 1_000_000, [], "out of range"),
        ("1:2:3", [], "want user or user:group"),
        ("root\n", [], "want user or user:group"),
        ("app\0", [], "want user or user:group"),
        ("app", ["-5"], "group id -5 is out of range"),
        ("²", [], "unable to find user"),
    ],
)
def test_a_user_that_can_not_be_is_one_line(view: MergedView, spec: str, add: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        resolve_user(spec, add, view)
    assert "\n" not in caught.value.message and len(caught.value.message) < 200


def test_an_image_without_passwd_has_numbers_only(tmp_path: Path) -> None:
    view = MergedView([str(tmp_path)])
    assert resolve_user("", [], view) == User(0, 0, (0,), "/", "")
    assert resolve_user("5:6", ["7"], view) == User(5, 6, (6, 7), "/", "")
    with pytest.raises(UsageError, match="unable to find user root"):
        resolve_user("root", [], view)


@pytest.mark.parametrize("kind", ["fifo", "huge", "directory", "loop"])
def test_a_passwd_that_is_no_ordinary_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc/passwd"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "huge":
        path.touch()
        os.truncate(path, 5 << 30)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("passwd")
    start = time.monotonic()
    with pytest.raises(ImageError, match="can't use /etc/passwd"):
        resolve_user("root", [], MergedView([str(tmp_path)]))
    assert time.monotonic() - start < 0.5


def test_a_link_never_leaves_the_image(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("root:x:0:0::/outside:/bin/sh\n")
    layer = tmp_path / "layer"
    (layer / "etc").mkdir(parents=True)
    (layer / "etc/passwd").symlink_to("../../outside")
    (layer / "outside").write_text("root:x:0:0::/inside:/bin/sh\n")
    assert resolve_user("root", [], MergedView([str(layer)])).home == "/inside"


def test_ten_hostile_mebibytes_neither_take_long_nor_much_memory(tmp_path: Path) -> None:
    import resource

    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_bytes(b":" * (5 << 20) + b"\n" * (5 << 20))
    (tmp_path / "etc/group").write_bytes((b"g:x:1:" + b"," * 1000 + b"\n") * 10000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    resolve_user("5:6", ["7"], MergedView([str(tmp_path)]))
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 << 10  # KiB
