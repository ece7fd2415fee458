"""A failure's code or words → its cause."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from imgprep.reports.causes import CAUSES, UNKNOWN_CAUSE, Cause

_WORD = re.compile(r"[A-Za-z0-9_]+")
#: A row's key as a report may quote it: ``ProductId="1"``, ``PicName=a.jpg``.
_NAMED = re.compile(r"""\b(ProductId|PicName)["']?\s*[=:]\s*(?:"[^"]*"|'[^']*'|[^\s,;"']+)""", re.IGNORECASE)


class CauseTable:
    """Codes and phrases, ready to classify with.

    Parameters
    ----------
    causes : iterable of Cause
        Tried in this order.
    """

    def __init__(self, causes: Iterable[Cause] = CAUSES) -> None:
        self.causes = (*causes, UNKNOWN_CAUSE)
        self._by_code = {code.casefold(): cause for cause in reversed(self.causes) for code in cause.codes}
        # Taught patterns stay apart: each may have flags and groups of its own.
        self._phrases = [
            (cause, re.compile(pattern, re.IGNORECASE))
            for cause in self.causes
            for pattern in (cause.phrases if cause.source == "user" else filter(None, ["|".join(cause.phrases)]))
        ]
        # Nearly always all are words, and then a text's words are looked up, which is many times quicker than a search.
        self._only_words = all(_WORD.fullmatch(code) for cause in self.causes for code in cause.codes)
        codes = sorted((code for cause in self.causes for code in cause.codes), key=len, reverse=True)
        # A letter of Chinese may stand next to a code, though it is one of a word.
        self._any_code = re.compile(rf"(?<![A-Za-z0-9_])({'|'.join(map(re.escape, codes))})(?![A-Za-z0-9_])", re.I)

    def find_code(self, text: str) -> str | None:
        """Return the first known code that stands in `text`, as found."""
        if self._only_words:
            return next((word for word in _WORD.findall(text) if word.casefold() in self._by_code), None)
        found = self._any_code.search(text)
        return found.group(1) if found else None

    def of_code(self, code: str | None) -> Cause | None:
        """Return the cause that a code means; None where it is not known."""
        return self._by_code.get(code.casefold()) if code else None

    def classify(self, code: str | None, text: str) -> Cause:
        """Return the cause of a failure by its code or, where that is not known, by its text."""
        if (known := self.of_code(code)) is not None:
            return known
        # A line that names its row by both keys says nothing against either of them.
        said = _NAMED.sub(" ", text) if len(set(map(str.casefold, _NAMED.findall(text)))) > 1 else text
        for cause, pattern in self._phrases:
            if pattern.search(said):
                return cause
        return UNKNOWN_CAUSE

    @property
    def taught(self) -> tuple[Cause, ...]:
        """The causes that a user taught."""
        return tuple(cause for cause in self.causes if cause.source == "user")

    def __getitem__(self, cause_id: str) -> Cause:
        for cause in self.causes:
            if cause.id == cause_id:
                return cause
        raise KeyError(cause_id)

    def frame(self) -> pd.DataFrame:
        """Return the table, one row per cause: cause, label, family, remedy, codes, source."""
        rows: dict[str, tuple[str, ...]] = {}
        for cause in self.causes:
            # A known cause that learned further phrases is there twice: it is called as it was taught last.
            codes = [*rows[cause.id][4].split(", "), *cause.codes] if cause.id in rows else cause.codes
            first = self[cause.id]
            told = ", ".join(filter(None, codes))
            rows[cause.id] = (first.id, first.label, str(first.family), first.remedy, told, first.source)
        return pd.DataFrame(
            rows.values(), columns=["cause", "label", "family", "remedy", "codes", "source"], dtype="str"
        )
