"""The keys that leave a container running and let go of its terminal: ``ctrl-p,ctrl-q`` by default, as docker's."""

from __future__ import annotations

from pycontainer.errors import UsageError

DEFAULT = "ctrl-p,ctrl-q"


def parse(text: str) -> bytes:
    """The bytes that a terminal sends for ``a``, ``ctrl-a``, ``ctrl-[`` and so on, with commas between.

    Raises UsageError.
    """
    sequence = bytearray()
    for key in text.split(",") if text else ():
        character = key.removeprefix("ctrl-")
        if len(key) == 1 and key.isascii():
            sequence += key.encode()
        elif key != character and len(character) == 1 and character.lower() in "abcdefghijklmnopqrstuvwxyz@[\\]^_":
            sequence.append(ord(character.upper()) & 0x1F)
        else:
            raise UsageError(f"detach keys {text!r}: want single letters or ctrl-LETTER, with commas between")
    return bytes(sequence)


class Matcher:
    """Finds the sequence in what is typed, whatever pieces it comes in."""

    def __init__(self, sequence: bytes) -> None:
        """Look for ``sequence``; an empty one is never found."""
        self.sequence = sequence
        self._seen = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What is to be sent on, and whether the sequence is complete; its beginning is held back until then."""
        if not self.sequence:
            return data, False
        data, self._seen = self._seen + data, b""
        if (at := data.find(self.sequence)) >= 0:
            return data[:at], True
        for length in range(min(len(self.sequence) - 1, len(data)), 0, -1):
            if data.endswith(self.sequence[:length]):
                self._seen = data[-length:]
                return data[:-length], False
        return data, False
