"""``pyc load``, ``save`` and ``import``: images from and to files.

Loading is a pull whose registry is a file: the same code verifies, unpacks and names. Saving copies the blobs as they
are in the store, which already is an image layout, so nothing is compressed again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from pycontainer.engine.image.fetch import arriving, fetch
from pycontainer.errors import ImageError, InvalidReference, NotFound, StoreError, UsageError
from pycontainer.image import docker_archive, events, flat_directory, oci_archive
from pycontainer.image.archive import Archive, DirectoryFiles, Files, Offer, blob_name, open_tar
from pycontainer.image.events import Event, Listener
from pycontainer.image.manifest import Descriptor, Index, Manifest, parse_document
from pycontainer.image.model import Image
from pycontainer.image.platform import Platform
from pycontainer.image.reference import Reference
from pycontainer.image.store import Store
from pycontainer.image.tar import FILE, Entry
from pycontainer.image.tarwriter import END, encode, padding
from pycontainer.record import Record

__all__ = ["DOCKER", "OCI", "Event", "Loaded", "load", "open_archive", "save", "take"]

DOCKER, OCI = "docker-archive", "oci-archive"
"""Formats of :func:`save`. Docker's, since docker 25, is an image layout too, with a list for older readers."""

DIRECTORY = "dir"
"""A format that is only read."""


_DOCUMENTS_MAX = 1000
"""Manifests and indexes that are read to compare two lists of one archive."""


class Loaded(Record):
    """An image that was loaded, and the names that the archive gave it."""

    image: Image
    names: tuple[Reference, ...]


# ---- load


@contextmanager
def open_archive(store: Store, fd: int, what: str, form: str = "") -> Iterator[Archive]:
    """The images in a file or directory that is open.

    Args:
        store: its scratch space is used for what comes through a pipe or compressed.
        fd: an archive, or a directory with an image layout; stays the caller's.
        what: its name, for messages.
        form: DOCKER, OCI or DIRECTORY, if it must be that; else what it looks like.

    Raises:
        ImageError: neither docker's nor OCI's, malformed, or hostile.
    """
    store.prepare()
    files: Files
    if os.path.isdir(f"/proc/self/fd/{fd}"):
        files = DirectoryFiles(f"/proc/self/fd/{fd}", what)
    else:
        files = open_tar(fd, what, store.staging)
    try:
        if form in ("", DIRECTORY) and flat_directory.is_flat_directory(files):
            archive = flat_directory.open_flat_directory(files)
        elif form not in (DOCKER, DIRECTORY) and oci_archive.is_layout(files):
            archive = oci_archive.open_layout(files)
            if not form and docker_archive.is_docker_archive(files):
                listed = docker_archive.open_docker_archive(files)
                archive = archive if _has_all(archive, listed) else listed
        elif form in ("", DOCKER) and (docker_archive.is_docker_archive(files) or files.has("repositories")):
            archive = docker_archive.open_docker_archive(files)
        else:
            wanted = {
                DOCKER: "has no manifest.json",
                OCI: "has no oci-layout and index.json",
                DIRECTORY: "is no directory with version and manifest.json",
            }
            raise ImageError(
                f"{what} is no image archive: it {wanted.get(form, 'has neither index.json nor manifest.json')}"
            )
    except BaseException:
        files.close()
        raise
    with archive:
        yield archive


def _has_all(layout: Archive, listed: Archive) -> bool:
    """Whether a layout has all images of docker's own list, with all their layers.

    Layouts of docker 25 and later may lack layers or images that have no name (moby#47065, #47210, #51389).
    """
    there: set[tuple[str, int]] = set()
    pending = [offer.descriptor for offer in layout.offers]
    for _ in range(_DOCUMENTS_MAX):
        if not pending:
            break
        descriptor = pending.pop()
        try:
            parsed = parse_document(layout.manifest(descriptor.digest).data, descriptor.media_type)
        except ImageError:  # of an index, not all platforms need be there
            continue
        if isinstance(parsed, Index):
            pending += parsed.manifests
        else:
            there.add((parsed.config.digest, len(parsed.layers)))
    wanted = [parse_document(listed.manifest(offer.descriptor.digest).data) for offer in listed.offers]
    return all((each.config.digest, len(each.layers)) in there for each in wanted if isinstance(each, Manifest))


