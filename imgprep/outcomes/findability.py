"""Findability: search the gallery with its own images, and explain why some are not found."""

from __future__ import annotations

import html
import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imgprep.cloud.imagesearch import Found, Hit, ImageSearch
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.errors import ConfigError, RegionError
from imgprep.core.fields import FORCING, SEARCH_CATEGORY
from imgprep.core.files import replacing
from imgprep.core.frames import Table, detached, records, returns_table, show_fields_as_tables
from imgprep.core.language import display_language, texts
from imgprep.core.notebook import shows
from imgprep.core.regions import Region, RegionState, named_edges, reordered
from imgprep.core.settings import HasSettings, Settings, settings_of
from imgprep.core.text import percent
from imgprep.look.duplicates import PLAIN, find_duplicates
from imgprep.outcomes.asking import questions_digest, require_confirmed, sandbox_note
from imgprep.ship.checks import Check, saved_checks, start_check
from imgprep.ship.gallery import HELD, KEY, gallery_state, runs_of
from imgprep.ship.run import Run

#: Folder of the project for results, which the monthly review repeats.
SEARCHES = "searches"
#: Number of results considered; recall is the share of siblings that are among them.
RESULTS = 10
#: Default number of images to search with.
SAMPLE = 200
#: No reason is claimed if chance alone would rank images as well with this probability or more.
CHANCE = 0.001
#: A region counts as swapped if, read in the other order, its overlap (IoU) with a subject that the service detects is
#: at least the first value, and exceeds the overlap of the region as sent by at least the second.
_FITS, _BETTER = 0.5, 0.3

LOST, BLANK, SWAPPED = "not in the gallery", "blank image", "swapped region"
NO_CATEGORY, TWIN, UNEXPLAINED = "no category at search", "near-duplicate product", ""
#: Reason → what to do.
REMEDIES = {
    LOST: "verify the gallery (`imgprep verify`), and send the image again",
    BLANK: "replace the image; nothing in it can be searched",
    SWAPPED: "the Region fits the subject if its numbers are read as x1,y1,x2,y2; correct and send it again",
    NO_CATEGORY: f"{SEARCH_CATEGORY}; set the category in searches, or add the image without a category",
    TWIN: "merge the products, or replace the image with one that shows the difference",
    UNEXPLAINED: "compare the images, and what `what_if` finds with another region",
}
_FACTS = ("width", "height", "bytes", "brightness", "contrast", "light", "blank", "entropy", "sharpness", "chroma")
_KEY = list(KEY)
#: Values per group of a numeric column, at most, before it is cut into ranges.
_MOST_VALUES = 14


