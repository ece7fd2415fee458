"""A parser that knows what was meant: a command or an option that was mistyped is answered with the nearest one."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

#: As argparse says it since Python 3.11; the choices stand in quotes or not, by its version.
_CHOICE = re.compile(r"invalid choice: '(.+?)' \(choose from (.*)\)", re.S)


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints end with what was probably meant.

    Examples
    --------
    >>> parser = Parser(prog="imgprep")
    >>> parser.add_argument("--images").option_strings
    ['--images']
    >>> parser.meant(["--imgaes", "photos"])
    'did you mean --images for --imgaes?'
    """

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what is known; the words are kept, for a complaint to look at."""
        self._words = [] if args is None else [word for word in args if isinstance(word, str)]
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; what no command knows is answered by the command that was named, with its own options."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            named: Parser = getattr(found, "parser", self)
            hint = named.meant(unknown)
            named.error(f"not understood: {' '.join(unknown)}{'; ' + hint if hint else ''}")
        return found

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and what was probably meant, and end with exit code 2."""
        if found := _CHOICE.search(message):
            near = nearest(found[1], re.findall(r"[\w.-]+", found[2]))
            told = f"did you mean {near}?" if near else f"choose from {found[2]}"
            message = f"{message[: found.start()]}there is no {found[1]!r}; {told}"
        elif message.endswith("required: COMMAND"):
            message = f"{message}; `{self.prog} --help` lists them"
        elif "required" in message and (hint := self.meant(self._words)):
            message = f"{message}; {hint}"
        super().error(message)

    def meant(self, words: Sequence[str]) -> str:
        """Return what `words` that are no option of this parser probably stand for, in words."""
        options = [option for action in self._actions for option in action.option_strings]
        given = [word.partition("=")[0] for word in words if word.startswith("--")]
        unknown = [word for word in given if not any(option.startswith(word) for option in options)]
        return " ".join(f"did you mean {near} for {word}?" for word in unknown if (near := nearest(word, options)))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `word` most likely stands for; None where nothing is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return close[0] if close else None
