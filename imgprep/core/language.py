"""Texts for people in the project's language; as in gettext, the English text in the code is the key."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings, find_project
from imgprep.core.text import counted

#: What findings propose where a mechanical fix is known.
_WRITE = re.compile(r'write "(?P<value>.*)"', re.DOTALL)


class Texts:
    """The texts of a language, called ``t`` in code and templates; a text without an entry stays English.

    Examples
    --------
    >>> t = texts("zh")
    >>> t("image missing"), t.counted(2000, "image"), t("no entry")
    ('图片缺失', '2,000 张图片', 'no entry')
    """

    def __init__(self, language: str) -> None:
        self.language = language
        file = Path(__file__).with_name(f"{language}.toml")
        tables = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        #: English → text, for what runs in a browser.
        self._notes: dict[str, str] = tables.get("notes", {})
        self.table: dict[str, str] = {english: text for entries in tables.values() for english, text in entries.items()}

    def __call__(self, english: str, /, **values: object) -> str:
        """Return a text with its ``{names}`` filled in from `values`."""
        text = self.table.get(english, english)
        return text.format(**values) if values else text

    def counted(self, count: int, noun: str, plural: str | None = None) -> str:
        """Return a count with its noun; the entry of "image" is ``{count} image``."""
        text = self.table.get(f"{{count}} {noun}")
        return counted(count, noun, plural) if text is None else text.format(count=f"{count:,}")

    def heading(self, english: str, kind: str = "") -> str:
        """Return the heading of a column; the entry of "times" is ``column times``, or that with `kind` in brackets."""
        of_kind = self.table.get(f"column {english} ({kind})")
        return of_kind or self.table.get(f"column {english}") or self(english)

    def kept(self, english: str) -> str:
        """Return a text that exists in English, such as a run's note in a file, by the template among the notes."""
        for template, text in self._notes.items():
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.*)", re.escape(template))
            if found := re.fullmatch(pattern, english, re.DOTALL):
                return text.format(**{name: self(value) for name, value in found.groupdict().items()})
        return self(english)

    def remedy(self, fix: str) -> str:
        """Return the text of a finding's ``fix``."""
        write = _WRITE.fullmatch(fix)
        return self('write "{value}"', value=write["value"]) if write else self(fix)


@cache
def texts(language: str = "en") -> Texts:
    """Return the texts of `language`, one of `LANGUAGES`."""
    return Texts(language)


#: The language of the project opened last: a notebook has one reader. Empty until a project is opened.
_active: list[str] = []


def use_language(language: str) -> None:
    """Display in `language` from now on; the project around the current folder no longer matters."""
    _active[:] = [language]


def display_language(folder: Path | None = None) -> str:
    """Return the language for what has no settings: of the project opened last, or around `folder` or this folder."""
    if _active:
        return _active[0]
    try:
        project = (folder and find_project(folder)) or find_project()
        return (Settings.load(project) if project else Settings.from_env()).language
    except (ConfigError, OSError):  # whoever uses the settings reports it; a display still has a language
        return "en"
