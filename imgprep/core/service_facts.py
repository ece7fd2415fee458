"""Facts that `calibrate` measured on the shop's own instance: the file `service-facts.toml`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imgprep.core.errors import ConfigError

FACTS_FILE = "service-facts.toml"
_VERSION = 1
_TABLES = ("answers", "severity", "limits", "switches")
_HEADER = """\
# Written by `imgprep calibrate`: how this instance actually behaves. `check`, `build`, `policy` and the sandbox use it.
# To measure again, run the command again; to return to the documented rules, delete the file.
"""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What was measured on one instance.

    Attributes
    ----------
    gallery : str
        The instance; see `Settings.gallery`.
    answers : mapping of str to mapping
        Point → ``answer``, ``meaning``, ``evidence``, and when it was ``measured``.
    severity, limits : mapping
        What the answers mean for `check`: rule → severity, limit → value.
    switches : mapping
        Switches with which a `Sandbox` behaves as the instance did.
    """

    gallery: str
    answers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    severity: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    switches: Mapping[str, Any] = field(default_factory=dict)

    def toml(self) -> str:
        """Return the text of the file."""
        lines = [_HEADER, f"version = {_VERSION}", f"gallery = {json.dumps(self.gallery, ensure_ascii=False)}"]
        tables: dict[str, Mapping[str, Any]] = {f"answers.{point}": answer for point, answer in self.answers.items()}
        tables |= {"severity": self.severity, "limits": self.limits, "switches": self.switches}
        for name, table in tables.items():
            lines += ["", f"[{name}]"]
            # These values look the same in JSON and TOML.
            lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
        return "\n".join([*lines, ""])


def load_facts(file: str | Path) -> ServiceFacts:
    """Return the facts in a file that `calibrate` wrote."""
    path = Path(file)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: not found; `imgprep calibrate` writes it") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; delete it, or run `imgprep calibrate` again") from error
    tables = {name: found.get(name, {}) for name in _TABLES}
    if found.get("version") != _VERSION or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigError(f"{path}: the file's version is not {_VERSION}; delete it, or run `imgprep calibrate` again")
    return ServiceFacts(str(found.get("gallery", "")), **tables)
