"""What lies below a container: the layer of empty mount points, and on which mount the layers are."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pycontainer.rootfs.overlay import are_together, make_skeleton, skeleton


def test_several_threads_may_start_the_first_container_of_a_store(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def make(root: str) -> None:
        barrier.wait(10)
        make_skeleton(root)

    with ThreadPoolExecutor(4) as pool:
        for number in range(20):
            root = str(tmp_path / str(number))
            os.mkdir(root)
            for made in [pool.submit(make, root) for _ in range(4)]:
                made.result()
            assert os.listdir(root) == [os.path.basename(skeleton(root))]


def test_what_is_not_below_or_not_there_is_not_together(tmp_path: Path) -> None:
    for name in ("top/a", "top/b/c", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    top = str(tmp_path / "top")
    assert are_together(top, ["a", "b/c"])
    assert are_together(top, ["a", "b/../a"])
    assert not are_together(top, ["a", "missing"])
    assert not are_together(top, ["../elsewhere"])
    assert not are_together(str(tmp_path / "nowhere"), [])
