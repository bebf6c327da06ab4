from __future__ import annotations

import io

from pycontainer.cli.progress import Bars, Lines, for_stream
from pycontainer.image.events import Event

LAYER = "sha256:" + "a" * 64
HERE = "sha256:" + "b" * 64
EVENTS = [
    Event("request", text="GET"),
    Event("layer", LAYER, total=100),
    Event("exists", HERE),
    Event("download", LAYER, 50, 100),
    Event("retry", text="the registry is slow: once more"),
    Event("verified", LAYER),
    Event("verified", "sha256:" + "c" * 64),  # a config is no layer
    Event("unpack", LAYER, 300),
    Event("unpacked", LAYER),
    Event("image", "sha256:" + "d" * 64),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_a_pull_is_told_in_dockers_lines():
    stream = io.StringIO()
    listener = for_stream(stream)
    assert isinstance(listener, Lines)
    for event in EVENTS:
        listener(event)
    assert stream.getvalue().splitlines() == [
        f"{'a' * 12}: Pulling fs layer",
        f"{'b' * 12}: Already exists",
        "the registry is slow: once more",
        f"{'a' * 12}: Download complete",
        f"{'a' * 12}: Pull complete",
    ]


def test_on_a_terminal_a_pull_has_a_bar_for_each_layer_and_gives_the_cursor_back(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    listener = for_stream(stream)
    assert isinstance(listener, Bars)
    for event in EVENTS:
        listener(event)
    listener.close()
    listener.close()
    shown = stream.getvalue()
    assert "a" * 12 in shown and "b" * 12 in shown and "done" in shown and "already here" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")


def test_nothing_is_drawn_before_there_is_something_to_show():
    stream = Terminal()
    for_stream(stream).close()
    assert stream.getvalue() == ""
