"""Flags as a table, parsed by the rules of docker's own parser (Go's pflag), for commands that have a hundred of them.

``--name value``, ``--name=value``, ``-n value``, ``-nvalue``, ``-n=value``, ``-it``, ``--rm=false``; flags end at the
first argument that is not one, so that ``pyc run alpine ls -l`` gives ``-l`` to ``ls``. Click's options know neither
``=false`` nor a value that is optional, and going through a hundred of them takes longer than all of the parsing here.
"""

from __future__ import annotations

from pycontainer.errors import Unsupported, UsageError
from pycontainer.oci.grammar.words import boolean
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any


class Flag(Record):
    """One flag.

    Attributes:
        names: ``--memory`` or ``-m, --memory``.
        kind: docker's word for the value, as the help shows it; "" for a flag that is true or false.
        field: where the value goes, or "".
        parse: from the text to the value; as ``module:function`` of ``oci.grammar`` it is loaded when a value is there.
        help: what it does, on one line; "" keeps the flag out of the help.
        many: may be repeated; the field then holds a list.
        bare: the text that stands for a flag without ``=value``; None when the value is required.
    """

    names: str
    kind: str
    field: str
    parse: Callable[[str], Any] | str
    help: str
    many: bool = False
    bare: str | None = None

    @property
    def shown(self) -> str:
        """The flag in a column of its help."""
        indent = "    " if self.names.startswith("--") else ""
        return f"{indent}{self.names} {self.kind}".rstrip()


def each(names: str, kind: str, field: str, parse: Callable[[str], Any] | str, help: str) -> Flag:
    """A flag that may be repeated."""
    return Flag(names, kind, field, parse, help, many=True)


def switch(names: str, field: str, help: str) -> Flag:
    """A flag that is true or false."""
    return Flag(names, "", field, boolean, help, bare="true")


def refused(reason: str, *flags: str) -> list[Flag]:
    """Flags of docker's that we do not have, as ``--gpus gpu-request``: refused unless the value asks for nothing."""
    return [_refused(reason, *flag.rpartition(" ")[::2]) for flag in flags]


def _refused(reason: str, names: str, kind: str) -> Flag:
    if kind.startswith("-"):  # a switch has no word for its value
        names, kind = f"{names} {kind}".strip(), ""

    def parse(text: str) -> None:
        if kind == "list" or text not in ("", "0", "0s", "false", "no", "default"):
            raise Unsupported(f"{names.rpartition(' ')[2]} is not supported: {reason}")

    return Flag(names, kind, "", parse, reason, bare=None if kind else "true")


class Flags:
    """A table of flags in sections, ready to parse arguments."""

    def __init__(self, sections: Mapping[str, Sequence[Flag]], refused: Sequence[Flag] = ()) -> None:
        """Index the flags of ``sections`` (title -> flags), and those we refuse, by every name."""
        self.sections, self.refused = sections, refused
        every = [*(flag for flags in sections.values() for flag in flags), *refused]
        self.by_name = {name: flag for flag in every for name in flag.names.split(", ")}

    def without(self, *names: str) -> Flags:
        """The same table without those flags."""
        left_out = {id(self.by_name[name]) for name in names}
        sections = {
            title: [flag for flag in flags if id(flag) not in left_out] for title, flags in self.sections.items()
        }
        return Flags(sections, self.refused)

    def parse(self, args: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Split ``args`` into the values of flags by field, and the rest.

        Raises:
            UsageError: an unknown flag, a value missing or wrong.
            Unsupported: a flag or a value that we do not have.
        """
        values: dict[str, Any] = {}
        rest = list(args)
        while rest and rest[0].startswith("-") and rest[0] != "-":
            arg = rest.pop(0)
            if arg == "--":
                break
            take = self._long if arg.startswith("--") else self._short
            take(arg, rest, values)
        return values, rest

    def _long(self, arg: str, rest: list[str], values: dict[str, Any]) -> None:
        name, equals, text = arg.partition("=")
        flag = self._find(name)
        if not equals:
            text = self._value(flag, name, rest)
        _store(flag, text, values)

    def _short(self, arg: str, rest: list[str], values: dict[str, Any]) -> None:
        letters = arg[1:]
        while letters:
            flag, name, letters = self._find("-" + letters[0], arg), "-" + letters[0], letters[1:]
            if letters.startswith("="):
                text, letters = letters[1:], ""
            elif flag.bare is None and letters:
                text, letters = letters, ""
            else:
                text = self._value(flag, name, rest)
            _store(flag, text, values)

    def _find(self, name: str, within: str = "") -> Flag:
        flag = self.by_name.get(name)
        if flag is None:
            place = f" in {within}" if len(within) > 2 else ""
            raise UsageError(f"unknown flag: {name}{place}", hint=self._suggestion(name))
        return flag

    def _suggestion(self, name: str) -> str:
        import difflib  # +3 ms, and only after a mistake

        # the dashes are no likeness
        close = difflib.get_close_matches(name[2:], [n[2:] for n in self.by_name if n.startswith("--")], 1, 0.7)
        return f"did you mean --{close[0]}?" if close else ""

    @staticmethod
    def _value(flag: Flag, name: str, rest: list[str]) -> str:
        if flag.bare is not None:
            return flag.bare
        if not rest:
            raise UsageError(f"flag needs an argument: {name}")
        return rest.pop(0)


def too_few(command: str, least: int, usage: str) -> UsageError:
    """That arguments are missing, in docker's words; ``usage`` shows all of them."""
    plural = "s" if least > 1 else ""
    return UsageError(f"'{command}' requires at least {least} argument{plural}", hint=f"pyc {command} {usage}")


def with_help(error: UsageError, command: str) -> UsageError:
    """The same error, which tells where help is if it has nothing better to say."""
    return UsageError(error.message, hint=error.hint or f"see 'pyc {command} --help'")


def parser(flag: Flag) -> Callable[[str], Any]:
    """What makes a value of the text."""
    if not isinstance(flag.parse, str):
        return flag.parse
    module, _, name = flag.parse.partition(":")
    # importlib, which would say this more plainly, takes 0.4 ms to load
    found: Callable[[str], Any] = getattr(__import__(f"pycontainer.oci.grammar.{module}", fromlist=[name]), name)
    return found


def _store(flag: Flag, text: str, values: dict[str, Any]) -> None:
    try:
        value = parser(flag)(text)
    except UsageError as error:
        raise UsageError(f'invalid argument "{text}" for "{flag.names}" flag: {error.message}') from None
    if flag.many:
        values.setdefault(flag.field, []).append(value)
    elif flag.field:
        values[flag.field] = value


def chosen(values: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Pick the ``fields`` that have a value; lists become tuples."""
    picked = {field: values[field] for field in fields if field in values}
    return {field: tuple(value) if isinstance(value, list) else value for field, value in picked.items()}