@dataclass(frozen=True, repr=False)
class Findability:
    """How searches find a sample of the gallery's images.

    Attributes
    ----------
    images : pandas.DataFrame
        One row per image: ``ProductId, PicName, CategoryId`` (as added), ``region`` (``region``, ``whole``,
        ``service``), ``rank`` (of itself without a category; NA = not among the first 10), ``rank_category`` (with the
        category that it was added with; NA also if it has none), ``siblings`` (other images of the product), ``recall``
        (share of them among the first 10), ``before`` (products ranked before it or a sibling), ``instead`` (names
        of the images found first), ``problem`` (whether it is not found as it should be), ``reason``, ``remedy``; then
        image facts, and the export's columns.
    pairs : pandas.DataFrame
        ``ProductId, other, times, reason``: products that the gallery confuses, most often first.
    meaningful : bool
        Whether images find themselves more often than by chance; otherwise, no reason is claimed.
    gallery : str
        Identity of the gallery.
    note : str
        A caveat about the rankings, if a sandbox was searched.
    """

    images: pd.DataFrame
    pairs: pd.DataFrame
    meaningful: bool
    gallery: str
    note: str

    def __post_init__(self) -> None:
        show_fields_as_tables(self)

    @property
    @returns_table
    def problems(self) -> pd.DataFrame:
        """The images that are not found as they should be, worst first."""
        found = self.images[self.images["problem"]]
        order = list(REMEDIES)
        worst = found["reason"].map(order.index)
        keys = found.assign(_reason=worst).sort_values(["_reason", "recall", *_KEY], na_position="first")
        worst_first = keys.drop(columns="_reason").reset_index(drop=True)
        worst_first.attrs["note"] = self.note
        return worst_first

    @returns_table
    def reasons(self) -> pd.DataFrame:
        """Return ``reason, images, remedy``, most frequent first."""
        counts = self.problems["reason"].value_counts()
        rows = [(name or "no reason found", int(count), REMEDIES[str(name)]) for name, count in counts.items()]
        return pd.DataFrame(rows, columns=["reason", "images", "remedy"])

    @returns_table
    def by(self, column: str) -> pd.DataFrame:
        """Return how images are found per value of a column of `images`; numbers are cut into ranges.

        Columns: ``value``, ``images``, ``first`` and ``first_category`` (share that finds itself first, without a
        category and with the one it was added with), ``recall``, ``problems``.
        """
        if column not in self.images.columns:
            raise ConfigError(
                f"findability: no column {column!r}; use one of {', '.join(map(str, self.images.columns))}"
            )
        values = self.images[column]
        if pd.api.types.is_numeric_dtype(values) and values.nunique() > _MOST_VALUES:
            values = pd.qcut(values.astype("float64"), 4, duplicates="drop").map(_range)
        rows = self.images.assign(value=values.astype("str").mask(values.isna(), "(none)"))
        grouped = rows.assign(
            first=rows["rank"].eq(1).fillna(value=False),
            first_category=rows["rank_category"].fillna(rows["rank"]).eq(1).fillna(value=False),
        ).groupby("value")
        found = grouped.agg(
            images=("PicName", "size"),
            first=("first", "mean"),
            first_category=("first_category", "mean"),
            recall=("recall", "mean"),
            problems=("problem", "sum"),
        )
        table = found.reset_index().sort_values(["first_category", "value"], ignore_index=True)
        table.attrs |= {"column": column, "note": self.note}
        return table

    @property
    def sentence(self) -> str:
        """The result in words."""
        t = texts(display_language())
        rank, best = self.images["rank"], self.images["rank_category"].fillna(self.images["rank"])
        total, problems = len(self.images), self.problems
        first, with_own = int(rank.eq(1).sum()), int(best.eq(1).sum())
        images, share = t.counted(total, "image"), percent(first / total)
        text = t("{first} of {images} ({share}) find themselves first", first=f"{first:,}", images=images, share=share)
        if with_own != first:
            text += t(", {count} if the search names their category", count=f"{with_own:,}")
        text += t("; {images} with a problem", images=t.counted(len(problems), "image"))
        reasons = [
            t("{count} {reason}", count=f"{count:,}", reason=t(reason) if reason else t("without a reason"))
            for reason, count in _counts(problems["reason"])
        ]
        text += t(" ({reasons})", reasons=t(", ").join(reasons)) if reasons else ""
        chance = t("; the ranking is no better than chance, so no reason is claimed")
        return text if self.meaningful else text + chance

    def _repr_html_(self) -> str:
        table = Table(self.reasons())._repr_html_()
        note = f"<p><b>{html.escape(texts(display_language())(self.note))}</b></p>" if self.note else ""
        return f"<p>{html.escape(self.sentence)}</p>{note}{table}"

    def __repr__(self) -> str:
        return f"Findability({self.sentence}{'; ' + self.note if self.note else ''})"


def _counts(reasons: pd.Series) -> Iterator[tuple[str, int]]:
    counts = Counter(reasons)
    return ((name, counts[name]) for name in REMEDIES if counts[name])


def _range(cut: Any) -> str:
    return f"{cut.left:.4g} … {cut.right:.4g}"


