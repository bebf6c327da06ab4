"""Commands as they are declared: in click's words, which are kept as data until somebody needs click.

``command``, ``option``, ``argument`` and ``pass_obj`` take what click's decorators of these names take. Arguments that
are plain, options spelt out and values that need no explanation, are read here. For everything else, which is help,
completion, mistakes, and whatever else one can say to click, the same declarations become a click command, and that
decides. So there is one grammar, and click, which takes 10 ms to load, is asked when there is something to talk about.
"""

from __future__ import annotations

import sys

from pycontainer.cli import out
from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import click

    from pycontainer.cli import Session

    Function = Callable[..., Any]

PLAIN = frozenset("is_flag default metavar help multiple type hidden expose_value nargs required".split())
"""The attributes that are understood here; a parameter with others is click's to read when it is given."""


class Parameter(Record):
    """An option or an argument.

    Attributes:
        names: all of them, as click takes them.
        attributes: the rest of what is said about it.
    """

    names: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def name(self) -> str:
        """The keyword of its value."""
        words = [name for name in self.names if name.isidentifier()]
        longest = sorted(self.names, key=lambda name: not name.startswith("--"))[0]
        return words[0] if words else longest.partition("/")[0].lstrip("-").replace("-", "_").lower()

    @property
    def is_option(self) -> bool:
        """Whether it is one, and no argument."""
        return self.names[0].startswith("-")

    @property
    def is_switch(self) -> bool:
        """Whether it is an option without a value."""
        return bool(self.attributes.get("is_flag")) or any("/" in name for name in self.names)

    @property
    def default(self) -> Any:
        """The value if nothing is said."""
        nothing = () if self.attributes.get("multiple") else False if self.is_switch else None
        return self.attributes.get("default", nothing)

    def value(self, text: str) -> Any:
        """What the text stands for. Raises Unclear."""
        kind = self.attributes.get("type")
        if not text or not self.attributes.keys() <= PLAIN:
            raise Unclear
        if kind is int:
            if not (text.isascii() and text.isdigit()):
                raise Unclear
            return int(text)
        if isinstance(kind, Choice):
            if text not in kind:
                raise Unclear
            return text
        return kind(text) if kind else text


class Choice(tuple[str, ...]):
    """The values that an option may have."""


class Unclear(Exception):
    """The arguments are not plain."""


class Command:
    """A command as it is declared."""

    def __init__(self, name: str, attributes: dict[str, Any], function: Function) -> None:
        """Keep what was said about the command ``name``, which ``function`` does."""
        self.name, self.attributes, self.function = name, attributes, function
        self.parameters: list[Parameter] = function.__dict__.pop("parameters", [])[::-1]

    def call(self, session: Session, args: list[str]) -> int | None:
        """Do it if the arguments are plain, and return the exit code; else None."""
        try:
            values = self.plain(args)
        except (Unclear, UsageError):
            return None
        status = self.function(session, **values) if takes_session(self.function) else self.function(**values)
        return status if isinstance(status, int) else 0

    def plain(self, args: list[str]) -> dict[str, Any]:
        """The values of all parameters. Raises Unclear."""
        if not self.attributes.keys() <= {"help"}:
            raise Unclear
        options = self._by_name()
        values = {parameter.name: parameter.default for parameter in self.parameters}
        words: list[str] = []
        rest = iter(args)
        for arg in rest:
            if arg[:1] != "-" or arg == "-":
                words.append(arg)
                continue
            name, equals, text = arg.partition("=")
            parameter, state = options.get(name, (None, None))
            if parameter is None or not parameter.attributes.keys() <= PLAIN:
                raise Unclear
            if equals and (state is not None or name[:2] != "--"):
                raise Unclear
            value = state if state is not None else parameter.value(text if equals else next(rest, ""))
            many = parameter.attributes.get("multiple")
            values[parameter.name] = (*values[parameter.name], value) if many else value
        values |= self._words(words)
        hidden = [one.name for one in self.parameters if one.attributes.get("expose_value") is False]
        return {name: value for name, value in values.items() if name not in hidden}

    def _by_name(self) -> dict[str, tuple[Parameter, bool | None]]:
        """Each name of an option, and what it says: True or False, or None if a value has to follow."""
        found: dict[str, tuple[Parameter, bool | None]] = {}
        for parameter in self.parameters:
            for names in parameter.names if parameter.is_option else ():
                on, _, off = names.partition("/")
                found[on] = parameter, True if parameter.is_switch else None
                if off:
                    found[off] = parameter, False
        return found

    def _words(self, words: list[str]) -> dict[str, Any]:
        """The values of the arguments."""
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.is_option:
                continue
            if parameter.attributes.get("nargs") == -1:  # always the last
                values[parameter.name], words = tuple(parameter.value(word) for word in words), []
                missing = not values[parameter.name] and parameter.attributes.get("required")
            else:
                missing = not words and parameter.attributes.get("required", True)
                values[parameter.name] = parameter.value(words.pop(0)) if words else parameter.default
            if missing:
                raise Unclear
        if words:
            raise Unclear
        return values

    def click(self) -> click.Command:
        """The same command as one of click's."""
        import click  # 10 ms

        function = click.pass_obj(self.function) if takes_session(self.function) else self.function
        for parameter in reversed(self.parameters):
            attributes = dict(parameter.attributes)
            if isinstance(attributes.get("type"), Choice):
                attributes["type"] = click.Choice(attributes["type"])
            make = click.option if parameter.is_option else click.argument
            function = make(*parameter.names, **attributes)(function)
        decorate: Any = click.command(self.name, **self.attributes)
        made: click.Command = decorate(function)
        return made


def command(name: str, **attributes: Any) -> Callable[[Function], Command]:
    """As click.command."""
    return lambda function: Command(name, attributes, function)


def option(*names: str, **attributes: Any) -> Callable[[Function], Function]:
    """As click.option."""
    return lambda function: _declared(function, Parameter(names, attributes))


def argument(*names: str, **attributes: Any) -> Callable[[Function], Function]:
    """As click.argument."""
    return option(*names, **attributes)


def pass_obj(function: Function) -> Function:
    """As click.pass_obj: the function takes the session first."""
    function.__dict__["takes_session"] = True
    return function


def takes_session(function: Function) -> bool:
    """Whether that was said of it."""
    return "takes_session" in function.__dict__


def _declared(function: Function, parameter: Parameter) -> Function:
    function.__dict__.setdefault("parameters", []).append(parameter)
    return function


def echo(text: object = "", *, nl: bool = True, err: bool = False) -> None:
    """Print a line at once, so that who reads us through a pipe sees it when it is said."""
    end = "\n" if nl else ""
    if err:
        print(text, end=end, file=sys.stderr, flush=True)
    else:
        out(str(text), end, now=True)
