from __future__ import annotations

import bz2
import gzip
import hashlib
import http.server
import io
import json
import lzma
import os
import signal
import subprocess
import tarfile
import threading

import pytest
import zstandard

from images import build
from pycontainer.engine.image.archives import load, save
from pycontainer.engine.options import Roots
from pycontainer.image.store import Store
from tests.support.cli import Pyc

pytestmark = pytest.mark.root


@pytest.fixture
def box(pyc: Pyc) -> Pyc:
    """``pyc`` with busybox in its store, from a directory."""
    pyc("pull", "-q", f"oci:{build.layout('busybox')}:latest").ok()
    return pyc


def saved(pyc: Pyc, *arguments: str) -> bytes:
    return subprocess.run(pyc.argv("save", *arguments), env=pyc.env(), capture_output=True, check=True).stdout


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}


def image_id(pyc: Pyc, name: str) -> str:
    return pyc("inspect", "--format", "{{.Id}}", name).ok().stdout.strip()


# ---- save


def test_the_same_images_are_the_same_bytes_on_stdout_and_in_a_file(box: Pyc, tmp_path):
    box("tag", "localhost/busybox", "two:v2").ok()
    box("save", "-o", f"{tmp_path}/out.tar", "localhost/busybox", "two:v2").ok()
    with open(f"{tmp_path}/out.tar", "rb") as file:
        assert file.read() == saved(box, "localhost/busybox", "two:v2")
    assert os.listdir(tmp_path) == ["out.tar"]
    assert os.stat(f"{tmp_path}/out.tar").st_mode & 0o777 == 0o600


def test_a_shared_blob_is_there_once_and_both_lists_name_it(box: Pyc):
    box("tag", "localhost/busybox", "two:v2").ok()
    files = members(saved(box, "localhost/busybox", "two:v2"))
    assert len([name for name in files if name.startswith("blobs/")]) == 3
    (entry,) = json.loads(files["manifest.json"])
    assert entry["RepoTags"] == ["localhost/busybox:latest", "docker.io/library/two:v2"]
    names = [item["annotations"]["io.containerd.image.name"] for item in json.loads(files["index.json"])["manifests"]]
    assert names == entry["RepoTags"]
    assert "manifest.json" not in members(saved(box, "--format", "oci-archive", "two:v2"))


def test_a_repository_without_a_tag_means_all_its_tags_and_an_id_no_name(box: Pyc):
    for tag in ("one", "two"):
        box("tag", "localhost/busybox", f"many:{tag}").ok()
    files = members(saved(box, "many"))
    assert json.loads(files["manifest.json"])[0]["RepoTags"] == [
        "docker.io/library/many:one",
        "docker.io/library/many:two",
    ]
    assert json.loads(members(saved(box, image_id(box, "many:one")))["manifest.json"])[0]["RepoTags"] is None


def test_a_save_that_fails_leaves_no_file_and_keeps_the_old_one(box: Pyc, tmp_path):
    with open(f"{tmp_path}/old.tar", "w") as file:
        file.write("precious")
    manifest = json.loads(members(saved(box, "localhost/busybox"))["manifest.json"])[0]
    os.unlink(f"{box.root}/oci/{manifest['Layers'][0]}")
    done = box("save", "-o", f"{tmp_path}/old.tar", "localhost/busybox")
    assert (done.code, "is missing" in done.stderr) == (1, True)
    with open(f"{tmp_path}/old.tar") as file:
        assert file.read() == "precious"
    assert os.listdir(tmp_path) == ["old.tar"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "no such image: nothing"),
        (["-o", "/nonexistent/x.tar", "localhost/busybox"], "can't write /nonexistent/x.tar"),
        (["--format", "docker-dir", "localhost/busybox"], "unknown format 'docker-dir'"),
        (["--platform", "linux/s390x", "localhost/busybox"], "is for linux/amd64, not for linux/s390x"),
        (["-o", "/dev/full", "localhost/busybox"], "no space left on device"),
    ],
)
def test_a_mistake_of_save_is_one_line(box: Pyc, arguments: list[str], words: str):
    done = box("save", *arguments)
    assert done.code in (1, 125)
    assert words in done.stderr
    assert "bug" not in done.stderr


def test_nothing_is_written_to_a_terminal(box: Pyc):
    with box.terminal("save", "localhost/busybox") as terminal:
        terminal.expect("cowardly refusing")
        assert terminal.wait() == 125


