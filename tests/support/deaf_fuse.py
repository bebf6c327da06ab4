"""A FUSE filesystem: an empty directory, until SIGUSR1 comes; from then on no request is ever answered.

``python deaf_fuse.py DIRECTORY`` mounts it there and writes a line when it is. It ends with its process. The protocol
is in linux/fuse.h; what is not answered by name does not exist.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import sys
import time

FORGET, GETATTR, STATFS, INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 2, 3, 17, 26, 27, 28, 29, 36, 42
DIRECTORY = struct.pack("<QII6Q3I7I", 0, 0, 0, 1, *bytes(5), *bytes(3), 0o40755, 2, *bytes(5))
ANSWERS = {
    INIT: struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 1, 1, 4096, 1, *bytes(10)),
    GETATTR: DIRECTORY,
    STATFS: bytes(80),
    OPENDIR: bytes(16),
    READDIR: b"",
    RELEASEDIR: b"",
}


def serve(device: int) -> None:
    """Answer until told not to; then listen only."""
    deaf = []
    signal.signal(signal.SIGUSR1, lambda *_: deaf.append(True))
    while True:
        request = os.read(device, 1 << 18)
        _, operation, unique = struct.unpack_from("<IIQ", request)
        if deaf or operation in (FORGET, INTERRUPT, BATCH_FORGET):
            continue
        answer = ANSWERS.get(operation)
        error = 0 if answer is not None else -errno.ENOSYS if operation not in (1,) else -errno.ENOENT
        os.write(device, struct.pack("<IiQ", 16 + len(answer or b""), error, unique) + (answer or b""))


def main(place: str) -> None:
    """Mount and serve."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"deaf", place.encode(), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    print("mounted", time.time(), flush=True)
    serve(device)


if __name__ == "__main__":
    main(sys.argv[1])
