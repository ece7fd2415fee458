"""Detection of gallery changes since a batch was planned."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings
from imgprep.core.text import counted
from imgprep.plan.batch_folder import read_about
from imgprep.plan.compare import gallery_digest, known_in_part
from imgprep.ship.checks import read_checks, saved_checks
from imgprep.ship.dump import export_moment, own_dump
from imgprep.ship.gallery import gallery_state, reached, runs_of
from imgprep.ship.run import Run, batch_digest, load_runs, moment, read_runs

#: Maximum number of runs named in a message.
_NAMED = 3


def require_current(folder: Path, settings: Settings, runs: Path, *, beside: Collection[str] = ()) -> None:
    """Raise ConfigError if the gallery has changed since a batch was planned; ignore the batch digests in `beside`."""
    change = change_since(folder, settings, runs, beside=beside)
    if change is not None:
        raise ConfigError(
            f"{folder}: {change}, so its lines may be outdated. Nothing was sent. Plan it again with `imgprep "
            "upload BATCH --replan` (replan_batch), or build it again; --stale-ok (stale_ok=True) sends it as it is"
        )


def change_since(folder: Path, settings: Settings, runs: Path, *, beside: Collection[str] = ()) -> str | None:
    """Return what has changed since a batch was planned; None if nothing has, or if the batch records no basis."""
    basis = read_about(folder).get("basis")
    if not isinstance(basis, dict) or not settings.instance:
        return None
    instance, planned = basis.get("instance"), moment(basis.get("at"))
    if instance and instance != settings.instance and not settings.is_sandbox:
        return f"was planned against the gallery of instance {instance!r}, but the settings name {settings.instance!r}"
    own = {batch_digest(folder), *beside}
    others = [
        run for run in runs_of(read_runs(runs)[0], settings) if reached(run) and run.about.get("batch") not in own
    ]
    newer = [run for run in _since(others, basis.get("run"), planned) if _changes(run)]
    dump = own_dump(settings.work, settings)
    made = None if dump is None else export_moment(dump)
    is_newer = made is not None and (planned is None or made.timestamp() > planned)
    checks = {check.file: check.at.timestamp() for check in read_checks(saved_checks(settings))}
    newer_checks = [file for file, made in checks.items() if planned is None or made > planned]
    if not newer and not is_newer and not newer_checks:
        return None
    used = dump if dump is not None and (is_newer or dump.name == basis.get("dump")) else None
    then = basis.get("checks") or []
    used_checks = [file for file in checks if file in newer_checks or file.name in then]
    known = known_in_part(gallery_state(others, dump=used, checks=used_checks), basis)
    if basis.get("digest") == gallery_digest(known):
        return None
    by = [f"run {run.id}" for run in newer[-_NAMED:]] + ([f"the export {dump.name}"] if dump and is_newer else [])
    by += [f"the check {file.name}" for file in newer_checks[-_NAMED:]]
    more = f" and {counted(len(newer) - _NAMED, 'more run')}" if len(newer) > _NAMED else ""
    when = "" if planned is None else f" ({datetime.fromtimestamp(planned, UTC):%Y-%m-%d %H:%M} UTC)"
    return f"the gallery has changed since this batch was planned{when}: by {', '.join(by)}{more}"


def known_now(folder: Path, settings: Settings, runs: Path) -> pd.DataFrame:
    """Return the gallery state from all runs, the project's checks and its newest export, to plan a batch again."""
    dump = own_dump(settings.work, settings)
    basis = read_about(folder).get("basis") or {}
    if dump is None and basis.get("dump"):
        raise ConfigError(
            f"{folder}: was planned with the export {basis['dump']}, and {settings.work / 'dumps'} has none; run "
            "`imgprep dump`, or build the batch again with --known"
        )
    return gallery_state(load_runs(runs), of=settings, dump=dump, checks=saved_checks(settings))


def _since(runs: list[Run], newest: object, planned: float | None) -> list[Run]:
    """Return the runs that began or ended after the plan, oldest first."""
    known: Mapping[str, Any] = {run.id: run for run in runs}
    last = known.get(str(newest))
    found = []
    for run in runs:
        begun, ended = (moment(run.times.get(name)) for name in ("intended", "ended"))
        if last is not None:
            came = run.sort_key > last.sort_key
        else:
            came = begun is not None and planned is not None and begun >= planned
        if came or (ended is not None and planned is not None and ended > planned):
            found.append(run)
    return found


def _changes(run: Run) -> bool:
    """Return whether a run may have changed the gallery; false if every line is known to have failed."""
    counts = run.counts
    return bool(counts.get("lines")) and counts.get("failed", 0) < counts["lines"]
