"""``pyc-oci``, and ``python -m pycontainer.oci``: an interrupt while it is still loading ends it without a word."""

import gc
import sys
from _signal import SIG_DFL, SIGINT, signal


def main() -> None:
    """Load the command line and hand over."""
    signal(SIGINT, SIG_DFL)
    gc.disable()  # a process that lives for milliseconds makes no garbage: looking for it would take 3 ms
    from pycontainer import modules

    modules.use()
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from pycontainer.streams import open_missing

        open_missing()
    from pycontainer.oci.front import main as command_line

    command_line()


if __name__ == "__main__":
    main()
