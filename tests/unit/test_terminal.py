"""The pty driver that the tests of `-it` stand on, held against programs whose behaviour is known."""

from __future__ import annotations

import os

import pytest

from tests.support.terminal import CTRL_C, CTRL_D, Terminal

ENV = {"PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "xterm", "PS1": "ready> "}


def test_it_types_and_reads_what_appears():
    with Terminal(["cat"], env=ENV) as terminal:
        terminal.send("hello\n")
        terminal.expect("hello\nhello\n")
        terminal.send(CTRL_D)
        assert terminal.wait() == 0


def test_the_program_has_a_controlling_terminal_and_ctrl_c_reaches_it():
    with Terminal(["sh", "-c", "echo here > /dev/tty; exec sleep 30"], env=ENV) as terminal:
        terminal.expect("here")
        terminal.send(CTRL_C)
        assert terminal.wait() == -2


def test_the_window_has_the_size_asked_for_and_follows_a_change():
    script = "trap 'stty size; exit 5' WINCH; stty size; while :; do sleep 0.05; done"
    with Terminal(["sh", "-c", script], env=ENV, rows=30, columns=100) as terminal:
        terminal.expect("30 100")
        terminal.resize(40, 120)
        terminal.expect("40 120")
        assert terminal.wait() == 5


def test_raw_mode_shows_in_the_attributes():
    with Terminal(["sh", "-c", "read _; stty raw -echo; echo set; read _; stty sane"], env=ENV) as terminal:
        before = terminal.attributes()
        terminal.send("\n")
        terminal.expect("set")
        assert terminal.attributes() != before


def test_what_never_appears_fails_and_shows_the_screen():
    with (
        Terminal(["echo", "\x1b[31mred\x1b[0m"], env=ENV) as terminal,
        pytest.raises(AssertionError, match=r"ended with 0.*\n.*red"),
    ):
        terminal.expect("green", timeout=2)