def test_a_reader_who_has_enough_ends_it_quietly(box: Pyc):
    with box.start("save", "localhost/busybox") as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr.read() == b""


# ---- load


PACKERS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "two gzip members": lambda data: gzip.compress(data[:5000]) + gzip.compress(data[5000:]),
    "two xz streams": lambda data: lzma.compress(data[:5000]) + bytes(4) + lzma.compress(data[5000:]),
}


@pytest.mark.parametrize("how", PACKERS)
@pytest.mark.parametrize("piped", [True, False])
def test_archives_come_compressed_and_through_pipes(box: Pyc, tmp_path, how: str, piped: bool):
    data = PACKERS[how](saved(box, "localhost/busybox"))
    fresh = Pyc.beneath(f"{tmp_path}/fresh")
    with open(f"{tmp_path}/archive", "wb") as file:
        file.write(data)
    done = fresh("load", stdin=data) if piped else fresh("load", "--input", f"{tmp_path}/archive")
    assert done.ok().lines == ["Loaded image: localhost/busybox:latest"]
    assert image_id(fresh, "localhost/busybox") == image_id(box, "localhost/busybox")
    assert os.listdir(f"{fresh.root}/tmp") == []


def test_what_is_loaded_runs(box: Pyc, tmp_path):
    data, fresh = saved(box, "localhost/busybox"), Pyc.beneath(f"{tmp_path}/fresh")
    fresh("load", stdin=data).ok()
    assert fresh("run", "--rm", "localhost/busybox", "cat", "/etc/os-release").ok().stdout.startswith('NAME="BusyBox"')


def test_the_platform_of_an_index_can_be_chosen(pyc: Pyc):
    layout = build.layout("busybox")
    other = "arm64" if os.uname().machine == "x86_64" else "amd64"
    pyc("pull", "--platform", f"linux/{other}", f"oci:{layout}:multi").ok()
    assert pyc("inspect", "--format", "{{.Architecture}}", "localhost/busybox:multi").ok().stdout.strip() == other
    refused = pyc("pull", "--platform", "linux/riscv64", f"oci:{layout}:multi")
    assert "has no image for linux/riscv64" in refused.stderr


def test_a_name_that_moves_leaves_the_old_image_by_its_digest(box: Pyc, pyc: Pyc, tmp_path):
    pyc("pull", "-q", f"oci:{build.layout('users')}:latest").ok()
    box("tag", "localhost/users", "moving:v1").ok()
    archive = saved(box, "moving:v1")
    box("tag", "localhost/busybox", "moving:v1").ok()
    old = image_id(box, "moving:v1")
    box("load", stdin=archive).ok()
    assert image_id(box, "moving:v1") == image_id(box, "localhost/users") != old


def test_loading_twice_is_loading_once(box: Pyc):
    archive = saved(box, "localhost/busybox")
    for _ in range(2):
        box("load", stdin=archive).ok()
    assert len(box("images", "-q").ok().lines) == 1


def test_a_killed_load_is_repaired_by_the_next(box: Pyc, tmp_path):
    box("save", "-o", f"{tmp_path}/a.tar", "localhost/busybox").ok()
    fresh = Pyc.beneath(f"{tmp_path}/fresh")
    for wait in (0.08, 0.1, 0.12, 0.14, 0.16):
        with fresh.start("load", "-i", f"{tmp_path}/a.tar") as process:
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            process.communicate()
        names = fresh("images", "-q").ok().lines
        assert len(names) <= 1
    fresh("load", "-i", f"{tmp_path}/a.tar").ok()
    fresh("run", "--rm", "localhost/busybox", "true").ok()


def test_python_hears_of_progress_in_its_own_thread(roots: Roots, box: Pyc, tmp_path):
    threads, kinds = set(), []

    def listen(event) -> None:
        threads.add(threading.current_thread())
        kinds.append(event.kind)

    archive = f"{tmp_path}/a.tar"
    with open(archive, "wb") as file:
        save(Store(roots.root), ["localhost/busybox"], file.fileno(), progress=listen)
    assert kinds == ["saved"] * 3
    kinds.clear()
    with open(archive, "rb") as file:
        (loaded,) = load(Store(f"{tmp_path}/other"), file.fileno(), archive, progress=listen)
    assert [name.familiar for name in loaded.names] == ["localhost/busybox:latest"]
    assert {"manifest", "config", "layer", "verified", "unpacked", "image"} <= set(kinds)
    assert threads == {threading.current_thread()}


