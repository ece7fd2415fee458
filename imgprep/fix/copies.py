"""Copies made, put in their place and noted; or foreseen without."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from imgprep.core.errors import ConfigError
from imgprep.core.files import Written, replacing, require_no_link
from imgprep.core.processes import LostTask, run_in_processes
from imgprep.fix.convert import Copied
from imgprep.fix.recipe import RECIPE_VERSION, Fit, Recipe, decide, is_open
from imgprep.images.names import folded, free_name, ready_name
from imgprep.images.storage import Source, Unfit

NAME = ".imgprep-prepare.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One copy as it was made."""

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
    """The entries of a folder; added to line by line, so that an interrupted run has kept what it did."""

    def __init__(self, folder: Path) -> None:
        self._path = require_no_link(folder / NAME)
        self._entries: dict[str, Entry] = {}
        self._file: IO[str] | None = None
        if self._path.exists():
            # Damaged bytes make an entry that fits no image, or none: its copy is made again.
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                entry = _entry(line)
                if entry is not None:
                    self._entries[entry.pic_name] = entry

    def still_good(self, folder: Path, pic_name: str, source_digest: str, plan: str) -> Entry | None:
        """Return the entry of a copy that is there, was made from this source by this plan, and was not touched."""
        entry = self._entries.get(pic_name)
        if entry is None or (entry.source_digest, entry.plan) != (source_digest, plan):
            return None
        try:
            info = os.stat(folder / entry.new_name)  # noqa: PTH116  once for every image
        except OSError:
            return None
        return entry if (info.st_size, info.st_mtime_ns) == (entry.bytes, entry.mtime_ns) else None

    def add(self, entry: Entry) -> None:
        """Note a copy."""
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8", newline="\n")
        self._entries[entry.pic_name] = entry
        self._file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Write the file anew, one line a copy, where it was added to."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        lines = (json.dumps(asdict(self._entries[name]), ensure_ascii=False) for name in sorted(self._entries))
        with replacing(self._path) as draft:
            draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _entry(line: str) -> Entry | None:
    try:
        entry = Entry(**json.loads(line))
    except (ValueError, TypeError):  # cut off, or of another version
        return None
    return entry if entry.version == RECIPE_VERSION else None


@dataclass(frozen=True, slots=True)
class Step:
    """What would be done to one row of facts.

    Attributes
    ----------
    number : int
        Position among the rows.
    facts : dict
        The row; NA as None.
    recipe : Recipe
        From `decide`.
    new_name, fallback_name : str
        Name of the copy, and of one that becomes a JPEG because as a PNG it is too heavy; empty where there is none.
    renamed : str
        The new name and why, in words; empty where it is the old one.
    """

    number: int
    facts: dict[str, Any]
    recipe: Recipe
    new_name: str
    fallback_name: str
    renamed: str


@dataclass(frozen=True, slots=True)
class Done:
    """What was done to one row of facts; None where there is no copy, or nobody knows yet."""

    recipe: Recipe
    new_name: str | None = None
    digest: str | None = None
    bytes: int | None = None
    reason: str = ""
    width: int | None = None
    height: int | None = None


def steps_for(rows: list[dict[str, Any]], fit: Fit) -> Iterator[Step]:
    """Yield a step for each row of facts; no two copies share a name, whatever the case or Unicode form."""
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
        yield Step(number, row, recipe, name, fallback, renamed)


def expected(step: Step) -> Done:
    """Return what comes of a step if nothing unforeseen happens."""
    recipe = step.recipe
    if recipe.action in ("refused", "missing"):
        return Done(recipe, reason=recipe.reason)
    kept = recipe.action == "kept"
    return Done(
        recipe,
        step.new_name,
        step.facts["digest"] if kept else None,
        step.facts["bytes"] if kept else None,
        joined(recipe.reason, step.renamed),
        recipe.width,
        recipe.height,
    )