def findability(
    runs: Run | Iterable[Run],
    settings: HasSettings | Settings,
    *,
    sample: int = SAMPLE,
    by: str | None = None,
    confirm: int | None = None,
    progress: bool = True,
    clock: Clock | None = None,
) -> Findability:
    """Search the gallery with a sample of its own images (SearchImageByName), and explain what is not found.

    Nothing is uploaded or changed. Whole products are drawn at random until they have `sample` images. Each image is
    searched without a category and, if it was added with one, with it. Answers are kept in the project's work folder as
    they arrive: an interrupted call is resumed by repeating it. Ranks are kept for the monthly review.

    Parameters
    ----------
    runs : Run or iterable of Run
        Every run of the instance.
    settings : Project or Settings
        The instance to search.
    sample : int
        Number of images.
    by : str, optional
        Column of the export or field, such as ``brand`` or ``CategoryId``; each of its values gets an equal share of
        the sample, as far as it has products.
    confirm : int, optional
        The number of requests, to confirm more than 1,000.
    progress : bool
        Show a progress bar.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    Findability

    Raises
    ------
    ConfigError
        According to the runs, the gallery holds no image; or there are many requests and they are not confirmed.
    ServiceError
        The service refuses to answer.

    Notes
    -----
    Source: api (SearchImageByName; the rate is the instance's Qps). Reasons are our own judgement, each based on
    evidence beyond the ranking: the image's facts, its region read in the other order, near-duplicates by perceptual
    hash, and the search with the category. No reason is claimed if images find themselves no more often than by chance.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> built = shop.build(shop.load().head(20), progress=False)
    >>> with ip.Sandbox(task_seconds=0, throttle=False) as sandbox:
    ...     settings = sandbox.settings.with_(project=shop.work)
    ...     _ = ip.upload(built.folder, None, settings, progress=False)
    ...     run = ip.submit(built.folder, settings, runs=settings.runs, progress=False).follow(progress=False)
    ...     found = findability(run, settings, progress=False)
    >>> found.images["rank_category"].unique().tolist()
    [1]
    """
    settings, clock = settings_of(settings), clock or SystemClock()
    own = runs_of([runs] if isinstance(runs, Run) else list(runs), settings)
    chosen, facts = sampled_images(own, settings, sample=sample, by=by)
    digest = questions_digest(chosen[[*_KEY, "CategoryId"]], own)
    check = start_check(settings.work / SEARCHES, settings, digest, clock.time())
    service = ImageSearch(settings, clock=clock)
    kept = [key in check.answers for key in chosen[_KEY].itertuples(index=False, name=None)]
    require_confirmed("findability", requests_for(chosen[~np.array(kept)]), service.searches_per_second(), confirm)
    answers = _search(service, chosen, check, progress=progress)
    meaningful = _beats_chance(answers, chosen, len(chosen))
    images = _explained(chosen, answers, facts, meaningful)
    found = Findability(images, _pairs(images), meaningful, settings.gallery, sandbox_note(settings))
    check.finish(found.sentence)
    _keep(found, settings.work / SEARCHES, datetime.fromtimestamp(clock.time(), UTC))
    return found


def _keep(found: Findability, folder: Path, at: datetime) -> None:
    kept = found.images[[*_KEY, "CategoryId", "rank", "rank_category", "problem"]]
    with replacing(folder / f"{at:%Y-%m-%dT%H%M%SZ}.parquet") as draft:
        detached(kept.assign(gallery=found.gallery, note=found.note)).to_parquet(draft, index=False)


def last_search(work: Path, gallery: str, start: datetime, end: datetime) -> pd.DataFrame | None:
    """Return the images of a project's last search in `gallery` from `start` until `end`; its note is in ``.attrs``."""
    for file in sorted((work / SEARCHES).glob("*.parquet"), reverse=True):
        if not f"{start:%Y-%m-%d}" <= file.name < f"{end:%Y-%m-%d}":
            continue
        try:
            images = pd.read_parquet(file)
            if images["gallery"].eq(gallery).all():
                images.attrs["note"] = images["note"].iloc[0]
                return images
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise ConfigError(f"{file}: is not a saved search: {error}; move it elsewhere, and search again") from error
    return None


