"""Queries to the gallery: their cost, confirmation and digest, and the caveat about a sandbox's answers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings
from imgprep.core.text import counted
from imgprep.ship.run import Run

#: Number of requests above which asking must be confirmed.
MANY = 1_000
#: Note in every output of a search in a sandbox.
SANDBOX_NOTE = "searched in a sandbox: its scores, rankings and boxes are its own, not the vendor's"


def cost(requests: int, qps: int) -> str:
    """Return the cost of requests in words: "300 requests, about 1 minute at 5 per second"."""
    seconds = requests / qps
    time = counted(math.ceil(seconds), "second") if seconds < 60 else counted(round(seconds / 60), "minute")
    return f"{counted(requests, 'request')}, at least {time} at {qps:,} per second"


def require_confirmed(what: str, requests: int, qps: int, confirm: int | None) -> None:
    """Raise ConfigError if there are many requests and their number is not confirmed."""
    if requests > MANY and confirm != requests:
        raise ConfigError(
            f"{what}: {cost(requests, qps)}, which other searches of the instance share; to continue, confirm the "
            f"number of requests: {requests} (confirm=, --confirm-requests), or query fewer images (sample=, --sample)"
        )


def questions_digest(rows: pd.DataFrame, runs: Iterable[Run]) -> str:
    """Return a digest of the images to ask about and of the runs: an answer from before a newer run is outdated."""
    digest = hashlib.sha256("\0".join(run.id for run in runs).encode())
    for row in rows.itertuples(index=False):
        digest.update("\0".join(map(str, row)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def sandbox_note(settings: Settings) -> str:
    """Return the note on a sandbox's searches, or nothing for a real instance."""
    return SANDBOX_NOTE if settings.is_sandbox else ""