def joined(*parts: str) -> str:
    """Return reasons as one text."""
    return ", ".join(part for part in parts if part)


#: Making a copy may take several encodings of a large picture.
COPY_SECONDS = 180.0
_CHUNK = 4
_DRAFTS = ".imgprep-drafts-"
#: Drafts that nobody touched for so long are of a run that was killed.
_STALE_SECONDS = 3600.0
#: What no other image would get past: the disk is full or may not be written.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
#: Actions that leave a copy.
_MADE = ("kept", "converted")
_CHANGED = "the file has changed since it was inspected; inspect it again"


def carry_out(
    steps: list[Step], source: Source, root: str, out: Path, *, bytes_max: int, workers: int, progress: bool
) -> dict[int, Done]:
    """Do the steps, and return what came of each by its number."""
    from tqdm.auto import tqdm  # noqa: PLC0415  only where something may be shown

    done: dict[int, Done] = {}
    to_make: list[Step] = []
    manifest, copies = Manifest(out), Written(out)
    good = {step.number: entry for step in steps if (entry := _good(step, manifest, out)) is not None}
    copies.require(name for step in steps if step.number not in good for name in _names(step))
    _clear_stale(copies)
    with (
        _drafts(copies, any(_names(step) for step in steps if step.number not in good)) as drafts,
        tqdm(total=len(steps), disable=not progress, unit="image", desc="prepare") as bar,
    ):
        try:
            for step in steps:
                if step.number in good:
                    done[step.number] = _as_before(step, good[step.number])
                elif step.recipe.action == "kept":
                    done[step.number] = _keep(step, source, drafts, copies, manifest)
                elif step.recipe.action == "converted":
                    to_make.append(step)
                    continue
                else:
                    done[step.number] = expected(step)
                bar.update()
            for step, copy in _made(to_make, root, drafts, bytes_max, workers):
                done[step.number] = _settle(step, copy, drafts, copies, manifest)
                bar.update()
        finally:
            manifest.close()
    return done


def foreseen(steps: list[Step], root: str, *, bytes_max: int, workers: int) -> dict[int, Done]:
    """Return what `carry_out` would; what nobody can foresee is tried out."""
    done = {step.number: expected(step) for step in steps}
    doubtful = [step for step in steps if is_open(step.recipe, step.facts.get("bytes") or 0, bytes_max)]
    with tempfile.TemporaryDirectory(prefix="imgprep-") as drafts:
        for step, copy in _made(doubtful, root, Path(drafts), bytes_max, workers):
            done[step.number] = _copied(step, copy)
    return done


@contextlib.contextmanager
def _drafts(copies: Written, needed: bool) -> Iterator[Path]:
    """A folder for what is being made, which goes again; it is logged, so that a later run may clear a killed one's."""
    if not needed:
        yield copies.folder
        return
    drafts = Path(tempfile.mkdtemp(prefix=_DRAFTS, dir=copies.folder))
    copies.note(drafts.name, _DRAFTS)
    try:
        yield drafts
    finally:
        shutil.rmtree(drafts, ignore_errors=True)


def _good(step: Step, manifest: Manifest, out: Path) -> Entry | None:
    """The entry of a copy that is there as it would be made."""
    if step.recipe.action not in _MADE:
        return None
    return manifest.still_good(out, step.facts["PicName"], step.facts.get("digest") or "", _plan(step))


def _names(step: Step) -> list[str]:
    """The names that the copy of a step may get."""
    if step.recipe.action not in _MADE:
        return []
    return [step.new_name] if step.recipe.action == "kept" else [step.new_name, step.fallback_name]


def _clear_stale(copies: Written) -> None:
    for drafts in copies.folder.glob(f"{_DRAFTS}*"):
        with contextlib.suppress(OSError):
            if drafts.name in copies and time.time() - drafts.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(drafts)  # which follows no link


