"""Service-ready copies of images, and a log of the changes to each."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.executors import Elsewhere, run_tasks
from imgprep.core.fields import PIC_NAME_MAX
from imgprep.core.files import Written, naming_full_disk, replacing, require_no_link
from imgprep.core.frames import returns_table, to_pandas, to_polars
from imgprep.core.notebook import shows
from imgprep.core.processes import LostTask, cores
from imgprep.core.regions import Region
from imgprep.core.settings import OssRoot
from imgprep.core.text import shown
from imgprep.fix.convert import CHANGES, RECIPE_VERSION, Copied, Recipe, decide, is_open, keep
from imgprep.images.found import Fetched, Source, Unfit
from imgprep.images.names import folded, free_name, ready_name, shortened
from imgprep.images.oss import OssFolder
from imgprep.images.storage import open_source
from imgprep.images.upright import upright_size
from imgprep.look.facts import FACT_COLUMNS
from imgprep.look.probe import readable
from imgprep.look.rules.limits import limits_for, service_type

_LOG: dict[str, Any] = {
    **dict.fromkeys(("PicName", "new_name", "source_digest", "digest"), pl.String),
    **dict.fromkeys(("scale_x", "scale_y"), pl.Float64),
    **dict.fromkeys(("action", "reason"), pl.String),
    **dict.fromkeys(("width", "height", "bytes"), pl.Int64),
}


@returns_table
def prepare_images(
    facts: pd.DataFrame,
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    service: str = "product",
    limits: Mapping[str, float] | None = None,
    executor: Elsewhere = None,
    progress: bool = True,
    workers: int | None = None,
    leave: bool = False,
    within: str | None = None,
) -> pd.DataFrame:
    """Make copies that the service accepts: upright, within the limits, in plain RGB, without personal metadata.

    An image that needs no change is copied, not linked, so that editing the copy cannot change the source. Images are
    never enlarged, and sources are never changed. A second run makes copies only for new or changed images.

    Parameters
    ----------
    facts : pandas.DataFrame
        Result of `inspect_images` with tier ``header`` or deeper.
    root : path
        Folder or zip archive that contains the images, or ``oss://BUCKET/FOLDER``.
    out : path
        Folder for the copies; created if missing.
    dry_run : bool
        Return the planned result and write nothing. Digest and bytes of copies are then unknown, unless only encoding
        shows whether a copy fits: such copies are made and discarded.
    service : str
        Service type of the instance, which determines the accepted sizes.
    limits : mapping, optional
        The shop's own thresholds, as in `imgprep.check`.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Makes the copies instead of processes on this machine, which then only writes them. Its workers must reach
        `root` by the same path; they need not reach `out`.
    progress : bool
        Show a progress bar.
    workers : int, optional
        Number of worker processes; by default the number of processors.
    leave : bool
        Make no copies in `out` of images in OSS that need no change: `upload` lets the service copy them.
    within : str, optional
        Path of `root` below the batch's folder in OSS, such as ``photos/``, or empty. Names then start with it, and
        no copy gets the name of an object there, so that originals are referred to and never overwritten.

    Returns
    -------
    pandas.DataFrame
        The prepare log, one row per row of facts: ``PicName``; ``new_name`` of the copy in `out`;
        ``source_digest`` and ``digest`` (MD5 of source and copy); ``scale_x, scale_y`` (copy size divided by upright
        source size); ``action`` (kept, converted, refused, missing) and ``reason``; ``width, height`` (pixels) and
        ``bytes`` of the copy.

    Raises
    ------
    ConfigError
        `out` is `root`, the service type is unknown, or the disk is full or read-only, so that every other image would
        fail too.

    Notes
    -----
    Source: the vendor's image limits (4 MB, 100 to 4096 pixels per side by service type, eight formats, orientation 1
    only). CMYK, 16 bits, transparency and animation are undocumented; every decoder agrees on plain RGB.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from imgprep.look.inspect import inspect_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGBA", (120, 5000)).save(folder + "/a.png")
    ...     facts = inspect_images(["a.png"], folder, progress=False)
    ...     prepare_images(facts, folder, folder + "/ready", dry_run=True, progress=False)["action"].tolist()
    ['refused']
    """
    thresholds = limits_for(service_type(service), limits)
    source, out = open_source(root), Path(out)
    folder = source if isinstance(source, OssFolder) else None
    if folder is None and out.resolve() == Path(root).resolve():
        raise ConfigError(f"out: {out} is the image folder itself; choose another folder for the copies")
    if "PicName" not in facts.columns:
        raise ConfigError("facts: has no PicName column; pass the result of inspect_images")
    rows = to_polars(facts, [name for name in FACT_COLUMNS if name in facts.columns])
    steps = list(_steps(list(rows.iter_rows(named=True)), thresholds, folder, within))
    place, bytes_max = folder or os.path.abspath(root), int(thresholds["image_bytes"])  # noqa: PTH100  keeps links
    make = _Maker(place, bytes_max, workers or cores(), executor, leave=leave and folder is not None)
    if dry_run:
        done = _foresee(steps, make)
    else:
        out.mkdir(parents=True, exist_ok=True)
        done = _carry_out(steps, make, source, out, progress=progress)
    records = [_record(step, done[step.number]) for step in steps]
    return to_pandas(pl.DataFrame(records, schema=_LOG, orient="row"))


def transform_region(region: Region, log_row: Mapping[str, Any]) -> Region:
    """Convert a region drawn on the source to pixels of the copy.

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


