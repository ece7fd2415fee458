"""What a user teaches: causes of one's own, in a TOML file, in the project, and with the runs that were read by it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from imgprep.errors import ConfigError
from imgprep.reports.cause_table import CauseTable
from imgprep.reports.causes import CAUSES, Cause, Family
from imgprep.settings import PROJECT_FILE, Settings

_KEYS = ("id", "label", "family", "remedy", "codes", "phrases")


def load_causes(path: str | Path) -> CauseTable:
    """Return the built-in table with the user's own causes before it.

    Parameters
    ----------
    path : path
        TOML: any number of ``[[cause]]`` tables with ``id``, and optionally ``label``, ``family`` (see `Family`),
        ``remedy``, ``codes`` and ``phrases``. A known id gains the codes and phrases.

    Raises
    ------
    ConfigError
        The file cannot be read, lacks an id, has a family or a pattern that is none.

    Examples
    --------
    >>> with open("causes.toml", "w", encoding="utf-8") as file:
    ...     _ = file.write('[[cause]]\\nid = "wrong_supplier"\\nfamily = "fix the data"\\nphrases = ["not known"]\\n')
    >>> table = ip.load_causes("causes.toml")
    >>> table.frame().query("cause == 'wrong_supplier'")[["cause", "family"]].values.tolist()
    [['wrong_supplier', 'fix the data']]
    """
    file = Path(path)
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8-sig")).get("cause", [])
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as a table of causes: {error}") from error
    if not isinstance(entries, list):
        raise ConfigError(f"{file}: write [[cause]] with two brackets, so that there can be several")
    return with_taught(entries, str(file))


def with_taught(entries: Iterable[Mapping[str, Any]], where: str) -> CauseTable:
    """Return the built-in table with taught causes before it; `where` is for messages.

    Raises
    ------
    ConfigError
        An entry lacks an id, or has a family or a pattern that is none.
    """
    return CauseTable([*(_user_cause(entry, where) for entry in entries), *CAUSES])


def as_entries(table: CauseTable) -> list[dict[str, Any]]:
    """Return what was taught of a table, as `with_taught` takes it."""
    return [
        {
            "id": cause.id,
            "label": cause.label,
            "family": str(cause.family),
            "remedy": cause.remedy,
            "codes": list(cause.codes),
            "phrases": list(cause.phrases),
        }
        for cause in table.taught
    ]


def causes_of(settings: Settings | None, run_folder: Path | None = None) -> CauseTable:
    """Return what a project teaches: its settings', or else that of the project whose run folder it is.

    Raises
    ------
    ConfigError
        The file of causes cannot be read.
    """
    if settings is not None and settings.causes is not None:
        return load_causes(settings.causes)
    if run_folder is not None:
        for project in run_folder.absolute().parents[:3]:
            if (project / PROJECT_FILE).is_file():
                return causes_of(Settings.load(project))
    return CauseTable()


def known_to(runs: object, causes: CauseTable | None = None) -> CauseTable:
    """Return the table that was given, or else the causes that a run, or several, were read by: the newest first."""
    if causes is not None:
        return causes
    several = list(runs) if isinstance(runs, Iterable) else [runs]
    tables = [table for run in reversed(several) if isinstance(table := getattr(run, "causes", None), CauseTable)]
    taught = {cause.id: cause for table in reversed(tables) for cause in table.taught}
    return CauseTable([*taught.values(), *CAUSES])


def _user_cause(entry: Mapping[str, Any], file: str) -> Cause:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{file}: a [[cause]] must be a table, not {entry!r}")
    unknown = set(entry) - set(_KEYS)
    if unknown or not isinstance(entry.get("id"), str):
        what = f"unknown key {sorted(unknown)[0]!r}" if unknown else "id is missing"
        raise ConfigError(f"{file}: a [[cause]]: {what}; known keys: {', '.join(_KEYS)}")
    for key in ("codes", "phrases"):
        said = entry.get(key, [])
        if not isinstance(said, list) or not all(isinstance(item, str) and item for item in said):
            raise ConfigError(f'{file}: cause {entry["id"]}: {key} = {said!r}: must be a list of texts: ["…", "…"]')
    for key in ("label", "remedy"):
        if not isinstance(entry.get(key, ""), str):
            raise ConfigError(f"{file}: cause {entry['id']}: {key} = {entry[key]!r}: must be a text")
    known = next((cause for cause in CAUSES if cause.id == entry["id"]), None)
    phrases = tuple(entry.get("phrases", ()))
    try:
        family = Family(entry.get("family", known.family if known else Family.DATA))
        everything = next((phrase for phrase in phrases if re.compile(phrase).search("")), None)
    except ValueError as error:
        raise ConfigError(f"{file}: cause {entry['id']}: {error}; families: {', '.join(Family)}") from error
    except re.error as error:
        raise ConfigError(f"{file}: cause {entry['id']}: a phrase is no regular expression: {error}") from error
    if everything is not None:
        raise ConfigError(f"{file}: cause {entry['id']}: the phrase {everything!r} would match every message")
    return Cause(
        id=entry["id"],
        label=entry.get("label", known.label if known else entry["id"].replace("_", " ")),
        family=family,
        remedy=entry.get("remedy", known.remedy if known else ""),
        codes=tuple(entry.get("codes", ())),
        phrases=phrases,
        source="user",
    )