def test_a_terminal_is_no_archive(pyc: Pyc):
    with pyc.terminal("load") as terminal:
        terminal.expect("there is no archive on stdin")
        assert terminal.wait() == 125


# ---- run and pull of files


def test_run_takes_an_image_from_a_file_and_no_name_from_it(box: Pyc, tmp_path):
    """Whatever an archive calls its image: running it must not change what that name means here."""
    box("tag", "localhost/busybox", "alpine:latest").ok()
    box("save", "-o", f"{tmp_path}/evil.tar", "alpine:latest").ok()
    fresh = Pyc.beneath(f"{tmp_path}/fresh")
    for source in (f"docker-archive:{tmp_path}/evil.tar", f"oci-archive:{tmp_path}/evil.tar"):
        assert fresh("run", "--rm", source, "echo", "hello").ok().stdout == "hello\n"
    names = fresh("images", "--format", "{{.Repository}}:{{.Tag}}").ok().lines
    assert names == ["localhost/evil:latest"]


def test_one_of_several_images_must_be_named(box: Pyc, tmp_path):
    box("pull", "-q", f"oci:{build.layout('users')}:latest").ok()
    box("save", "-o", f"{tmp_path}/two.tar", "localhost/users", "localhost/busybox").ok()
    source = f"docker-archive:{tmp_path}/two.tar"
    refused = box("run", "--rm", source, "true")
    assert "which one is wanted" in refused.stderr
    assert "localhost/busybox:latest, localhost/users:latest" in refused.stderr
    assert box("run", "--rm", f"{source}:localhost/users:latest", "id", "-un").ok().stdout == "app\n"


def test_a_path_may_have_colons(box: Pyc, tmp_path):
    path = f"{tmp_path}/a:b.tar"
    box("save", "-o", path, "localhost/busybox").ok()
    box("run", "--rm", f"oci-archive:{path}", "true").ok()
    box("run", "--rm", f"oci-archive:{path}:latest", "true").ok()
    assert "has no image 'older'" in box("run", "--rm", f"oci-archive:{path}:older", "true").stderr


def test_a_layout_with_links_is_not_followed(pyc: Pyc, tmp_path):
    layout = f"{tmp_path}/layout"
    subprocess.run(["cp", "-r", build.layout("busybox"), layout], check=True)
    os.rename(f"{layout}/blobs/sha256", f"{tmp_path}/elsewhere")
    os.symlink(f"{tmp_path}/elsewhere", f"{layout}/blobs/sha256")
    done = pyc("pull", f"oci:{layout}:latest")
    assert done.code == 1
    assert "too many levels of symbolic links" in done.stderr
    os.mkfifo(f"{layout}/fifo")
    os.rename(f"{layout}/fifo", f"{layout}/index.json")
    assert pyc("pull", f"oci:{layout}:latest", timeout=10).code == 1