def requests_for(chosen: pd.DataFrame) -> int:
    """Return the number of requests for a sample."""
    return len(chosen) + int(chosen["CategoryId"].notna().sum())


def sampled_images(
    runs: Run | Iterable[Run], settings: Settings, *, sample: int = SAMPLE, by: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images to search with, described by facts and the export, and the facts of every image held."""
    own = runs_of([runs] if isinstance(runs, Run) else list(runs), settings)
    state = gallery_state(own, of=settings, checks=saved_checks(settings))
    held = state[state["state"] == HELD].reset_index(drop=True)
    if held.empty or sample < 1:
        why = "sample must be 1 or more" if sample < 1 else f"{settings.gallery} holds no image in the given runs"
        raise ConfigError(f"findability: {why}")
    if settings.service in FORCING:
        held["CategoryId"] = pd.NA
    described, facts = _described(held, own)
    if by is not None and by not in described.columns:
        known = ", ".join(map(str, described.columns))
        raise ConfigError(f"findability: by={by!r} is not a column of the runs' exports or images; known: {known}")
    groups = described[by].astype("str").fillna("") if by else pd.Series("", described.index)
    draw = random.Random(0)  # noqa: S311  the same call searches with the same images
    products: dict[str, dict[str, None]] = {}
    for value, product in zip(groups, described["ProductId"], strict=True):
        products.setdefault(value, {}).setdefault(product)
    queues = [draw.sample(list(each), len(each)) for _, each in sorted(products.items())]
    sizes, drawn, count = described["ProductId"].value_counts(), [], 0
    while count < sample and any(queues):
        for queue in queues:
            if queue and count < sample:
                drawn.append(queue.pop())
                count += int(sizes[drawn[-1]])
    return described[described["ProductId"].isin(drawn)].reset_index(drop=True), facts


def _described(held: pd.DataFrame, runs: list[Run]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add each image's region state, facts, and columns of the export from the run that imported it."""
    state = pd.Series(str(RegionState.SERVICE), held.index).mask(held["Region"].notna(), str(RegionState.REGION))
    whole = held["Crop"].eq(False).fillna(value=False) & held["Region"].isna()
    held = held.assign(region=state.mask(whole, str(RegionState.WHOLE)))
    facts = pd.concat([run.facts for run in runs], ignore_index=True).drop_duplicates("PicName", keep="last")
    facts = facts[facts["PicName"].isin(held["PicName"])].reset_index(drop=True)
    rows = []
    for run in runs:
        if "row" in run.batch.columns and "row" in run.catalogue.columns:
            sent = run.batch[[*_KEY, "row"]].dropna().assign(run=run.id)
            extra = [name for name in run.catalogue.columns if name not in (*held.columns, *facts.columns)]
            rows.append(sent.merge(run.catalogue[["row", *(name for name in extra if name != "row")]], on="row"))
    columns = ["ProductId", "PicName", "CategoryId", "Region", "region", "run"]
    shown = held[columns].merge(
        facts[["PicName", *(name for name in _FACTS if name in facts)]], on="PicName", how="left"
    )
    if rows:
        export = pd.concat(rows, ignore_index=True).drop_duplicates([*_KEY, "run"], keep="last")
        shown = shown.merge(export, on=[*_KEY, "run"], how="left")
    return shown, facts


@dataclass(frozen=True, slots=True)
class _Answers:
    """The searches with one image: without a category, and with the one it was added with."""

    plain: Found | None
    given: Found | None

    @property
    def best(self) -> Found | None:
        return self.given or self.plain

    @classmethod
    def kept(cls, record: Mapping[str, Any] | None) -> _Answers:
        """Return the answers from a file of them."""
        return cls(*(_found((record or {}).get(way)) for way in ("plain", "given")))


def _found(kept: Mapping[str, Any] | None) -> Found | None:
    if kept is None:
        return None
    lists = {"hits": tuple(Hit(**hit) for hit in kept["hits"]), "subjects": tuple(kept["subjects"])}
    return Found(**{**kept, **lists})


def _search(service: ImageSearch, chosen: pd.DataFrame, check: Check, *, progress: bool) -> list[_Answers]:
    """Search with each image that has no answer yet; keep the answers as they arrive."""
    from tqdm.auto import tqdm  # noqa: PLC0415

    rows = records(chosen[[*_KEY, "CategoryId"]])
    left = [row for row in rows if (row["ProductId"], row["PicName"]) not in check.answers]
    with tqdm(
        total=len(rows), initial=len(rows) - len(left), disable=not shows(progress), unit="image", desc="search"
    ) as bar:
        for row in left:
            product, name, category = row["ProductId"], row["PicName"], row["CategoryId"]
            plain = service.search_by_name(product, name, count=RESULTS)
            given = None
            if plain is not None and category is not None:
                given = service.search_by_name(product, name, category=int(category), count=RESULTS)
            check.add((product, name), asdict(_Answers(plain, given)))
            bar.update()
    return [_Answers.kept(check.answers[row["ProductId"], row["PicName"]]) for row in rows]


def _beats_chance(answers: list[_Answers], chosen: pd.DataFrame, size: int) -> bool:
    """Return whether images find themselves first more often than in a random order."""
    chances, first = [], 0
    for answer, key in zip(answers, chosen[_KEY].itertuples(index=False, name=None), strict=True):
        if answer.best is not None:
            chances.append(1 / max(1, answer.best.matching or size))
            first += answer.best.place(*key) == 1
    if not chances or all(chance == 1 for chance in chances):
        return True  # nothing else could have been found
    counts = np.array([1.0])  # the distribution of the number of images that are first by chance
    for chance in chances:
        counts = np.convolve(counts, [1 - chance, chance])
    return float(counts[first:].sum()) < CHANCE


def _measured(
    chosen: pd.DataFrame, answers: list[_Answers], ignored: Collection[tuple[str, str]] = ()
) -> list[dict[str, Any]]:
    """Return ranks, recall and what was found instead for each image; `ignored` are not counted as siblings."""
    families: dict[str, set[str]] = {}
    for product, name in chosen[_KEY].itertuples(index=False, name=None):
        families.setdefault(product, set()).add(name)
    rows: list[dict[str, Any]] = []
    for (product, name), answer in zip(chosen[_KEY].itertuples(index=False, name=None), answers, strict=True):
        siblings = {other for other in families[product] if other != name and (product, other) not in ignored}
        hits = answer.best.hits if answer.best else ()
        own = {hit.pic_name: at for at, hit in enumerate(hits) if hit.product_id == product}
        found, room = siblings & own.keys(), min(len(siblings), RESULTS - 1)
        complete = name in own and len(found) >= room
        last = max((own[other] for other in (*found, name)), default=0) if complete else len(hits)
        before = [hit for hit in hits[:last] if hit.product_id != product]
        rows.append({
            "rank": answer.plain.place(product, name) if answer.plain else None,
            "rank_category": answer.given.place(product, name) if answer.given else None,
            "siblings": len(siblings),
            "recall": len(found) / room if room else None,
            "complete": complete,
            "before": list(dict.fromkeys(hit.product_id for hit in before)),
            "instead": [hit.pic_name for hit in before][:3],
        })  # fmt: skip
    return rows


def _explained(chosen: pd.DataFrame, answers: list[_Answers], facts: pd.DataFrame, meaningful: bool) -> pd.DataFrame:
    """Add ranks, whether each image has a problem, and its reason."""
    rows, keys = records(chosen), list(chosen[_KEY].itertuples(index=False, name=None))
    plain = dict(zip(facts["PicName"], facts["entropy"].lt(PLAIN), strict=True)) if "entropy" in facts else {}
    measured = _measured(chosen, answers)
    reasons = {}  # includes images that make their siblings harder to find
    for row, key, answer, ranks in zip(rows, keys, answers, measured, strict=True):
        if answer.plain is None:
            reasons[key] = LOST
        elif meaningful and _has_problem(answer, ranks):
            if plain.get(row["PicName"]):
                reasons[key] = BLANK
            elif _is_swapped(row["Region"], answer.best):
                reasons[key] = SWAPPED
    alike = _alike(facts) if meaningful else {}
    products = {str(product): set(names) for product, names in chosen.groupby("ProductId")["PicName"]}
    others = _measured(chosen, answers, reasons)
    for at, (row, key, answer) in enumerate(zip(rows, keys, answers, strict=True)):
        if key not in reasons and _has_problem(answer, others[at]):
            ranks = measured[at] | {name: others[at][name] for name in ("before", "instead")}
            measured[at] = ranks
            if meaningful and _needs_category(answer, ranks):
                reasons[key] = NO_CATEGORY
            elif any(_twins(row["PicName"], _images_of(it, products, answer.best), alike) for it in ranks["before"]):
                reasons[key] = TWIN
            else:
                reasons[key] = UNEXPLAINED
    kinds = {"rank": "Int64", "rank_category": "Int64", "siblings": "Int64", "recall": "Float64"}
    images = chosen.join(pd.DataFrame(measured, index=chosen.index).drop(columns="complete").astype(kinds))
    images = images.assign(problem=[key in reasons for key in keys], reason=[reasons.get(key, "") for key in keys])
    images["remedy"] = images["reason"].map(REMEDIES).where(images["problem"], "")
    front = [*_KEY, "CategoryId", "region", "rank", "rank_category", "siblings", "recall", "before", "instead"]
    front += ["problem", "reason", "remedy"]
    return images[[*front, *(name for name in images.columns if name not in front)]]


def _has_problem(answer: _Answers, ranks: Mapping[str, Any]) -> bool:
    best = ranks["rank"] if answer.given is None else ranks["rank_category"]
    return best != 1 or not ranks["complete"] or bool(ranks["before"]) or _needs_category(answer, ranks)


def _needs_category(answer: _Answers, ranks: Mapping[str, Any]) -> bool:
    return answer.given is not None and ranks["rank"] is None and ranks["rank_category"] is not None


def _alike(facts: pd.DataFrame) -> Mapping[str, int]:
    """Return the group of near-duplicates for each image that has near-duplicates."""
    if not {"phash", "pixels", "entropy"} <= set(facts.columns):
        return {}
    groups = find_duplicates(facts)
    return dict(zip(groups["PicName"], groups["group"], strict=True))


def _images_of(product: str, products: Mapping[str, set[str]], answer: Found | None) -> set[str]:
    found = {hit.pic_name for hit in (answer.hits if answer else ()) if hit.product_id == product}
    return found | products.get(product, set())


def _twins(name: str, others: set[str], alike: Mapping[str, int]) -> bool:
    return name in others or (name in alike and any(alike.get(other) == alike[name] for other in others))


def _is_swapped(wire: str | None, answer: Found | None) -> bool:
    """Return whether the region fits a subject that the service detects only if read as x1,y1,x2,y2."""
    if wire is None or answer is None:
        return False
    try:
        drawn = Region.from_wire(wire)
        other = Region(**reordered(named_edges(wire)))
        subjects = [Region.from_wire(text) for text in answer.subjects]
    except RegionError:
        return False
    fits = [(other.iou(subject), drawn.iou(subject)) for subject in subjects]
    return any(swapped >= _FITS and swapped - as_it_is >= _BETTER for swapped, as_it_is in fits)


def _pairs(images: pd.DataFrame) -> pd.DataFrame:
    times = Counter(
        (row["ProductId"], other, row["reason"])
        for row in records(images[images["problem"]])
        for other in row["before"]
    )
    rows = [(product, other, count, reason) for (product, other, reason), count in times.items()]
    frame = pd.DataFrame(rows, columns=["ProductId", "other", "times", "reason"])
    return frame.sort_values(["times", "ProductId", "other"], ascending=[False, True, True], ignore_index=True)