def load(
    store: Store,
    fd: int,
    what: str = "the archive",
    *,
    platform: Platform | None = None,
    progress: Listener | None = None,
    jobs: int = 0,
) -> list[Loaded]:
    """Bring all images of an archive into the store, under the names that the archive gives them.

    Args:
        store: where to.
        fd: the archive: a file, a pipe, or a directory with an image layout.
        what: its name, for messages.
        platform: for which machine; this one by default.
        progress: is told what happens, always in the calling thread.
        jobs: how many layers at a time; by default what keeps this machine busy.

    Raises:
        ImageError: the archive or one of its images is malformed or hostile. Then none of them is there.
        StoreError: the disk is full.
    """
    listener = progress or events.nobody
    with arriving(store), open_archive(store, fd, what) as archive:
        if not archive.offers:
            raise ImageError(f"{what} has no images")
        named = [(offer, _references(offer, what)) for offer in archive.offers]
        fetched = [
            (
                fetch(store, archive, offer.descriptor.digest, what, platform=platform, listener=listener, jobs=jobs),
                names,
            )
            for offer, names in named
        ]
        loaded = []
        for found, names in fetched:
            for name in names or (None,):
                image = store.add(name, found.image_id, found.manifest, found.source)
            listener(Event("image", image.id, text=f"image {image.id[7:19]} is loaded"))
            loaded.append(Loaded(image, names))
    return loaded


def _references(offer: Offer, what: str) -> tuple[Reference, ...]:
    """The whole names among those that an archive gives; a mere tag, as skopeo writes it, is none."""
    try:
        found = [Reference.parse(name) for name in offer.names if ":" in name or "/" in name]
    except InvalidReference as error:
        raise ImageError(f"{what}: {error.message}") from None
    return tuple(dict.fromkeys(name for name in found if name.tag and not name.digest))


def take(
    store: Store,
    archive: Archive,
    wanted: str,
    name: Reference,
    *,
    platform: Platform | None = None,
    progress: Listener | None = None,
    jobs: int = 0,
) -> Image:
    """Bring one image of an archive into the store, under a name that the caller chooses.

    An archive must not decide what ``alpine`` is on this machine just because it is run once.

    Args:
        store, archive: where to, where from.
        wanted: a name or tag as the archive has it; "" if there is only one image.
        name: what it shall be called.
        platform, progress, jobs: as of :func:`load`.

    Raises:
        NotFound: the archive has no such image, or several and none was named. ImageError: as :func:`load`.
    """
    listener = progress or events.nobody
    with arriving(store):
        digest = _choose(archive, wanted).descriptor.digest
        found = fetch(store, archive, digest, archive.what, platform=platform, listener=listener, jobs=jobs)
        image = store.add(name, found.image_id, found.manifest, found.source)
    listener(Event("image", image.id, text=f"{name.familiar} is image {image.id[7:19]}"))
    return image


def _choose(archive: Archive, wanted: str) -> Offer:
    fitting = [offer for offer in archive.offers if not wanted or any(_means(wanted, name) for name in offer.names)]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(sorted(name for offer in archive.offers for name in offer.names)) or "images without a name"
    if not fitting:
        raise NotFound(
            f"{archive.what} has no image {wanted!r}" if wanted else f"{archive.what} has no images",
            hint=f"it has {there}",
        )
    raise NotFound(f"{archive.what} has {len(fitting)} images: which one is wanted?", hint=f"it has {there}")


def _means(wanted: str, name: str) -> bool:
    """True if somebody who says ``wanted`` means the image that an archive calls ``name``."""
    if wanted == name or ":" not in name:  # a mere tag, as skopeo writes it
        return wanted == name
    try:
        reference = Reference.parse(name)
        return wanted == reference.tag or Reference.parse(wanted) == reference
    except InvalidReference:
        return False


# ---- save


