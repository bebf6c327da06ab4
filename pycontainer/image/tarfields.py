"""What the fields of a tar header and the records of an extended one say: numbers, times, names, attributes.

Everything raises LayerError for what two readers could understand differently, or is out of bounds. Sources:
POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

from pycontainer.errors import LayerError

BLOCK = 512
NAME_MAX = 255
PATH_MAX = 4095
DEPTH_MAX = 1024
EXTENDED_MAX = 1 << 20
"""Bytes of an extended header, and of the map of a sparse file."""
SIZE_MAX = 1 << 50
_XATTRS_MAX = 256
_XATTR_VALUE_MAX = 1 << 16


def number(field: bytes, what: str) -> int:
    """An octal number in ASCII, or big-endian base 256 if the top bit is set (GNU)."""
    text = field.strip(b" \0")
    if text.isdigit():
        try:
            return int(text, 8)
        except ValueError:
            pass
    elif not text:
        return 0
    elif field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & (1 << bits) - 1
        value -= (value >> bits - 1) << bits
        if -(1 << 63) <= value < 1 << 63:
            return value
    raise LayerError(f"the layer has a {what} that is not a number: {field!r}")


def is_octal(field: bytes, number: int) -> bool:
    """Whether a field is that number, in octal digits."""
    text = field.strip(b" \0")
    return text.isdigit() and max(text) < ord("8") and int(text, 8) == number


def digits(text: bytes, what: str) -> int:
    """A decimal number. Raises LayerError."""
    if not text.isdigit() or len(text) > 19:
        raise LayerError(f"the layer has a {what} that is not a number: {show(text)}")
    return int(text)


def decimal(extended: dict[bytes, bytes], key: bytes, default: int) -> int:
    """A decimal number among PAX records, or the default. Raises LayerError."""
    return digits(extended[key], key.decode()) if key in extended else default


def time_of(text: bytes) -> int:
    """PAX time: decimal seconds with any number of fractional digits, as nanoseconds."""
    sign = -1 if text.startswith(b"-") else 1
    seconds, point, fraction = text.removeprefix(b"-").partition(b".")
    if point and fraction and not fraction.isdigit():
        raise LayerError(f"the layer has a time that is not a number: {show(text)}")
    return sign * (digits(seconds, "time") * 10**9 + int(fraction[:9].ljust(9, b"0")))


def pax_records(data: bytes) -> list[tuple[bytes, bytes]]:
    """``LENGTH KEY=VALUE\\n`` again and again, where LENGTH counts the whole record."""
    records, at = [], 0
    while at < len(data):
        space = data.find(b" ", at, at + 8)
        length = data[at:space]
        end = at + int(length) if space > at and length.isdigit() else 0
        equals = data.find(b"=", space, end)
        if not space + 1 < equals < end <= len(data) or data[end - 1] != 10:
            raise LayerError("the layer has a malformed extended header")
        records.append((data[space + 1 : equals], data[equals + 1 : end - 1]))
        at = end
    return records


def xattrs_of(extended: dict[bytes, bytes]) -> dict[bytes, bytes] | None:
    """The extended attributes among PAX records: star's raw form, and libarchive's base64 one."""
    found: dict[bytes, bytes] = {}
    for key, value in extended.items():
        if key.startswith(b"SCHILY.xattr."):
            found[key[13:]] = value
        elif key.startswith(b"LIBARCHIVE.xattr."):
            name, decoded = _libarchive_xattr(key[17:], value)
            found.setdefault(name, decoded)
    if len(found) > _XATTRS_MAX or any(len(value) > _XATTR_VALUE_MAX for value in found.values()):
        raise LayerError(
            f"an entry has more than {_XATTRS_MAX} extended attributes, or one over {_XATTR_VALUE_MAX} bytes"
        )
    if any(not 0 < len(name) <= NAME_MAX or b"\0" in name for name in found):
        raise LayerError("an extended attribute has an impossible name")
    return found or None


def _libarchive_xattr(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    import base64  # 3 ms; bsdtar wrote the layer
    from urllib.parse import unquote_to_bytes

    try:
        return unquote_to_bytes(name), base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except ValueError:
        raise LayerError(f"extended attribute {show(name)} is not base64") from None


def normalise(name: bytes) -> bytes:
    """A name relative to the root, without ``.`` and needless slashes; b"" for the root.

    Raises:
        LayerError: empty, with ``..`` or NUL, or longer than the kernel takes.
    """
    clean = name.rstrip(b"/")
    if clean.startswith(b"./"):
        clean = clean[2:]
    if not clean or clean[0] in b"./" or b"//" in clean or b"/." in clean:
        if not name:
            raise LayerError("an entry has an empty name")
        components = [component for component in clean.split(b"/") if component not in (b"", b".")]
        if b".." in components:
            raise LayerError(f"entry {show(name)} has a .. in its name")
        clean = b"/".join(components)
    if b"\0" in clean:
        raise LayerError(f"entry {show(name)} has a NUL in its name")
    if len(clean) > NAME_MAX and (
        len(clean) > PATH_MAX or clean.count(b"/") >= DEPTH_MAX or max(map(len, clean.split(b"/"))) > NAME_MAX
    ):
        raise LayerError(f"entry {show(name)} has a name that is too long or too deep")
    return clean


def show(name: bytes) -> str:
    """A name from the archive in a message: short, and without control characters."""
    return repr(name[:100].decode("utf-8", "backslashreplace")) + ("..." if len(name) > 100 else "")
