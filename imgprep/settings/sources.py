"""Where settings are written: the project file and the environment."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgprep.errors import ConfigError

PROJECT_FILE = "imgprep.toml"

#: Table and key of the project file → name in Settings.
_FILE_KEYS: dict[str, dict[str, str]] = {
    "shop": {
        "catalogue": "catalogue",
        "earlier": "earlier",
        "images": "images",
        "preset": "preset",
        "columns": "columns",
        "causes": "causes",
    },
    "service": {
        "region": "region",
        "instance": "instance",
        "type": "service",
        "endpoint": "imagesearch_endpoint",
        "role_arn": "role_arn",
        "role_policy": "role_policy",
        "role_trust": "role_trust",
        "callback": "callback",
        "gateway_timeout": "gateway_timeout",
    },
    "oss": {"bucket": "bucket", "path": "path", "endpoint": "oss_endpoint", "policy": "uploader_policy"},
    "checks": {"severity": "severity", "limits": "limits"},
}

#: Environment variable → name in Settings.
_VARIABLES: dict[str, str] = {
    "IMGPREP_OSS_ENDPOINT": "oss_endpoint",
    "IMGPREP_IMAGESEARCH_ENDPOINT": "imagesearch_endpoint",
    "IMGPREP_REGION": "region",
    "IMGPREP_BUCKET": "bucket",
    "IMGPREP_PATH": "path",
    "IMGPREP_INSTANCE": "instance",
    "IMGPREP_ROLE_ARN": "role_arn",
    "IMGPREP_GATEWAY_TIMEOUT": "gateway_timeout",
}

_SECRETS = ("secret", "accesskey", "access_key", "password", "token")
_PATHS = ("catalogue", "earlier", "images", "causes", "role_policy", "role_trust", "uploader_policy")
_TABLES = ("columns", "severity", "limits")
_NUMBERS = ("gateway_timeout",)


def from_environment() -> dict[str, Any]:
    """Return what the ``IMGPREP_…`` variables say."""
    return {name: os.environ[variable] for variable, name in _VARIABLES.items() if os.environ.get(variable)}


def from_document(document: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return what a project file says; `file` is for messages, and where its relative paths start."""
    values: dict[str, Any] = {}
    for table, entries in document.items():
        keys = _FILE_KEYS.get(table)
        if keys is None:
            raise ConfigError(f"{file}: {_unknown(f'[{table}]', table, _FILE_KEYS)}")
        if not isinstance(entries, Mapping):
            raise ConfigError(f"{file}: {table} must be a table: write [{table}] and its keys below it")
        for key, value in entries.items():
            if any(secret in key.lower() for secret in _SECRETS):
                raise ConfigError(
                    f"{file}: [{table}] {key}: secrets never belong in this file; take it out, change the key, and "
                    "set the vendors' environment variables"
                )
            if key not in keys:
                raise ConfigError(f"{file}: [{table}] {_unknown(key, key, keys)}")
            name = keys[key]
            wanted = dict if name in _TABLES else (int, float) if name in _NUMBERS else str
            if not isinstance(value, wanted):
                kind = "a table" if name in _TABLES else "a number" if name in _NUMBERS else "a text"
                raise ConfigError(f"{file}: [{table}] {key} = {value!r}: must be {kind}")
            if value != "":
                values[name] = file.parent / str(value) if name in _PATHS else value
    return values


def _unknown(shown: str, name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{shown}: unknown{f'; did you mean {close[0]}?' if close else ''} Known: {', '.join(known)}"


def where_to_set(name: str) -> str:
    """Return the places where a setting can be set, in words."""
    variable = next((variable for variable, value in _VARIABLES.items() if value == name), None)
    place = next(
        (
            f"{key} under [{table}]"
            for table, keys in _FILE_KEYS.items()
            for key, value in keys.items()
            if value == name
        ),
        f"the argument {name}",
    )
    return f"{place} in {PROJECT_FILE}" + (f", or the variable {variable}" if variable else "")
