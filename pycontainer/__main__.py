"""``pyc``, and ``python -m pycontainer``: an interrupt while the program is still loading ends it without a word."""

from _signal import SIG_DFL, SIGINT, default_int_handler, signal  # `signal` itself takes 2 ms to load


def main() -> None:
    """Load the command line and hand over."""
    signal(SIGINT, SIG_DFL)
    from pycontainer.cli import main as command_line

    signal(SIGINT, default_int_handler)
    command_line()


if __name__ == "__main__":
    main()
