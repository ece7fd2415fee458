"""Command inputs: settings, catalogues, region stores, and the known gallery state."""

from __future__ import annotations

import logging
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.settings import PROJECT_FILE, Settings, is_oss

_log = logging.getLogger(__name__)

_SETTINGS = (
    "region",
    "bucket",
    "path",
    "instance",
    "role_arn",
    "oss_endpoint",
    "imagesearch_endpoint",
    "service",
    "cluster",
)


def settings_of(options: Namespace) -> Settings:
    """Return the settings from arguments, environment and project file, in this order of precedence."""
    given = {name: getattr(options, name, None) for name in _SETTINGS}
    arguments: dict[str, Any] = {name: value for name, value in given.items() if value}
    if options.project or Path(PROJECT_FILE).exists():
        settings = Settings.load(options.project or PROJECT_FILE, **arguments)
    else:
        settings = Settings.from_env(**arguments)
    for name in ("images", "earlier"):
        roots: Any = getattr(options, name, None)
        if isinstance(roots, list):
            setattr(options, name, [_reached(root, settings) for root in roots])
        elif roots is not None:
            setattr(options, name, _reached(roots, settings))
    return settings


def _reached(root: str | os.PathLike[str], settings: Settings) -> Any:
    """Return a root of images, which in OSS is accessed with the project's endpoint and credentials."""
    return settings.with_(images=root).images if is_oss(root) else root


def tier_of(options: Namespace) -> str:
    """Return how deeply to inspect images."""
    return options.tier or ("header" if is_oss(options.images) else "decode")


def catalogue_of(options: Namespace) -> tuple[Settings, pd.DataFrame]:
    """Return the settings and the catalogue; options default to the project's values."""
    from imgprep.images.storage import require_files
    from imgprep.look.rules.book import require_rules

    settings = settings_of(options)
    options.catalogue = options.catalogue or settings.catalogue
    if hasattr(options, "images"):
        options.images = options.images or settings.images
    require_rules(**settings.rules)  # before images are opened
    catalogue = read_export(options.catalogue, options, settings)
    images = getattr(options, "images", None)
    if images is not None and is_oss(images):
        from imgprep.images.oss import open_folder

        options.images = images = open_folder(images)  # listed once for all steps
    # With --keep-refused, or if rows only delete, missing images are expected.
    if images and not getattr(options, "keep_refused", False) and "OperationType" not in catalogue.columns:
        require_files(images)
    if images and getattr(options, "near_names", False) and "PicName" in catalogue.columns:
        catalogue = _renamed(catalogue, images)
    return settings, catalogue


def read_export(file: Path | None, options: Namespace, settings: Settings) -> pd.DataFrame:
    """Return an export as a catalogue, read according to the options, or else the project."""
    from imgprep.load.catalogue import load_catalogue

    return load_catalogue(file, **{name: getattr(options, name) or value for name, value in settings.reading.items()})


def _renamed(catalogue: pd.DataFrame, images: str | os.PathLike[str]) -> pd.DataFrame:
    """Return the catalogue with near-miss names replaced by file names; each change is an info finding."""
    from imgprep.core.findings import Basis, Severity, findings_frame
    from imgprep.core.frames import attach
    from imgprep.look.field_fixes import use_files
    from imgprep.look.match_names import match_names

    fixed, log = use_files(catalogue, match_names(catalogue, images))
    changes = findings_frame(
        {
            "rule": change["rule"],
            "severity": Severity.INFO,
            "basis": Basis.UNKNOWN,
            "row": change["row"],
            "ProductId": fixed["ProductId"].iloc[change["position"]] if "ProductId" in fixed.columns else None,
            "PicName": change["after"],
            "field": "PicName",
            "value": change["before"],
            "message": f'"{change["before"]}" is read as the file "{change["after"]}"',
        }
        for change in log.to_dict("records")
    )
    earlier = catalogue.attrs.get("findings")
    return attach(fixed, findings=changes if earlier is None else pd.concat([earlier, changes], ignore_index=True))


def cache_of(settings: Settings) -> Path | None:
    """Return the folder of cached image facts, or None outside a project."""
    return settings.work / "cache" / "facts" if settings.work.is_dir() else None


def run_at(place: Path, options: Namespace, settings: Settings) -> Any:
    """Open the run at a path, or the run with this name in the folder of runs."""
    from imgprep.ship.run import open_run

    inside = (options.runs or settings.runs) / place
    return open_run(inside if inside.is_dir() and not place.exists() else place)


def regions_of(options: Namespace, settings: Settings) -> Any:
    """Return the region store from --regions, else the project's if it exists; None if --no-regions is given."""
    if options.no_regions or (options.regions is None and not settings.regions.exists()):
        return None
    from imgprep.draw.store import RegionStore

    if options.regions is None:
        return RegionStore(settings.regions, read_only=True)
    if not options.regions.exists():
        raise ConfigError(
            f"{options.regions}: no such region store; correct the path, or create one with RegionStore(path)"
        )
    return RegionStore(options.regions, read_only=True)


def known_of(sources: list[Path] | None, settings: Settings) -> pd.DataFrame | None:
    """Return the gallery state from run folders, folders of runs, checks, and the newest DumpMeta export."""
    if not sources:
        return None
    from imgprep.ship.dump import dump_label, newest_export
    from imgprep.ship.gallery import gallery_state

    runs, dumps, checks = _runs_dumps_checks(sources)
    dump = newest_export(dumps, dump_label(settings) if settings.instance else "") if dumps else None
    if len(dumps) > 1:
        _log.info("--known: the newest of %d exports is used: %s", len(dumps), dump)
    of = settings if settings.instance else None
    state: pd.DataFrame = gallery_state(runs, dump=dump, checks=checks, of=of)
    return state


def last_of(options: Namespace, settings: Settings, this: pd.DataFrame) -> pd.DataFrame | None:
    """Return the last export: from --last, else the one kept by the newest comparable run."""
    if options.last:
        return read_export(options.last, options, settings)
    if not options.known:
        return None
    from imgprep.ship.gallery import kept_export, one_gallery

    return kept_export(one_gallery(_runs_dumps_checks(options.known)[0], settings if settings.instance else None), this)


def _runs_dumps_checks(sources: list[Path]) -> tuple[list[Any], list[Path], list[Path]]:
    from imgprep.ship.checks import SUFFIX
    from imgprep.ship.run import load_runs, open_run

    runs: list[Any] = []
    dumps: list[Path] = []
    checks: list[Path] = []
    for source in sources:
        if source.is_file():
            (checks if source.suffix == SUFFIX else dumps).append(source)
        elif (source / "run.json").exists():
            runs.append(open_run(source))
        elif source.is_dir():
            dumps += sorted(source.glob("*.dump"))
            checks += sorted(source.glob(f"*{SUFFIX}"))
            runs += load_runs(source)
        else:
            raise ConfigError(f"{source}: not a run folder, a folder of runs, a check, or a DumpMeta export")
    return runs, dumps, checks
