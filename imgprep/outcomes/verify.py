"""Verify the gallery: ask about a sample of the images that it should hold, and settle unknown lines."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from imgprep.cloud.imagesearch import ImageSearch
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.errors import ConfigError
from imgprep.core.fields import FORCED_CATEGORY, Operation
from imgprep.core.frames import records, show_fields_as_tables
from imgprep.core.language import display_language, texts
from imgprep.core.notebook import shows
from imgprep.core.settings import HasSettings, Settings, settings_of
from imgprep.core.text import percent
from imgprep.outcomes.asking import questions_digest, require_confirmed
from imgprep.ship.checks import RECORDED, Check, checks_folder, saved_checks, start_check
from imgprep.ship.gallery import HELD, KEY, UNKNOWN, gallery_state, runs_of
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run

#: Confidence of intervals, and the share of wrong images that a sample detects with this confidence.
CONFIDENCE, MARGIN = 0.95, 0.01
AS_SENT, NOT_THERE, OTHER_RECORD = "there as sent", "not there", "there with another record"
GONE, STILL_THERE = "deleted", "deleted but there"

_KEY = list(KEY)
#: The service fills in these fields if a line omits them.
_FILLED_IN = ("CategoryId", "Crop", "Region")


@dataclass(frozen=True, repr=False)
class Verification:
    """What the gallery answered about images, compared with what the runs say.

    Attributes
    ----------
    asked : pandas.DataFrame
        One row per image: ``ProductId, PicName, state`` (by the runs: ``held``, ``unknown``, ``deleted``), ``answer``
        (``there as sent``, ``not there``, ``there with another record``, ``deleted``, ``deleted but there``),
        ``fields`` (those that differ), ``run``.
    differences : pandas.DataFrame
        ``ProductId, PicName, difference, field, sent, there``, as from `reconcile`.
    settled : pandas.DataFrame
        ``run, line, outcome, message``: unknown lines whose outcome the answers show.
    images : int
        Number of images that the runs say are held.
    interval : tuple of float
        Share of these images, 0 to 1, that are there as sent: lower and upper limit of the confidence interval.
    sentence : str
        The result in words.
    at : str
        When the gallery was asked (ISO 8601, UTC).
    file : Path
        The answers; `gallery_state` and ``build --known`` use them.
    """

    asked: pd.DataFrame
    differences: pd.DataFrame
    settled: pd.DataFrame
    images: int
    interval: tuple[float, float]
    sentence: str
    at: str
    file: Path

    def __post_init__(self) -> None:
        show_fields_as_tables(self)

    def __repr__(self) -> str:
        return f"Verification({self.sentence})"


def verify_gallery(
    runs: Run | Iterable[Run],
    settings: HasSettings | Settings,
    *,
    sample: int | Literal["all"] | None = None,
    confidence: float = CONFIDENCE,
    margin: float = MARGIN,
    deleted: pd.DataFrame | None = None,
    into: str | os.PathLike[str] | None = None,
    confirm: int | None = None,
    progress: bool = True,
    clock: Clock | None = None,
) -> Verification:
    """Ask the gallery whether it holds images as sent (CheckImageExists), and settle lines whose outcome is unknown.

    A random sample of the images that the runs say are held is checked, and every image whose state is unknown. The
    gallery is not changed. Answers are saved as they arrive in the project's work folder: an interrupted call is
    resumed by repeating it. From then on, the project's plans, traces and reviews use them, as they use an export.

    Parameters
    ----------
    runs : Run or iterable of Run
        Every run of the instance.
    settings : Project or Settings
        The instance to ask.
    sample : int or "all", optional
        Number of held images to ask about; default: the smallest number that, with `confidence`, contains an image that
        is not there as sent if at least `margin` of all are not.
    confidence : float
        Confidence of the sample size and of the interval, 0 to 1.
    margin : float
        See `sample`, 0 to 1.
    deleted : pandas.DataFrame, optional
        ``ProductId, PicName`` of images that should not be there; the sample is drawn from these, too.
    into : path, optional
        The folder for the answers; default: ``checks/`` in the project's work folder, where plans look for them.
    confirm : int, optional
        The number of requests, to confirm more than 1,000.
    progress : bool
        Show a progress bar.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    Verification

    Raises
    ------
    ConfigError
        No run of this gallery holds or may hold an image, or there are many requests and they are not confirmed.
    ServiceError
        The service refuses to answer; the call can be repeated.

    Notes
    -----
    Source: api (CheckImageExists, whose answer lacks Region and Crop; the rate is the instance's Qps). The interval is
    exact: the shares that a test with the hypergeometric distribution (sampling without replacement) does not reject,
    which is Clopper and Pearson's interval for a finite population.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> built = shop.build(shop.load().head(20), progress=False)
    >>> with ip.Sandbox(task_seconds=0) as sandbox:
    ...     settings = sandbox.settings.with_(project=shop.work)
    ...     _ = ip.upload(built.folder, None, settings, progress=False)
    ...     run = ip.submit(built.folder, settings, runs=settings.runs, progress=False).follow(progress=False)
    ...     verify_gallery(run, settings, sample="all", progress=False)
    Verification(all 20 images were checked; there as sent: 20)
    """
    settings, clock = settings_of(settings), clock or SystemClock()
    own = runs_of([runs] if isinstance(runs, Run) else list(runs), settings)
    wanted, images = _wanted(own, settings, sample, confidence, margin, deleted)
    service = ImageSearch(settings, clock=clock)
    require_confirmed("verify", len(wanted), service.searches_per_second(), confirm)
    folder = checks_folder(settings) if into is None else Path(into)
    check = start_check(folder, settings, questions_digest(wanted[[*_KEY, "state"]], own), clock.time())
    _ask(service, wanted, check, progress=progress)
    asked, differences = _compared(wanted, check)
    settled = _settled(own, settings, check, clock)
    kept = asked["state"].eq(HELD)
    good = int((kept & asked["answer"].eq(AS_SENT)).sum())
    interval = share_interval(good, int(kept.sum()), images, confidence)
    sentence = _sentence(asked, len(settled), images, interval, confidence)
    check.finish(sentence)
    at = check.at.isoformat(timespec="seconds")
    return Verification(asked, differences, settled, images, interval, sentence, at, check.file)


def verify_requests(
    runs: Iterable[Run],
    settings: HasSettings | Settings,
    *,
    sample: int | Literal["all"] | None = None,
    confidence: float = CONFIDENCE,
    margin: float = MARGIN,
) -> int:
    """Return the number of requests that `verify_gallery` would make."""
    settings = settings_of(settings)
    return len(_wanted(runs_of(runs, settings), settings, sample, confidence, margin)[0])


def _wanted(  # noqa: PLR0917
    runs: list[Run],
    settings: Settings,
    sample: int | str | None,
    confidence: float,
    margin: float,
    deleted: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, int]:
    """Return the images to ask about, and the number of images held."""
    state = gallery_state(runs, of=settings, checks=saved_checks(settings))
    gone = pd.DataFrame(columns=_KEY) if deleted is None else deleted[_KEY]
    held, doubtful = (state[state["state"] == name] for name in (HELD, UNKNOWN))
    pool = pd.concat([held, gone.assign(state=GONE)], ignore_index=True)
    if pool.empty and doubtful.empty:
        raise ConfigError(f"verify: {settings.gallery} holds no image in the given runs; pass all of its runs")
    count = _count(sample, len(pool), confidence, margin)
    # Seeded, so that a repeated call asks about the same images and can resume.
    chosen = pool.iloc[sorted(random.Random(0).sample(range(len(pool)), count))]  # noqa: S311
    return pd.concat([doubtful, chosen], ignore_index=True), len(held)


def _count(sample: int | str | None, images: int, confidence: float, margin: float) -> int:
    if sample == "all":
        return images
    if sample is None:
        return sample_size(images, confidence=confidence, margin=margin)
    if not isinstance(sample, int) or sample < 0:
        raise ConfigError(f"verify: sample={sample!r} is not a number of images; use a whole number or 'all'")
    return min(sample, images)


def sample_size(images: int, *, confidence: float = CONFIDENCE, margin: float = MARGIN) -> int:
    """Return the smallest sample that contains a wrong image with `confidence` if at least `margin` of all are wrong.

    Examples
    --------
    >>> sample_size(41_200), sample_size(100), sample_size(0)
    (297, 95, 0)
    """
    if not (0 < confidence < 1 and 0 < margin <= 1):
        raise ConfigError(f"verify: confidence={confidence} and margin={margin} must be between 0 and 1")
    wrong = math.ceil(margin * images)
    low, high = 0, images
    while low < high:
        count = (low + high) // 2
        if wrong and _at_most(0, count, wrong, images) <= 1 - confidence + _ROUNDING:
            high = count
        else:
            low = count + 1
    return low


def share_interval(good: int, asked: int, images: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact confidence interval for the share of good images, if `good` of `asked` of all `images` are.

    Examples
    --------
    >>> low, high = share_interval(298, 298, 41_200)
    >>> round(low, 4), high
    (0.9877, 1.0)
    >>> share_interval(5, 5, 5)
    (1.0, 1.0)
    """
    if asked >= images:
        return (good / images, good / images) if images else (1.0, 1.0)
    tail = (1 - confidence) / 2
    low, high = good, images - (asked - good)
    least, most = low, high
    while low < high:  # the smallest number of good images for which this many in the sample are not too unlikely
        middle = (low + high) // 2
        low, high = (low, middle) if 1 - _at_most(good - 1, asked, middle, images) > tail else (middle + 1, high)
    lower, (low, high) = low, (least, most)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _at_most(good, asked, middle, images) > tail else (low, middle - 1)
    return lower / images, low / images


#: Numerical error of the probabilities below, which are sums of exponentials.
_ROUNDING = 1e-9


def _at_most(found: int, drawn: int, marked: int, images: int) -> float:
    """Return the probability that at most `found` of `drawn` of all `images` are among the `marked`."""
    counts = range(max(0, drawn + marked - images), min(found, drawn, marked) + 1)
    total = _log_choose(images, drawn)
    logs = (_log_choose(marked, count) + _log_choose(images - marked, drawn - count) - total for count in counts)
    return min(1.0, math.fsum(map(math.exp, logs)))


def _log_choose(total: int, some: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(some + 1) - math.lgamma(total - some + 1)


def _ask(service: ImageSearch, wanted: pd.DataFrame, check: Check, *, progress: bool) -> None:
    from tqdm.auto import tqdm  # noqa: PLC0415

    keys = [key for key in wanted[_KEY].itertuples(index=False, name=None) if key not in check.answers]
    with tqdm(
        total=len(wanted), initial=len(check.answers), disable=not shows(progress), unit="image", desc="verify"
    ) as bar:
        for key in keys:
            check.add(key, service.image_record(*key))
            bar.update()


def _compared(wanted: pd.DataFrame, check: Check) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images with their answers, and the differences."""
    both = wanted.merge(check.frame(), on=_KEY, suffixes=("", "_there"))
    there = both[both["exists"] & both["state"].ne(GONE)]
    fields = pd.concat([field_differences(there, name) for name in RECORDED], ignore_index=True)
    other = fields[fields["difference"] == "other value"].groupby(_KEY)["field"].agg(", ".join).rename("fields")
    asked = both[[*_KEY, "state", "exists", "run"]].merge(other.reset_index(), on=_KEY, how="left")
    answer = pd.Series(AS_SENT, asked.index).mask(asked["fields"].notna(), OTHER_RECORD)
    answer = answer.mask(~asked["exists"], NOT_THERE)
    answer = answer.mask(asked["state"].eq(GONE), asked["exists"].map({True: STILL_THERE, False: GONE}))
    asked = asked.assign(answer=answer)
    missing = asked[asked["state"].eq(HELD) & ~asked["exists"]]
    still = asked[asked["answer"].eq(STILL_THERE)]
    parts = [missing.assign(difference="imported but not there"), still.assign(difference=STILL_THERE), fields]
    differences = pd.concat(parts, ignore_index=True).reindex(columns=[*_KEY, "difference", "field", "sent", "there"])
    held = asked.loc[asked["state"].ne(UNKNOWN), _KEY]
    differences = differences.merge(held, on=_KEY).sort_values(["difference", *_KEY, "field"], ignore_index=True)
    order = asked["answer"].map({NOT_THERE: 0, STILL_THERE: 1, OTHER_RECORD: 2}).fillna(3)
    asked = asked.assign(order=order).sort_values(["order", *_KEY], ignore_index=True)
    return asked[[*_KEY, "state", "answer", "fields", "run"]], differences


def field_differences(both: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows whose field differs from the gallery's, in column ``NAME_there``."""
    sent, there = (both[column].astype("str") for column in (name, f"{name}_there"))
    differs = sent.fillna("") != there.fillna("")
    if name == "CategoryId":
        differs &= ~(sent.notna() & there.eq(str(FORCED_CATEGORY)))
    difference = pd.Series("other value", index=both.index)
    if name in _FILLED_IN:
        filled = sent.isna() & there.notna()
        difference = difference.mask(filled, "predicted")
        if name != "CategoryId":
            differs &= ~filled
    found = both.loc[differs, _KEY].assign(difference=difference[differs], field=name)
    return found.assign(sent=sent[differs], there=there[differs])


# Lines whose outcome is unknown


def _settled(runs: list[Run], settings: Settings, check: Check, clock: Clock) -> pd.DataFrame:
    """Settle what the answers show about the unknown lines of ended runs; return those lines."""
    parts = []
    when = f"{check.at:%Y-%m-%d %H:%M} UTC"
    for run in sorted(runs, key=lambda run: run.sort_key):
        unknown = run.batch[run.outcome["outcome"].eq(Outcome.UNKNOWN).to_numpy()] if run.ended else pd.DataFrame()
        if unknown.empty or run.in_doubt:
            continue
        newest = gallery_state(runs, of=settings).query("state == @UNKNOWN and run == @run.id")
        before = gallery_state(runs, of=settings, before=run, checks=saved_checks(settings))
        found = _outcomes(run.batch, unknown, newest, before, check).assign(run=run.id)
        found["message"] = found["outcome"].map(_SHOWN) + f", asked {when}"
        if run.settle_lines(found, why=f"the gallery was queried, {check.file.name}", clock=clock):
            parts.append(found)
    columns = ["run", "line", "outcome", "message"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


_SHOWN = {
    str(Outcome.IMPORTED): "the gallery holds it as sent",
    str(Outcome.DELETED): "the gallery no longer holds it",
    str(Outcome.FAILED): "the gallery does not show its effect",
}


def _outcomes(
    batch: pd.DataFrame, unknown: pd.DataFrame, newest: pd.DataFrame, before: pd.DataFrame, check: Check
) -> pd.DataFrame:
    """Return ``line, outcome`` for the unknown lines that the answers decide.

    A line that only changed the image leaves the record as it was, and several lines for one image have no known order,
    so neither is decided.
    """
    earlier = {(row["ProductId"], row["PicName"]): row for row in records(before)}
    last = set(newest[_KEY].itertuples(index=False, name=None))
    times = batch.groupby(_KEY, dropna=False)["line"].size()
    rows = []
    for line in records(unknown):
        product, name = line["ProductId"], line["PicName"]
        keys = [key for key in last if key[0] == product] if name is None else [(product, name)]
        if not keys or any(key not in check.answers or key not in last or times.get(key, 1) > 1 for key in keys):
            continue
        there = [check.answers[key] for key in keys]
        outcome = None
        if line["OperationType"] == Operation.DELETE:
            gone = [record is None for record in there]
            outcome = Outcome.DELETED if all(gone) else None if any(gone) else Outcome.FAILED
        elif there[0] is None:
            outcome = Outcome.FAILED
        else:
            as_sent, old = _same(line, there[0]), earlier.get(keys[0])
            as_before = old is not None and _same(old, there[0])
            if as_sent != as_before:
                outcome = Outcome.IMPORTED if as_sent else Outcome.FAILED
        if outcome is not None:
            rows.append({"line": line["line"], "outcome": str(outcome)})
    return pd.DataFrame(rows, columns=["line", "outcome"]).astype({"line": "Int64", "outcome": "str"})


def _same(sent: dict[str, Any], there: dict[str, Any]) -> bool:
    both = pd.DataFrame([{name: sent.get(name) for name in (*_KEY, *RECORDED)}])
    for name in RECORDED:
        both[f"{name}_there"] = [there.get(name)]
    return all(field_differences(both, name)["difference"].ne("other value").all() for name in RECORDED)


# The result in words


def _sentence(asked: pd.DataFrame, settled: int, images: int, interval: tuple[float, float], confidence: float) -> str:
    t = texts(display_language())
    held = asked[asked["state"] == HELD]
    good = int(held["answer"].eq(AS_SENT).sum())
    if len(held) == images:
        held_images = t.counted(images, "image")
        text = t("all {images} were checked; there as sent: {good}", images=held_images, good=f"{good:,}")
    elif held.empty:
        text = t("none of {images} was checked", images=t.counted(images, "image"))
    else:
        text = t(
            "with {confidence}% confidence, between {least} and {most} of {images} are there as sent "
            "({checked} were checked, {different} differ)",
            confidence=f"{100 * confidence:.6g}",
            least=percent(interval[0], 1),
            most=percent(interval[1], 1),
            images=t.counted(images, "image"),
            checked=f"{len(held):,}",
            different=f"{len(held) - good:,}",
        )
    if gone := int(asked["state"].eq(GONE).sum()):
        still = int(asked["answer"].eq(STILL_THERE).sum())
        text += t(
            "; {still} of {images} is still there" if still == 1 else "; {still} of {images} are still there",
            still=f"{still:,}",
            images=t.counted(gone, "deleted image"),
        )
    if doubtful := int(asked["state"].eq(UNKNOWN).sum()):
        there = int((asked["state"].eq(UNKNOWN) & asked["answer"].ne(NOT_THERE)).sum())
        text += t("; of {images}, {there} are there", images=t.counted(doubtful, "unknown image"), there=f"{there:,}")
        text += t(", which settles {lines}", lines=t.counted(settled, "line")) if settled else ""
    return text
