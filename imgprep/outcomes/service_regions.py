"""The subjects that the service detects in images, compared with our regions and the shop's categories."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.cloud.imagesearch import AnswerLost, ImageSearch
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.errors import ConfigError, RegionError, ServiceError
from imgprep.core.frames import records, returns_table
from imgprep.core.notebook import shows
from imgprep.core.regions import EDGES, Region, RegionState
from imgprep.core.settings import HasSettings, Settings, settings_of
from imgprep.core.text import shown
from imgprep.draw.share import AGREES
from imgprep.draw.store import RegionStore
from imgprep.fix.convert import Recipe, convert, decide
from imgprep.images.found import Fetched, Problem, Source, Unfit
from imgprep.images.storage import open_source
from imgprep.images.upright import upright_size
from imgprep.look.facts import Tier
from imgprep.look.probe import probe
from imgprep.look.rules.limits import limits_for, service_type
from imgprep.outcomes.asking import cost, require_confirmed, sandbox_note
from imgprep.ship.checks import Check, start_check

_OURS = tuple(f"{edge}_ours" for edge in EDGES)
_KINDS = {
    **dict.fromkeys(("PicName", "ProductId", "state"), "str"),
    **dict.fromkeys(EDGES, "Int64"),
    "subjects": "object",
    "category": "Int64",
    "state_ours": "str",
    **dict.fromkeys(_OURS, "Int64"),
    "iou": "Float64",
    "agree": "boolean",
    "CategoryId": "Int64",
    "same_category": "boolean",
    "digest": "str",
    **dict.fromkeys(("width", "height"), "Int64"),
    "problem": "str",
}


@returns_table
def service_regions(
    images: pd.DataFrame | Iterable[str],
    root: str | os.PathLike[str],
    settings: HasSettings | Settings,
    *,
    regions: RegionStore | Mapping[str, Region] | None = None,
    threshold: float = AGREES,
    again: bool = False,
    into: str | os.PathLike[str] | None = None,
    confirm: int | None = None,
    progress: bool = True,
    clock: Clock | None = None,
) -> pd.DataFrame:
    """Ask the service which subject it detects in each image, and compare that with our regions and categories.

    Each image takes one search (SearchImageByPic, without a category); it need not be in the gallery, and is not added
    to it. The service gets the image, or the copy that `prepare_images` would make of it. Answers are kept as they
    arrive: an interrupted call is resumed by repeating it, and an image that has not changed is not asked about again.

    Parameters
    ----------
    images : pandas.DataFrame or iterable of str
        A catalogue, or names below `root`. A ``CategoryId`` is compared with the service's, and not sent.
    root : path
        Folder or zip archive of the images.
    settings : Project or Settings
        The instance to search.
    regions : RegionStore or mapping, optional
        Our regions: a store, or PicName → `Region`.
    threshold : float
        IoU, 0 to 1, from which two regions agree.
    again : bool
        Ask about every image, even if its answer is kept.
    into : path, optional
        The folder of the answers; default: ``subjects/`` in the project's work folder.
    confirm : int, optional
        The number of requests, to confirm more than 1,000.
    progress : bool
        Show the cost in requests and time, and a progress bar.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    pandas.DataFrame
        One row per image, or per image and product where `regions` has decisions by product. ``PicName, ProductId``;
        ``state`` (``region``; NA if the service detects no subject, or was not asked) and ``x1, y1, x2, y2``, the
        service's Region in pixels of the upright image; ``subjects``, its MultiRegion, a tuple of `Region`;
        ``category``, predicted by the service; ``state_ours``, ``x1_ours, y1_ours, x2_ours, y2_ours``, our decision on
        this version of the file; ``iou`` (overlap of both, 0 to 1; a whole image counts as its frame); ``agree``
        (``iou`` ≥ `threshold`, or we left it to the service; NA if we have no decision); ``CategoryId``, the shop's, if
        its rows agree on one; ``same_category``; ``digest, width, height`` (of the upright image); ``problem`` (why an
        image was not asked about). `RegionAnnotator`, `agreement` and `tally_drawings_saved` take this frame.
        ``.attrs["note"]`` states what the answers are worth, if a sandbox was asked.

    Raises
    ------
    ConfigError
        There is no image, or there are many requests and they are not confirmed.
    ServiceError
        The service refuses to answer; the call can be repeated.

    Notes
    -----
    Source: api (SearchImageByPic: PicInfo.Region, MultiRegion and CategoryId; the rate is the instance's Qps).

    Examples
    --------
    >>> shop = ip.open_project()
    >>> with ip.Sandbox(throttle=False) as sandbox:
    ...     found = service_regions(["tee.jpg"], shop.images, sandbox.settings, into=shop.work, progress=False)
    >>> found["problem"].tolist()
    ['no file with this name']
    """
    from tqdm.auto import tqdm  # noqa: PLC0415

    settings, clock, source = settings_of(settings), clock or SystemClock(), open_source(root)
    rows = _rows(images)
    limits = limits_for(service_type(settings.service), settings.rules["limits"])
    check = start_check(settings.work / "subjects" if into is None else Path(into), settings, "subjects", clock.time())
    facts = {
        name: probe(source, name, Tier.HEADER)
        for name in tqdm(rows, disable=not shows(progress), unit="image", desc="read")
    }
    recipes = {name: decide(fact, limits) for name, fact in facts.items()}
    problems = {name: recipe.reason for name, recipe in recipes.items() if recipe.action in ("missing", "refused")}
    wanted = [name for name in rows if name not in problems and (again or _kept(check, facts[name]) is None)]
    if wanted:
        service = ImageSearch(settings, clock=clock)
        qps = service.searches_per_second()
        require_confirmed("service_regions", len(wanted), qps, confirm)
        for name in tqdm(wanted, disable=not shows(progress), unit="image", desc=cost(len(wanted), qps)):
            try:
                answer = _answer(service, source, facts[name], recipes[name], int(limits["image_bytes"]))
                check.add(("", name), answer)
            except Unfit as unfit:
                problems[name] = shown(unfit.detail or unfit.problem)
            except ServiceError as error:
                # Codes that blame an image name it so (UnsupportedPicFormat); any other concerns every image.
                if isinstance(error, AnswerLost) or error.passing or "Pic" not in str(error.code):
                    raise
                problems[name] = str(error.code)
    found, ours = [], _decisions(regions)
    for name, category in rows.items():
        seen = _seen(None if name in problems else _kept(check, facts[name]))
        head = {"PicName": name, "CategoryId": category, "problem": problems.get(name)}
        head["digest"], (head["width"], head["height"]) = facts[name].get("digest"), _size(facts[name])
        for product, state, region, digest in ours.get(name, [(None, None, None, None)]):
            stale = region is not None and None not in (digest, head["digest"]) and digest != head["digest"]
            if stale:
                state, region = None, None  # noqa: PLW2901
            found.append({**head, "ProductId": product, **seen, **_compared(seen, state, region, head, threshold)})
    result = pd.DataFrame(found).reindex(columns=list(_KINDS)).astype(_KINDS)
    result.attrs["note"] = sandbox_note(settings)
    return result


def _rows(images: pd.DataFrame | Iterable[str]) -> dict[str, int | None]:
    """Return the shop's category by PicName, None where its rows name none or several."""
    frame = images if isinstance(images, pd.DataFrame) else pd.DataFrame({"PicName": list(images)}, dtype="str")
    if "PicName" not in frame or frame["PicName"].dropna().empty:
        raise ConfigError("service_regions: no image is given; pass names, or a catalogue with a PicName column")
    named: dict[str, set[int]] = {}
    for row in records(frame.reindex(columns=["PicName", "CategoryId"]).dropna(subset="PicName").drop_duplicates()):
        categories = named.setdefault(str(row["PicName"]), set())
        if str(row["CategoryId"]).isdecimal():  # text in a catalogue
            categories.add(int(row["CategoryId"]))
    return {name: categories.pop() if len(categories) == 1 else None for name, categories in named.items()}


def _kept(check: Check, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the answer on this version of a file, if it is kept."""
    answer = check.answers.get(("", facts["PicName"]))
    return answer if answer and answer.get("digest") == facts.get("digest") else None


def _answer(
    service: ImageSearch, source: Source, facts: Mapping[str, Any], recipe: Recipe, bytes_max: int
) -> dict[str, Any]:
    """Ask about an image, and return the answer in pixels of the upright image."""
    data = source.read(source.find(facts["PicName"]))
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if digest != facts["digest"]:
        raise Unfit(Problem.UNREADABLE, "the file changed while it was read; repeat the call")
    sent = size = _size(facts)
    if recipe.action == "converted":
        copy, data = convert((Fetched(data, whole=True), facts["PicName"], digest, "", recipe, bytes_max))
        if copy.error:
            raise Unfit(Problem.UNREADABLE, copy.error)
        sent = (copy.width, copy.height)
    found = service.search_by_pic(data, count=1)
    return {
        "digest": digest,
        "Region": next(_upright([found.region], sent, size), None),
        "MultiRegion": list(_upright(found.subjects, sent, size)),
        "CategoryId": found.category,
    }


def _size(facts: Mapping[str, Any]) -> tuple[int, int]:
    """Return the width and height of the upright image, 0 if unknown."""
    return upright_size(facts.get("width") or 0, facts.get("height") or 0, facts.get("orientation") or 1)


def _upright(regions: Iterable[str], sent: tuple[int, int], size: tuple[int, int]) -> Iterator[str]:
    """Yield the service's regions, in pixels of what was sent, as regions of the upright image; skip empty ones."""
    for text in regions:
        try:
            region = Region.from_wire(text).clamped(*sent)
        except RegionError:  # no subject was detected
            continue
        across, down = (whole / part for whole, part in zip(size, sent, strict=True))
        yield region.scaled(across, down, width=size[0], height=size[1]).wire()


def _decisions(regions: RegionStore | Mapping[str, Region] | None) -> dict[str, list[tuple[Any, ...]]]:
    """Return product, state, region and digest of our decisions by PicName."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    if isinstance(regions, RegionStore):
        for (name, product), entry in regions.entries().items():
            if entry.state != "undone":
                found.setdefault(name, []).append((product, entry.state, entry.region, entry.digest))
        return found
    return {name: [(None, str(RegionState.REGION), region, None)] for name, region in (regions or {}).items()}


def _seen(answer: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the columns of the service's answer."""
    if answer is None:
        return {"subjects": ()}
    region = Region.from_wire(answer["Region"]) if answer["Region"] else None
    return {
        "state": str(RegionState.REGION) if region else None,
        **{edge: getattr(region, edge, None) for edge in EDGES},
        "subjects": tuple(map(Region.from_wire, answer["MultiRegion"])),
        "category": answer["CategoryId"],
    }


def _compared(
    seen: Mapping[str, Any], state: str | None, ours: Region | None, image: Mapping[str, Any], threshold: float
) -> dict[str, Any]:
    """Return the columns that compare an answer with our decision and the shop's category."""
    row: dict[str, Any] = {"state_ours": state, **{f"{edge}_ours": getattr(ours, edge, None) for edge in EDGES}}
    both = (seen.get("category"), image["CategoryId"])
    row["same_category"] = None if None in both else both[0] == both[1]
    if "category" not in seen or state is None:
        return row
    if state == RegionState.SERVICE:
        return row | {"agree": True}
    if seen["state"] is None:
        return row | {"agree": False}
    mine = ours or Region(x1=0, y1=0, x2=image["width"], y2=image["height"])
    iou = mine.iou(Region(**{edge: seen[edge] for edge in EDGES}))
    return row | {"iou": iou, "agree": iou >= threshold}