def save(
    store: Store,
    names: Sequence[str],
    output: int,
    *,
    form: str = DOCKER,
    platform: Platform | None = None,
    progress: Listener | None = None,
) -> None:
    """Write images with their names into a tar archive.

    Args:
        store: where they are.
        names: names and IDs; a repository without a tag means all its tags.
        output: descriptor of the file or pipe to write to.
        form: DOCKER or OCI.
        platform: what the images must be for; anything by default.
        progress: is told how far the copying is.

    Raises:
        NotFound: no such image. ImageError: it is for another platform.
        StoreError: a blob is missing, or the output can't be written.
    """
    listener = progress or events.nobody
    if form not in (DOCKER, OCI):
        raise UsageError(f"unknown format {form!r}", hint=f"{DOCKER} or {OCI}")
    with store.hold():
        chosen = _chosen(store, names)
        for image, _ in chosen:
            if platform and image.config.platform not in platform.accepts():
                raise ImageError(f"image {image.id[7:19]} is for {image.config.platform}, not for {platform}")
        manifests = [(store.manifest(image.manifest), references) for image, references in chosen]
        writer = _Writer(output)
        writer.small(oci_archive.LAYOUT_FILE, oci_archive.LAYOUT)
        writer.small(oci_archive.INDEX_FILE, oci_archive.index_of((image.manifest, refs) for image, refs in chosen))
        if form == DOCKER:
            writer.small(docker_archive.MANIFEST_FILE, docker_archive.list_of(manifests))
        for blob in _blobs(chosen, manifests):
            writer.blob(store, blob)
            listener(Event("saved", blob.digest, blob.size, blob.size, "copied"))
        writer.end()


def _chosen(store: Store, names: Sequence[str]) -> list[tuple[Image, list[Reference]]]:
    """The images that a user means, each once, with the names that he means."""
    found: dict[str, tuple[Image, list[Reference]]] = {}
    for text in names:
        for image, reference in _meant(store, text):
            references = found.setdefault(image.id, (image, []))[1]
            if reference and reference not in references:
                references.append(reference)
    return list(found.values())


def _meant(store: Store, text: str) -> list[tuple[Image, Reference | None]]:
    try:
        wanted = Reference.parse(text)
    except InvalidReference:
        wanted = None
    if wanted and not wanted.digest and not text.endswith(f":{wanted.tag}"):
        whole = {tag: image for image in store.images() for tag in image.tags if tag.name == wanted.name}
        if whole:
            return [(whole[tag], tag) for tag in sorted(whole, key=str)]
    image = store.find(text)
    if wanted and str(wanted) not in image.names:  # it may be the ID, or a name that means another registry's image
        from pycontainer.image.shortnames import candidates

        wanted = next((meant for meant in candidates(text) if str(meant) in image.names), None)
    return [(image, wanted if wanted and not wanted.digest else None)]


def _blobs(
    chosen: Iterable[tuple[Image, list[Reference]]], manifests: Iterable[tuple[Manifest, list[Reference]]]
) -> list[Descriptor]:
    """Every blob once: manifests, configs, layers."""
    blobs = [image.manifest for image, _ in chosen]
    for manifest, _ in manifests:
        blobs += [manifest.config, *manifest.layers]
    return list({blob.digest: blob for blob in blobs}.values())


class _Writer:
    """A tar archive of regular files, the same bytes for the same content."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def small(self, name: str, data: bytes) -> None:
        """A file whose content we have."""
        self._write(_header(name, len(data)) + data + padding(len(data)))

    def blob(self, store: Store, blob: Descriptor) -> None:
        """A file of the store, copied by the kernel."""
        if not store.has_blob(blob):
            raise StoreError(
                f"blob {blob.digest} is missing", hint="pull the image again: only what is missing is fetched"
            )
        self._write(_header(blob_name(blob.digest), blob.size))
        source = os.open(store.blob_path(blob.digest), os.O_RDONLY | os.O_CLOEXEC)
        try:
            done = 0
            while done < blob.size:
                sent = os.sendfile(self._fd, source, done, blob.size - done)
                if not sent:
                    raise StoreError(f"blob {blob.digest} is shorter than it should be")
                done += sent
        except OSError as error:
            raise _cant_write(error) from None
        finally:
            os.close(source)
        self._write(padding(blob.size))

    def end(self) -> None:
        """The two blocks that end it."""
        self._write(END)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise _cant_write(error) from None


def _cant_write(error: OSError) -> Exception:
    """A reader who had enough is no error of the store."""
    if isinstance(error, BrokenPipeError):
        return error
    return StoreError(f"can't write the archive: {(error.strerror or '').lower()}")


def _header(name: str, size: int) -> bytes:
    return encode(Entry(FILE, name.encode(), b"", 0o644, 0, 0, 0, size, (0, 0), None, None))