def _made(
    steps: list[Step], root: str, drafts: Path, bytes_max: int, workers: int
) -> Iterator[tuple[Step, Copied | LostTask]]:
    by_draft = {str(drafts / str(step.number)): step for step in steps}
    tasks = (
        (root, step.facts["PicName"], step.facts.get("digest") or "", draft, step.recipe, bytes_max)
        for draft, step in by_draft.items()
    )
    workers = max(1, min(workers, len(steps) // 2))
    for task, copy in run_in_processes(
        "imgprep.fix.convert:convert_to", tasks, workers=workers, chunk=_CHUNK, seconds=COPY_SECONDS
    ):
        yield by_draft[task[3]], copy


def _settle(step: Step, copy: Copied | LostTask, drafts: Path, copies: Written, manifest: Manifest) -> Done:
    """Put a copy in its place and note it."""
    done = _copied(step, copy)
    if done.new_name is None:
        return done
    try:
        place = copies.place(drafts / str(step.number), done.new_name, done.digest)
    except OSError as error:
        return _refused(error)
    _note(manifest, step, done, place)
    return done


def _copied(step: Step, copy: Copied | LostTask) -> Done:
    if isinstance(copy, LostTask) or copy.error:
        why = copy.detail if isinstance(copy, LostTask) else copy.error
        if any(os.strerror(number) in (why or "") for number in _NO_ROOM):
            raise _no_room(why)
        return Done(Recipe("refused"), reason=f"no copy could be made: {why}")
    name = step.new_name if _promises(step.new_name, copy.format) else step.fallback_name
    renamed = step.renamed if name == step.new_name else f"named {name}"
    reason = joined(step.recipe.reason, copy.note, renamed)
    return Done(step.recipe, name, copy.digest, copy.bytes, reason, copy.width, copy.height)


def _keep(step: Step, source: Source, drafts: Path, copies: Written, manifest: Manifest) -> Done:
    """Copy an image that needs nothing."""
    facts = step.facts
    draft = drafts / str(step.number)
    try:
        data = source.read(source.find(facts["PicName"]))
        if hashlib.md5(data).hexdigest() != facts["digest"]:
            return Done(Recipe("refused"), reason=_CHANGED)
        draft.write_bytes(data)
        place = copies.place(draft, step.new_name, facts["digest"])
    except Unfit as unfit:
        return Done(Recipe("refused"), reason=unfit.detail)
    except OSError as error:
        return _refused(error)
    done = expected(step)
    _note(manifest, step, done, place)
    return done


def _no_room(why: str | None) -> ConfigError:
    # Were each image refused for it, a batch without any would be built.
    return ConfigError(f"no copy can be written: {why}; make room, and run it again: what is done is kept")


def _refused(error: OSError) -> Done:
    if error.errno in _NO_ROOM:
        raise _no_room(error.strerror) from error
    return Done(Recipe("refused"), reason=f"no copy could be made: {error.strerror or error}")


def _note(manifest: Manifest, step: Step, done: Done, place: Path) -> None:
    info = place.stat()
    manifest.add(
        Entry(
            pic_name=step.facts["PicName"],
            new_name=done.new_name or "",
            source_digest=step.facts.get("digest") or "",
            plan=_plan(step),
            action=step.recipe.action,
            reason=done.reason,
            digest=done.digest or "",
            bytes=info.st_size,
            mtime_ns=info.st_mtime_ns,
            width=done.width or 0,
            height=done.height or 0,
        )
    )


def _plan(step: Step) -> str:
    """What a copy depends on beside its source."""
    recipe = step.recipe
    text = f"{recipe.action} {recipe.target} {recipe.width}x{recipe.height} {recipe.reason} {step.new_name}"
    return hashlib.md5(text.encode()).hexdigest()[:12]


def _as_before(step: Step, entry: Entry) -> Done:
    return Done(step.recipe, entry.new_name, entry.digest, entry.bytes, entry.reason, entry.width, entry.height)


def _promises(name: str, format_: str) -> bool:
    return ready_name(name, format_, converted=True) == name