@pytest.mark.parametrize("wrong", ["no layers", "no list", "one image only"])
def test_a_layout_of_docker_25_that_lacks_something_is_passed_over_for_its_list(box: Pyc, tmp_path, wrong: str):
    """As in moby#47065, #47210 and #51389; the list has all in each of them."""
    box("pull", "-q", f"oci:{build.layout('alpine')}:latest").ok()
    names = ["localhost/busybox", "localhost/alpine"]
    ids = [image_id(box, name) for name in names]
    files = members(saved(box, *names))
    index = json.loads(files["index.json"])
    if wrong == "no layers":
        entry = index["manifests"][0]
        manifest = json.loads(files[f"blobs/sha256/{entry['digest'][7:]}"])
        data = json.dumps({**manifest, "layers": None}).encode()
        entry |= {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
        files[f"blobs/sha256/{entry['digest'][7:]}"] = data
    else:
        index["manifests"] = None if wrong == "no list" else index["manifests"][:1]
    files["index.json"] = json.dumps(index).encode()
    with tarfile.open(f"{tmp_path}/25.tar", "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    fresh = Pyc.beneath(f"{tmp_path}/fresh")
    assert len(fresh("load", "-i", f"{tmp_path}/25.tar").ok().lines) == 2
    assert [image_id(fresh, name) for name in names] == ids
    assert fresh("run", "--rm", names[1], "echo", "hi").ok().stdout == "hi\n"


# ---- import


@pytest.fixture
def root_tar(tmp_path) -> bytes:
    os.makedirs(f"{tmp_path}/root/bin")
    subprocess.run(["cp", "/bin/busybox", f"{tmp_path}/root/bin/sh"], check=True)
    return subprocess.run(["tar", "-C", f"{tmp_path}/root", "-c", "."], capture_output=True, check=True).stdout


@pytest.mark.parametrize("how", ["plain", "gzip", "zstd", "bzip2", "xz"])
def test_import_takes_a_root_however_it_is_packed(pyc: Pyc, root_tar: bytes, how: str):
    done = pyc("import", "-", "made:v1", stdin=PACKERS[how](root_tar)).ok()
    assert done.stdout.startswith("sha256:")
    assert pyc("run", "--rm", "made:v1", "/bin/sh", "-c", "echo $((6 * 7))").ok().stdout == "42\n"


def test_import_applies_changes_and_notes_the_message(pyc: Pyc, root_tar: bytes):
    changes = ['CMD ["/bin/sh", "-c", "echo $GREETING"]', "ENV GREETING=hello", "LABEL a=b", "EXPOSE 80", "USER 7"]
    flags = [word for change in changes for word in ("--change", change)]
    image = pyc("import", *flags, "--message", "by hand", "-", "made", stdin=root_tar).ok().stdout.strip()
    assert pyc("run", "--rm", "made").ok().stdout == "hello\n"
    shown = json.loads(pyc("inspect", image).ok().stdout)[0]
    assert shown["Config"]["Labels"] == {"a": "b"}
    assert shown["Config"]["User"] == "7"
    assert shown["Config"]["ExposedPorts"] == {"80/tcp": {}}
    with open(f"{pyc.root}/oci/blobs/{image.replace(':', '/')}") as file:
        assert json.load(file)["history"][0]["comment"] == "by hand"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["http://registry.example.com/root.tar"], "import from registry.example.com over plain HTTP is refused"),
        (["ftp://127.0.0.1/root.tar"], "is no web address"),
        (["http://[127.0.0.1/root.tar"], "is no web address"),
        (["http://127.0.0.1:1/root.tar"], "connection refused"),
        (["/nonexistent.tar"], "can't open /nonexistent.tar"),
        (["/etc"], "a directory can't be imported"),
        (["--change", "RUN true", "-"], "RUN is not an instruction"),
        (["--change", "EXPOSE many", "-"], "EXPOSE"),
        (["-", "name@sha256:" + "0" * 64], "a digest follows from the content"),
        (["-"], "the archive on stdin can't be imported: it "),
        (["/etc/passwd"], "/etc/passwd can't be imported: it "),
    ],
)
def test_a_mistake_of_import_is_one_line_and_makes_nothing(pyc: Pyc, arguments: list[str], words: str):
    done = pyc("import", *arguments, stdin=b"x" * 600)
    assert done.code in (1, 125)
    assert words in done.stderr
    assert "bug" not in done.stderr
    assert pyc("images", "-q").ok().stdout == ""


def test_import_fetches_what_is_whole_and_no_plain_http_from_elsewhere(pyc: Pyc, root_tar: bytes):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path.endswith(".tar") else 302)
            self.send_header("Location", "http://example.com/")
            if self.path == "/cut.tar":
                self.send_header("Content-Length", str(len(root_tar) + 1024))
            self.end_headers()
            self.wfile.write(root_tar)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        pyc("import", f"{base}/root.tar", "fetched").ok()
        refused = pyc("import", f"{base}/elsewhere")
        cut = pyc("import", f"{base}/cut.tar")
        proxied = pyc("import", f"{base}/root.tar", env={"HTTP_PROXY": "http://127.0.0.1:1"})
        server.shutdown()
    assert "redirects to example.com over plain HTTP, which is refused" in refused.stderr
    assert cut.code == 1 and "too early" in cut.stderr and "bug" not in cut.stderr
    proxied.ok()
    pyc("run", "--rm", "fetched", "/bin/sh", "-c", "true").ok()


def test_what_is_exported_can_be_imported(box: Pyc, tmp_path):
    box("run", "--name", "changed", "localhost/busybox", "sh", "-c", "echo mine > /mine").ok()
    exported = subprocess.run(box.argv("export", "changed"), env=box.env(), capture_output=True, check=True).stdout
    box("import", "-", "again", stdin=exported).ok()
    assert box("run", "--rm", "again", "cat", "/mine").ok().stdout == "mine\n"
