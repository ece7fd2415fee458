"""Service-ready copies of images, and a log of what was done to each."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from imgprep.checks.limits import FORMATS, limits_for, service_type
from imgprep.errors import ConfigError
from imgprep.frames import to_pandas, to_polars
from imgprep.images.convert import Copied
from imgprep.images.facts import FACT_COLUMNS
from imgprep.images.listing import Source, Unfit, open_source
from imgprep.images.manifest import Entry, Manifest
from imgprep.images.names import folded, free_name, ready_name
from imgprep.images.pool import Casualty, cores, run_apart
from imgprep.images.recipe import Fit, Recipe, decide
from imgprep.images.upright import upright_size
from imgprep.regions import Region

_log = logging.getLogger(__name__)
#: Making a copy may take several encodings of a large picture.
COPY_SECONDS = 180.0
_CHUNK = 4
_CHANGED = "the file has changed since it was inspected; inspect it again"

_LOG: dict[str, Any] = {
    "PicName": pl.String,
    "new_name": pl.String,
    "source_digest": pl.String,
    "digest": pl.String,
    "scale_x": pl.Float64,
    "scale_y": pl.Float64,
    "action": pl.String,
    "reason": pl.String,
    "width": pl.Int64,
    "height": pl.Int64,
    "bytes": pl.Int64,
}


def prepare_images(
    facts: pd.DataFrame,
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    service: str = "product",
    limits: Mapping[str, float] | None = None,
    progress: bool = True,
    workers: int | None = None,
) -> pd.DataFrame:
    """Make copies that the service takes: upright, in size, in plain RGB, without personal metadata.

    An image that needs nothing is copied as it is, not linked: who edits the copy must not change the photograph.
    Nothing is ever enlarged, and no source is ever changed. Run again, it makes what is new or has changed and leaves
    the rest.

    Parameters
    ----------
    facts : pandas.DataFrame
        From `inspect_images`, tier ``header`` or deeper.
    root : path
        The folder or zip archive that the facts are of.
    out : path
        Folder of the copies; made where it is not there.
    dry_run : bool
        Only say what would be done. Digest and bytes of copies that would be made are then unknown.
    service : str
        Service type of the instance; decides which sizes are taken.
    limits : mapping, optional
        The shop's own thresholds, as for `imgprep.check`.
    progress : bool
        Show a bar.
    workers : int, optional
        Processes; as many as processors where not given.

    Returns
    -------
    pandas.DataFrame
        The prepare log, one row per row of facts: ``PicName``; ``new_name`` of the copy below `out`;
        ``source_digest`` and ``digest`` (MD5 of source and copy); ``scale_x, scale_y`` (size of the copy over upright
        size of the source); ``action`` (kept, converted, refused, missing) and ``reason``; ``width, height`` (pixels)
        and ``bytes`` of the copy.

    Raises
    ------
    ConfigError
        `out` is `root`, or the service type is unknown.

    Notes
    -----
    Source: image limits of the vendor (4 MB, 100 … 4096 pixels a side by service type, eight formats, orientation 1
    only). CMYK, 16 bits, transparency, animation are nowhere documented; plain RGB is what every decoder agrees on.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from imgprep.images import inspect_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGBA", (120, 5000)).save(folder + "/a.png")
    ...     facts = inspect_images(["a.png"], folder, progress=False)
    ...     prepare_images(facts, folder, folder + "/ready", dry_run=True, progress=False)["action"].tolist()
    ['refused']
    """
    thresholds = limits_for(service_type(service), limits)
    fit = Fit(int(thresholds["side_min"]), int(thresholds["side_max"]), int(thresholds["image_bytes"]), tuple(FORMATS))
    source = open_source(root)
    out = Path(out)
    if out.resolve() == Path(root).resolve():
        raise ConfigError(f"out: {out} is the folder of the images itself; copies need a folder of their own")
    rows = _rows(facts)
    steps = list(_steps(rows, fit))
    if not dry_run:
        out.mkdir(parents=True, exist_ok=True)
        whole = os.path.abspath(root)  # noqa: PTH100
        done = _carry_out(
            steps, source, whole, out, bytes_max=fit.bytes_max, workers=workers or cores(), progress=progress
        )
    else:
        done = {step.number: _expected(step) for step in steps}
    records = [_record(step, done[step.number]) for step in steps]
    return to_pandas(pl.DataFrame(records, schema=_LOG, orient="row"))


def transform_region(region: Region, log_row: Mapping[str, Any]) -> Region:
    """Return a region, drawn on the source, as it lies on the copy.

    Parameters
    ----------
    region : Region
        Pixels of the upright source. Turning a file upright does not move it: it was upright all along.
    log_row : mapping
        A row of the prepare log: ``scale_x, scale_y, width, height``.

    Examples
    --------
    >>> row = {"scale_x": 0.5, "scale_y": 0.5, "width": 320, "height": 240}
    >>> transform_region(Region(x1=20, y1=60, x2=640, y2=480), row)
    Region(x1=10, y1=30, x2=320, y2=240)
    """
    scale_x, scale_y = float(log_row["scale_x"]), float(log_row["scale_y"])
    if scale_x == 1 and scale_y == 1:
        return region
    return region.scaled(scale_x, scale_y, width=int(log_row["width"]), height=int(log_row["height"]))


@dataclass(frozen=True, slots=True)
class _Step:
    """What would be done to one row of facts."""

    number: int
    facts: dict[str, Any]
    recipe: Recipe
    new_name: str
    fallback_name: str
    renamed: str


@dataclass(frozen=True, slots=True)
class _Done:
    recipe: Recipe
    new_name: str | None = None
    digest: str | None = None
    bytes: int | None = None
    reason: str = ""
    width: int | None = None
    height: int | None = None


def _rows(facts: pd.DataFrame) -> list[dict[str, Any]]:
    if "PicName" not in facts.columns:
        raise ConfigError("facts: there is no PicName column; pass what inspect_images returned")
    have = [name for name in FACT_COLUMNS if name in facts.columns]
    return list(to_polars(facts, have).iter_rows(named=True))


def _steps(rows: list[dict[str, Any]], fit: Fit) -> Iterator[_Step]:
    recipes = [decide(row, fit) for row in rows]
    names = [
        ready_name(row["PicName"], recipe.target, converted=recipe.action == "converted" and not recipe.lossless)
        if recipe.action in ("kept", "converted")
        else ""
        for row, recipe in zip(rows, recipes, strict=True)
    ]
    # A name that need not change has the first right to it.
    taken = {folded(name) for row, name in zip(rows, names, strict=True) if name and name == row["PicName"]}
    for number, (row, recipe, wanted) in enumerate(zip(rows, recipes, names, strict=True)):
        own = row["PicName"]
        name = fallback = wanted
        if wanted:
            if wanted != own:
                name = free_name(wanted, own, taken)
                taken.add(folded(name))
            fallback = name
            if recipe.action == "converted":
                fallback = ready_name(name, "JPEG", converted=True)
                if recipe.target in ("JPEG", "WEBP") or (recipe.lossless and recipe.target != "PNG"):
                    fallback = name
                elif fallback != name:
                    # Both names are set aside, so that they do not depend on which picture was ready first.
                    fallback = free_name(fallback, own, taken)
                    taken.add(folded(fallback))
        collides = name != wanted
        renamed = "" if name == own else f"named {name}" + (f", as {wanted} is another image's" if collides else "")
        yield _Step(number, row, recipe, name, fallback, renamed)


def _expected(step: _Step) -> _Done:
    recipe = step.recipe
    if recipe.action in ("refused", "missing"):
        return _Done(recipe, reason=recipe.reason)
    kept = recipe.action == "kept"
    return _Done(
        recipe,
        step.new_name,
        step.facts["digest"] if kept else None,
        step.facts["bytes"] if kept else None,
        _reasons(recipe.reason, step.renamed),
        recipe.width,
        recipe.height,
    )


def _carry_out(
    steps: list[_Step], source: Source, root: str, out: Path, *, bytes_max: int, workers: int, progress: bool
) -> dict[int, _Done]:
    from tqdm.auto import tqdm  # noqa: PLC0415  only where something may be shown

    done: dict[int, _Done] = {}
    to_make: list[_Step] = []
    manifest = Manifest(out)
    drafts = out / f".imgprep-drafts-{os.getpid()}"
    with tqdm(total=len(steps), disable=not progress, unit="image", desc="prepare") as bar:
        try:
            for step in steps:
                entry = manifest.still_good(out, step.facts["PicName"], step.facts.get("digest") or "", _plan(step))
                if entry is not None and step.recipe.action in ("kept", "converted"):
                    done[step.number] = _as_before(step, entry)
                elif step.recipe.action == "kept":
                    done[step.number] = _keep(step, source, out, manifest)
                elif step.recipe.action == "converted":
                    to_make.append(step)
                    continue
                else:
                    done[step.number] = _expected(step)
                bar.update()
            if to_make:
                drafts.mkdir(exist_ok=True)
                for step, copy in _made(to_make, root, drafts, bytes_max, workers):
                    done[step.number] = _settle(step, copy, drafts, out, manifest)
                    bar.update()
        finally:
            manifest.close()
            for draft in drafts.glob("*"):
                draft.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                drafts.rmdir()
    return done


def _made(
    steps: list[_Step], root: str, drafts: Path, bytes_max: int, workers: int
) -> Iterator[tuple[_Step, Copied | Casualty]]:
    by_draft = {str(drafts / str(step.number)): step for step in steps}
    tasks = (
        (root, step.facts["PicName"], step.facts.get("digest") or "", draft, step.recipe, bytes_max)
        for draft, step in by_draft.items()
    )
    workers = max(1, min(workers, len(steps) // 2))
    for task, copy in run_apart(
        "imgprep.images.convert:convert_to", tasks, workers=workers, chunk=_CHUNK, seconds=COPY_SECONDS
    ):
        yield by_draft[task[3]], copy


def _settle(step: _Step, copy: Copied | Casualty, drafts: Path, out: Path, manifest: Manifest) -> _Done:
    """Put a copy in its place and note it."""
    if isinstance(copy, Casualty) or copy.error:
        why = copy.detail if isinstance(copy, Casualty) else copy.error
        return _Done(Recipe("refused"), reason=f"no copy could be made: {why}")
    name = step.new_name if _promises(step.new_name, copy.format) else step.fallback_name
    place = _place(out, name)
    (drafts / str(step.number)).replace(place)
    renamed = step.renamed if name == step.new_name else f"named {name}"
    reason = _reasons(step.recipe.reason, copy.note, renamed)
    _note(manifest, step, name, reason=reason, digest=copy.digest, size=(copy.width, copy.height), place=place)
    return _Done(step.recipe, name, copy.digest, copy.bytes, reason, copy.width, copy.height)


def _keep(step: _Step, source: Source, out: Path, manifest: Manifest) -> _Done:
    """Copy an image that needs nothing."""
    facts = step.facts
    place = _place(out, step.new_name)
    draft = place.with_name(f".{place.name[:80]}.{os.getpid()}.draft")
    try:
        data = source.read(source.find(facts["PicName"]))
        if hashlib.md5(data).hexdigest() != facts["digest"]:
            return _Done(Recipe("refused"), reason=_CHANGED)
        draft.write_bytes(data)
        draft.replace(place)
    except Unfit as unfit:
        return _Done(Recipe("refused"), reason=unfit.detail)
    except OSError as error:
        return _Done(Recipe("refused"), reason=f"no copy could be made: {error.strerror or error}")
    finally:
        draft.unlink(missing_ok=True)
    size = upright_size(facts["width"], facts["height"], facts.get("orientation") or 1)
    _note(manifest, step, step.new_name, reason=step.renamed, digest=facts["digest"], size=size, place=place)
    return _expected(step)


def _place(out: Path, name: str) -> Path:
    place = out / name
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _note(
    manifest: Manifest, step: _Step, name: str, *, reason: str, digest: str, size: tuple[int, int], place: Path
) -> None:
    info = place.stat()
    manifest.add(
        Entry(
            pic_name=step.facts["PicName"],
            new_name=name,
            source_digest=step.facts.get("digest") or "",
            plan=_plan(step),
            action=step.recipe.action,
            reason=reason,
            digest=digest,
            bytes=info.st_size,
            mtime_ns=info.st_mtime_ns,
            width=size[0],
            height=size[1],
        )
    )


def _plan(step: _Step) -> str:
    """What a copy depends on beside its source."""
    recipe = step.recipe
    text = f"{recipe.action} {recipe.target} {recipe.width}x{recipe.height} {recipe.reason} {step.new_name}"
    return hashlib.md5(text.encode()).hexdigest()[:12]


def _as_before(step: _Step, entry: Entry) -> _Done:
    return _Done(step.recipe, entry.new_name, entry.digest, entry.bytes, entry.reason, entry.width, entry.height)


def _promises(name: str, format_: str) -> bool:
    return ready_name(name, format_, converted=True) == name


def _reasons(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _record(step: _Step, done: _Done) -> tuple[Any, ...]:
    facts = step.facts
    scale_x = scale_y = None
    if done.width is not None and done.height is not None:
        width, height = upright_size(facts["width"], facts["height"], facts.get("orientation") or 1)
        scale_x, scale_y = done.width / width, done.height / height
    return (
        facts["PicName"],
        done.new_name,
        facts.get("digest"),
        done.digest,
        scale_x,
        scale_y,
        done.recipe.action,
        done.reason or None,
        done.width,
        done.height,
        done.bytes,
    )
