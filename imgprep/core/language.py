"""Texts for people in the project's language; as in gettext, the English text in the code is the key."""

from __future__ import annotations

import re
import tomllib
from functools import cache, cached_property
from pathlib import Path

from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings, find_project
from imgprep.core.text import counted

#: What findings propose where a mechanical fix is known.
_WRITE = re.compile(r'use "(?P<value>.*)"', re.DOTALL)
#: A count with its noun, as from `counted`.
_COUNTED = re.compile(r"(?P<count>[\d,]+) (?P<noun>.+?)s?")
#: What separates the parts of a list.
_MARKS = (" → ", " · ", "; ", ": ", ", ")


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
        self._templates: dict[str, str] = tables.get("notes", {})
        #: English → text, for what runs in a browser.
        self.table: dict[str, str] = {english: text for entries in tables.values() for english, text in entries.items()}

    def __call__(self, english: str, /, **values: object) -> str:
        """Return a text with its ``{names}`` filled in from `values`."""
        text = self.table.get(english, english)
        return text.format(**values) if values else text

    def counted(self, count: int, noun: str, plural: str | None = None) -> str:
        """Return a count with its noun; the entry for "image" is ``{count} image``."""
        text = self.table.get(f"{{count}} {noun}")
        return counted(count, noun, plural) if text is None else text.format(count=f"{count:,}")

    def heading(self, english: str, kind: str = "") -> str:
        """Return the heading of a column; the entry for "times" is ``column times``, plus `kind` in brackets."""
        of_kind = self.table.get(f"column {english} ({kind})")
        return of_kind or self.table.get(f"column {english}") or self(english)

    def kept(self, english: str, column: str = "") -> str:
        """Translate a text that exists in English before display, such as a run's note, or a list of such texts.

        An entry may begin with the column: the entry for "new" in the column `reason` is "reason new".
        """
        text, partly = self._entry(english, column), None
        for mark in _MARKS if text is None and self.table else ():
            if mark not in english:
                continue
            parts = english.split(mark)
            found = [self._entry(part, column) or self._filled(part) for part in parts]
            if all(found):
                text = self(mark).join(map(str, found))
                break
            if any(found):
                joined = self(mark).join(word or part for word, part in zip(found, parts, strict=True))
                partly = partly or joined
        return text or self._filled(english) or partly or english

    def _entry(self, english: str, column: str) -> str | None:
        return self.table.get(f"{column} {english}") or self.table.get(english)

    def _filled(self, english: str) -> str | None:
        """Return the text for a count, or for the first template of a note that `english` matches."""
        if (count := _COUNTED.fullmatch(english)) and (text := self.table.get(f"{{count}} {count['noun']}")):
            return text.format(count=count["count"])
        for template, text in self._notes:
            if found := template.fullmatch(english):
                return text.format(**{name: self.kept(value, name) for name, value in found.groupdict().items()})
        return None

    @cached_property
    def _notes(self) -> list[tuple[re.Pattern[str], str]]:
        """The templates of notes as regular expressions, each with its translation."""
        return [
            (re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.*)", re.escape(template)), re.DOTALL), text)
            for template, text in self._templates.items()
        ]

    def remedy(self, fix: str) -> str:
        """Return the text of a finding's ``fix``."""
        write = _WRITE.fullmatch(fix)
        return self('use "{value}"', value=write["value"]) if write else self.kept(fix)


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
    """Return the language of the project opened last, or around `folder` or the current folder."""
    if _active:
        return _active[0]
    try:
        project = (folder and find_project(folder)) or find_project()
        return (Settings.load(project) if project else Settings.from_env()).language
    except (ConfigError, OSError):  # reported where the settings are used; a display still has a language
        return "en"
