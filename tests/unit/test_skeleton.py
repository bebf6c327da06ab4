"""The layer of empty mount points below every image."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pycontainer.rootfs.overlay import make_skeleton, skeleton


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