@returns_table
def tally_changes(log: pd.DataFrame) -> pd.DataFrame:
    """Count the images per kind of change; an image with several changes counts for each.

    Parameters
    ----------
    log : pandas.DataFrame
        Result of `prepare_images`.

    Returns
    -------
    pandas.DataFrame
        ``change`` and ``images``, the most frequent first.

    Examples
    --------
    >>> reasons = ["turned upright (EXIF orientation 6)", "turned upright (EXIF orientation 8), scaled from 9000 × 90"]
    >>> tally_changes(pd.DataFrame({"action": "converted", "reason": reasons})).values.tolist()
    [['turned upright', 2], ['scaled down', 1]]
    """
    reasons = log.loc[log["action"].eq("converted"), "reason"].astype("str")
    counts = {change: int(reasons.str.contains(part, na=False).sum()) for part, change in CHANGES.items()}
    rows = sorted(((change, count) for change, count in counts.items() if count), key=lambda row: -row[1])
    return pd.DataFrame(rows, columns=["change", "images"])


#: Current wording in a reason → wording of the first version, which plan digests still use.
_FIRST_WORDS = {
    "bits per channel": "bits a channel",
    "is not accepted": "is not taken",
    "flattened onto white": "put on white",
    " frames": " pictures",
}


@dataclass(frozen=True, slots=True)
class Step:
    """The planned step for one row of facts."""

    number: int  #: position of the row
    facts: dict[str, Any]
    recipe: Recipe
    new_name: str  #: name of the copy; empty if there is none
    fallback_name: str  #: name of the copy if it becomes a JPEG because the PNG is too large
    renamed: str  #: the new name and the reason, for people; empty if the name is unchanged

    @property
    def names(self) -> list[str]:
        """The possible names of the copy."""
        return list(dict.fromkeys(filter(None, (self.new_name, self.fallback_name))))

    @property
    def digest(self) -> str:
        """MD5 of the source when it was inspected."""
        return self.facts.get("digest") or ""

    @property
    def plan(self) -> str:
        """Digest of everything except the source that determines the copy."""
        recipe = self.recipe
        # Use the wording of the first version: any other wording would cause every copy to be made again.
        reason = recipe.reason
        for word, first in _FIRST_WORDS.items():
            reason = reason.replace(word, first)
        text = f"{recipe.action} {recipe.target} {recipe.width}x{recipe.height} {reason} {self.new_name}"
        return hashlib.md5(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Done:
    """The result of one step; values are None if there is no copy, or until it is made."""

    recipe: Recipe
    reason: str = ""
    new_name: str | None = None
    digest: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None


def _steps(
    rows: list[dict[str, Any]], limits: Mapping[str, float], folder: OssFolder | None, within: str | None
) -> Iterator[Step]:
    """Yield a step for each row of facts; names of copies are unique, ignoring case and Unicode form."""
    recipes = [decide(row, limits) for row in rows]
    names = [
        ready_name(row["PicName"], recipe.target, converted=recipe.action == "converted" and not recipe.lossless)
        if recipe.action in _MADE
        else ""
        for row, recipe in zip(rows, recipes, strict=True)
    ]
    # Names that need not change take precedence.
    taken = {folded(name) for row, name in zip(rows, names, strict=True) if name and name == row["PicName"]}
    if folder is not None and within is not None:
        names = [_within_batch(name, within, recipe) for name, recipe in zip(names, recipes, strict=True)]
        # A copy sent earlier is replaced, which `upload` checks; every other object keeps its name to itself.
        known = (name for name in folder.names() if _READY not in name)
        taken = {folded(within + name) for name in (*known, *(row["PicName"] for row in rows))}
    for number, (row, recipe, wanted) in enumerate(zip(rows, recipes, names, strict=True)):
        own = (within or "") + row["PicName"]
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
                    # Reserve both names, so that names do not depend on which image is ready first.
                    fallback = free_name(fallback, own, taken)
                    taken.add(folded(fallback))
        collides = name != wanted
        renamed = (
            "" if name == own else f"named {name}" + (f", as {wanted} belongs to another image" if collides else "")
        )
        yield Step(number, row, recipe, name, fallback, renamed)


#: Part of the name of a copy beside its original.
_READY = ".ready."


def _within_batch(name: str, within: str, recipe: Recipe) -> str:
    if not name:
        return name
    stem, _, extension = name.rpartition(".")
    name = within + (name if recipe.action == "kept" else f"{stem}{_READY}{extension}")
    return name if len(name) <= PIC_NAME_MAX else shortened(name)


def _record(step: Step, done: Done) -> tuple[Any, ...]:
    """Return a row of the prepare log."""
    facts = step.facts
    scale_x = scale_y = None
    if done.width is not None and done.height is not None:
        width, height = upright_size(facts["width"], facts["height"], facts.get("orientation") or 1)
        scale_x, scale_y = done.width / width, done.height / height
    outcome = (done.recipe.action, done.reason or None, done.width, done.height, done.bytes)
    return (facts["PicName"], done.new_name, facts.get("digest"), done.digest, scale_x, scale_y, *outcome)


def _expected(step: Step) -> Done:
    """Return the result to expect from a step before its copy is made."""
    recipe = step.recipe
    if recipe.action not in _MADE:
        return Done(recipe, recipe.reason)
    digest, size = (step.facts["digest"], step.facts["bytes"]) if recipe.action == "kept" else (None, None)
    reason = _joined(recipe.reason, step.renamed)
    return Done(recipe, reason, step.new_name, digest, size, recipe.width, recipe.height)


def _copied(step: Step, copy: Copied | LostTask) -> Done:
    """Return the result of a step after the attempt to make its copy."""
    if isinstance(copy, LostTask) or copy.error:
        why = copy.detail if isinstance(copy, LostTask) else copy.error
        if any(os.strerror(number) in why for number in NO_ROOM):
            raise _no_room(step, why)
        return Done(Recipe("refused"), f"no copy could be made: {why}")
    fits = ready_name(step.new_name, copy.format, converted=True) == step.new_name
    name, renamed = (step.new_name, step.renamed) if fits else (step.fallback_name, f"named {step.fallback_name}")
    reason = _joined(step.recipe.reason, copy.note, renamed)
    return Done(step.recipe, reason, name, copy.digest, copy.bytes, copy.width, copy.height)


def _joined(*reasons: str) -> str:
    return ", ".join(filter(None, reasons))


def _no_room(step: Step, why: str) -> ConfigError:
    # Raise, because refusing every image for this reason would lead to a batch without images.
    name = shown(step.facts["PicName"])
    return ConfigError(f"no copy of {name} can be written: {why}; finished copies are kept, so the next run continues")


#: Timeout for one copy, which may require several encodings of a large image.
COPY_SECONDS = 180.0
_CHUNK = 4
#: Drafts older than this were left by a killed run.
_STALE_SECONDS = 3600.0
#: Errors that would fail every other image too: the disk is full or read-only.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
#: Actions that produce a copy.
_MADE = ("kept", "converted")


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes copies in worker processes."""

    root: str | OssFolder
    bytes_max: int
    workers: int
    executor: Elsewhere = None
    leave: bool = False  #: make no copies of images that need no change

    def copies(self, steps: list[Step], drafts: Path) -> Iterator[tuple[Step, Copied | LostTask]]:
        """Yield each step with its copy, stored in `drafts` under the step's number."""
        by_draft = {str(drafts / str(step.number)): step for step in steps}
        tasks = (
            (place, step.facts["PicName"], step.digest, draft, step.recipe, self.bytes_max)
            for (draft, step), place in zip(by_draft.items(), self._places(by_draft.values()), strict=True)
        )
        workers = max(1, min(self.workers, len(steps) // 2))
        # Others need not reach `drafts`, so they return the bytes.
        target = "convert_to" if self.executor is None else "convert"
        for task, copy in run_tasks(
            f"imgprep.fix.convert:{target}",
            tasks,
            executor=self.executor,
            ready=readable,
            workers=workers,
            chunk=_CHUNK,
            seconds=COPY_SECONDS,
        ):
            if isinstance(copy, tuple):
                described, made = copy
                yield by_draft[task[3]], described if described.error else keep(described, made, task[3])
            else:
                yield by_draft[task[3]], copy

    def _places(self, steps: Iterable[Step]) -> Iterator[str | OssRoot | Fetched | Unfit]:
        """Yield the root for every step, or the data read there, as this machine's processes have no credentials."""
        if isinstance(self.root, OssFolder) and self.executor is not None:
            yield from (self.root.root for _ in steps)
        elif isinstance(self.root, OssFolder):
            for _, _, fetched in self.root.fetch_ahead((step.facts["PicName"] for step in steps), whole=True):
                yield fetched
        else:
            yield from (self.root for _ in steps)

    def kept(self, steps: list[Step], source: Source) -> Iterator[tuple[Step, bytes | Unfit]]:
        """Yield each step with the bytes of its image."""
        if isinstance(source, OssFolder):
            ahead = source.fetch_ahead((step.facts["PicName"] for step in steps), whole=True)
            for step, (_, _, fetched) in zip(steps, ahead, strict=True):
                yield step, fetched if isinstance(fetched, Unfit) else fetched.data
            return
        for step in steps:
            try:
                yield step, source.read(source.find(step.facts["PicName"]))
            except Unfit as unfit:
                yield step, unfit


def _foresee(steps: list[Step], make: _Maker) -> dict[int, Done]:
    """Return what `_carry_out` would return; copies whose outcome is uncertain are made and discarded."""
    done = {step.number: _expected(step) for step in steps}
    uncertain = [step for step in steps if is_open(step.recipe, step.facts.get("bytes") or 0, make.bytes_max)]
    with tempfile.TemporaryDirectory(prefix="imgprep-") as drafts:
        for step, copy in make.copies(uncertain, Path(drafts)):
            done[step.number] = _copied(step, copy)
    return done


def _carry_out(steps: list[Step], make: _Maker, source: Source, out: Path, *, progress: bool) -> dict[int, Done]:
    """Carry out the steps; return their results by step number."""
    from tqdm.auto import tqdm  # noqa: PLC0415  needed only here

    manifest, written = Manifest(out), Written(out)
    done = {step.number: known for step in steps if (known := manifest.still_good(step)) is not None}
    if make.leave:
        done |= {step.number: _expected(step) for step in steps if step.recipe.action == "kept"}
    new = [step for step in steps if step.number not in done]
    written.require(name for step in new for name in step.names)
    written.clear_drafts(older=_STALE_SECONDS)
    with (
        written.temporary() if any(step.names for step in new) else contextlib.nullcontext(out) as drafts,
        tqdm(total=len(steps), initial=len(done), disable=not shows(progress), unit="image", desc="prepare") as bar,
    ):

        def settle(step: Step, result: Done) -> None:
            """Rename a step's copy from its number in `drafts` to its final name, and record it."""
            if result.new_name is not None and result.digest is not None:
                try:
                    manifest.add(step, result, written.place(drafts / str(step.number), result.new_name, result.digest))
                except OSError as error:
                    result = _refused(step, error)
            done[step.number] = result
            bar.update()

        try:
            for step in new:
                if step.recipe.action not in _MADE:
                    settle(step, _expected(step))
            for step, data in make.kept([step for step in new if step.recipe.action == "kept"], source):
                settle(step, _keep(step, data, drafts))
            for step, copy in make.copies([step for step in new if step.recipe.action == "converted"], drafts):
                settle(step, _copied(step, copy))
        finally:
            manifest.close()
    return done


def _keep(step: Step, data: bytes | Unfit, drafts: Path) -> Done:
    """Write an image that needs no change into `drafts`."""
    if isinstance(data, Unfit):
        return Done(Recipe("refused"), data.detail)
    try:
        if hashlib.md5(data).hexdigest() != step.digest:
            return Done(Recipe("refused"), "the file has changed since it was inspected; inspect it again")
        with naming_full_disk(drafts.parent / step.new_name):
            (drafts / str(step.number)).write_bytes(data)
    except OSError as error:
        return _refused(step, error)
    return _expected(step)


def _refused(step: Step, error: OSError) -> Done:
    if error.errno in NO_ROOM:
        raise _no_room(step, error.strerror or str(error)) from error
    return Done(Recipe("refused"), f"no copy could be made: {error.strerror or error}")


MANIFEST = ".imgprep-prepare.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """The record of one finished copy."""

    pic_name: str
    new_name: str
    source_digest: str
    plan: str
    action: str
    reason: str
    digest: str
    bytes: int
    mtime_ns: int
    width: int
    height: int
    version: int = RECIPE_VERSION


class Manifest:
    """The entries for a folder, appended line by line so that an interrupted run keeps its results."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, require_no_link(folder / MANIFEST)
        self._entries: dict[str, Entry] = {}
        self._file: IO[str] | None = None
        if self._path.exists():
            # A damaged entry matches no image, so the copy is made again.
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                if (entry := _entry(line)) is not None:
                    self._entries[entry.pic_name] = entry

    def still_good(self, step: Step) -> Done | None:
        """Return the result of a step if its copy exists, matches the source and the plan, and is unchanged."""
        entry = self._entries.get(step.facts["PicName"])
        if entry is None or not step.new_name or (entry.source_digest, entry.plan) != (step.digest, step.plan):
            return None
        try:
            info = os.stat(self._folder / entry.new_name)  # noqa: PTH116  runs once per image
        except OSError:
            return None
        if (info.st_size, info.st_mtime_ns) != (entry.bytes, entry.mtime_ns):
            return None
        size = (entry.width, entry.height)
        return Done(step.recipe, entry.reason, entry.new_name, entry.digest, entry.bytes, *size)

    def add(self, step: Step, done: Done, copy: Path) -> None:
        """Record a copy that has its final name."""
        info = copy.stat()
        entry = Entry(
            pic_name=step.facts["PicName"],
            new_name=done.new_name or "",
            source_digest=step.digest,
            plan=step.plan,
            action=step.recipe.action,
            reason=done.reason,
            digest=done.digest or "",
            bytes=info.st_size,
            mtime_ns=info.st_mtime_ns,
            width=done.width or 0,
            height=done.height or 0,
        )
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8", newline="\n")
        self._entries[entry.pic_name] = entry
        with naming_full_disk(self._path):
            self._file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Rewrite the file with one line per copy, if lines were appended."""
        if self._file is None:
            return
        with naming_full_disk(self._path):
            self._file.close()
        self._file = None
        lines = (json.dumps(asdict(self._entries[name]), ensure_ascii=False) for name in sorted(self._entries))
        with replacing(self._path) as draft:
            draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _entry(line: str) -> Entry | None:
    try:
        entry = Entry(**json.loads(line))
    except (ValueError, TypeError):  # truncated, or from another version
        return None
    return entry if entry.version == RECIPE_VERSION else None
