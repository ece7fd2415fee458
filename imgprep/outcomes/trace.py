"""The history of a product in the run folders and the region store: why a search does or does not find it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.cloud.imagesearch import ImageSearch
from imgprep.core.errors import ConfigError
from imgprep.core.fields import PAYLOAD
from imgprep.core.frames import records, show_fields_as_tables
from imgprep.core.language import Texts, display_language, texts
from imgprep.core.regions import Region
from imgprep.core.settings import PROJECT_FILE, HasSettings, Settings, find_project, gallery_name, settings_of
from imgprep.core.text import shown
from imgprep.draw.store import RegionStore
from imgprep.images.storage import exists, open_source
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.outcomes.counting import read_each
from imgprep.ship.checks import read_checks, saved_checks
from imgprep.ship.gallery import gallery_state, own_runs
from imgprep.ship.report.causes import known_to
from imgprep.ship.run import Run, load_runs
from imgprep.show.tables import table_html, translated
from imgprep.show.template import template

_COLUMNS = ["at", "run", "what", "PicName", "detail"]


@dataclass(frozen=True, repr=False)
class Trace:
    """The history of a product; displayed with images in a notebook.

    Attributes
    ----------
    product_id : str
        The product.
    answer : str
        One sentence: which of its images the gallery holds, and why the others are missing.
    events : pandas.DataFrame
        Oldest first: ``at`` (ISO 8601, UTC), ``run``, ``what`` (``exported``, ``excluded``, ``sent``, ``imported``,
        ``deleted``, ``failed``, ``unknown``, ``region``, ``asked``), ``PicName``, ``detail``.
    gallery : pandas.DataFrame
        The product's images that the gallery holds now (columns as in the gallery state).
    images : Path, optional
        The project's folder or zip archive of images.

    Examples
    --------
    >>> ip.trace("001000", runs[0].folder.parent).events["what"].tolist()[:2]
    ['exported', 'sent']
    """

    product_id: str
    answer: str
    events: pd.DataFrame
    gallery: pd.DataFrame
    images: os.PathLike[str] | None

    def __post_init__(self) -> None:
        show_fields_as_tables(self)

    def __repr__(self) -> str:
        return f"Trace({self.product_id}: {self.answer})"

    def _repr_html_(self) -> str:
        table = table_html(self.events, visible=len(self.events))
        return template("trace.html").render(trace=self, table=table, thumbs=self._thumbs())

    def _thumbs(self) -> dict[str, Thumb]:
        if not exists(self.images):
            return {}
        try:
            source = open_source(self.images)
        except ConfigError:  # neither a folder nor an archive: show the history without images
            return {}
        return {name: thumb_of(name, source, side=120) for name in sorted(set(self.events["PicName"].dropna()))}


def trace(product_id: str, project: HasSettings | Settings | str | Path | None = None, *, ask: bool = False) -> Trace:
    """Return everything known about a product: exports, exclusions, lines, regions, failures, images.

    Parameters
    ----------
    product_id : str
        The ProductId, as sent.
    project : Project, Settings or path, optional
        The project, its folder, or a folder of run folders; default: the nearest project. The events cover every
        gallery. The answer covers one gallery, and names it: that of the project's instance or, if the project has no
        instance, that of the newest run.
    ask : bool
        Ask the project's instance about each image of the product now (CheckImageExists), one request per image.

    Returns
    -------
    Trace

    Examples
    --------
    >>> ip.trace("001000", runs[0].folder.parent).answer
    'the gallery demo (sandbox temporary) holds 1 of its images'
    """
    settings, runs = _settings_and_runs(project)
    events = [event for _, part in read_each(runs, lambda run: list(_of_run(run, product_id))) for event in part]
    names = {event["PicName"] for event in events if isinstance(event["PicName"], str)}
    events += _of_regions(settings, product_id, names)
    events += _of_checks(settings, product_id)
    if ask:
        events += (now := list(_asked(settings, product_id, names)))
    frame = pd.DataFrame(events, columns=_COLUMNS).sort_values("at", kind="stable", ignore_index=True)
    ours = own_runs(runs, settings)  # rehearsals are kept beside real runs
    checks = [check for check in read_checks(saved_checks(settings)) if ours and check.gallery == ours[-1].gallery]
    state = gallery_state(ours, checks=[check.file for check in checks])
    held = state[state["ProductId"] == product_id].reset_index(drop=True)
    own = frame[frame["run"].isna() | frame["run"].isin([run.id for run in ours])]
    gallery = ours[-1].gallery if ours else settings.gallery if settings.instance else ""
    others = sorted({run.gallery for run in runs} - {gallery})
    t = texts(settings.language)
    answer = _answer(own, held, gallery if others else gallery_name(gallery), t)
    if others:
        answer = answer if ours else t("nothing was sent to {gallery} yet", gallery=gallery)
        answer += t("; not counted: runs of {galleries}", galleries=", ".join(others))
    if ask:
        there = sum(event["detail"] != _NOT_THERE for event in now)
        asked = {"gallery": settings.gallery, "count": f"{there:,}", "images": t.counted(len(now), "image")}
        answer += t("; queried just now: {gallery} holds {count} of {images}", **asked)
    return Trace(product_id, answer, frame, held, settings.images)


_NOT_THERE = "not in the gallery"


def _of_checks(settings: Settings, product_id: str) -> Iterator[dict[str, Any]]:
    for check in read_checks(saved_checks(settings)):
        for (product, name), record in check.answers.items():
            if product == product_id:
                yield _answered(check.at, name, record)


def _asked(settings: Settings, product_id: str, names: set[str]) -> Iterator[dict[str, Any]]:
    service = ImageSearch(settings)
    for name in sorted(names):
        record = service.image_record(product_id, name)
        yield _answered(datetime.now(UTC), name, record)


def _answered(at: datetime, name: str, record: dict[str, Any] | None) -> dict[str, Any]:
    fields = [f"{field} {shown(value)}" for field, value in (record or {}).items() if field in PAYLOAD]
    detail = _NOT_THERE if record is None else f"held, with {', '.join(fields)}"
    return {"at": at.isoformat(), "run": None, "what": "asked", "PicName": name, "detail": detail}


def _settings_and_runs(project: HasSettings | Settings | str | Path | None) -> tuple[Settings, list[Run]]:
    if isinstance(project, (str, Path)) and not (Path(project) / PROJECT_FILE).exists():
        return Settings(project=Path(project), language=display_language(Path(project))), load_runs(project)
    if project is None or isinstance(project, (str, Path)):
        folder = project or find_project()
        settings = Settings.load(folder) if folder else Settings.from_env()
    else:
        settings = settings_of(project)
    return settings, load_runs(settings.runs)


def _of_run(run: Run, product_id: str) -> Iterator[dict[str, Any]]:
    times = run.times
    planned = times.get("intended") or times.get("made") or run.id
    ended = times.get("ended") or planned
    labels = known_to(run).frame().set_index("cause")["label"].to_dict()

    def own_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
        return records(frame[frame["ProductId"] == product_id]) if "ProductId" in frame.columns else []

    def event(at: str, what: str, row: dict[str, Any], detail: str) -> dict[str, Any]:
        return {"at": at, "run": run.id, "what": what, "PicName": row.get("PicName"), "detail": detail}

    for row in own_rows(run.catalogue):
        yield event(planned, "exported", row, f"row {row['row']} of the export")
    for row in own_rows(run.excluded):
        yield event(planned, "excluded", row, row.get("reason") or "reason not recorded")
    of_export = bool(own_rows(run.catalogue))  # an undo has no export rows
    for row in own_rows(run.batch):
        kept = [name for name in PAYLOAD if row.get(name) is not None and name not in run.catalogue.columns]
        kept = [name for name in kept if name not in ("Region", "Crop")]  # these may come from the region store
        more = f"; kept from the gallery: {', '.join(kept)}" if of_export and kept else ""
        reason = row.get("reason") or "reason not recorded"
        yield event(planned, "sent", row, f"line {row['line']}, {row['OperationType']}: {reason}{more}")
    for row in own_rows(run.outcome):
        # Show a cause without a label by its id.
        parts = [row.get("code"), labels.get(row["cause"], row["cause"]), row.get("message")]
        yield event(ended, row["outcome"], row, " · ".join(str(part) for part in parts if part))


def _of_regions(settings: Settings, product_id: str, names: set[str]) -> Iterator[dict[str, Any]]:
    if not settings.regions.exists():
        return
    with RegionStore(settings.regions, read_only=True) as store:
        history = store.history()
    own = history["PicName"].isin(names) & (history["ProductId"].isna() | history["ProductId"].eq(product_id))
    for row in records(history[own]):
        state = row["state"]
        if state == "region":
            state = Region(x1=row["x1"], y1=row["y1"], x2=row["x2"], y2=row["y2"]).wire()
        detail = f"{state}, {row['how']} by {row['who']}"
        yield {"at": row["at"], "run": None, "what": "region", "PicName": row["PicName"], "detail": detail}


def _answer(events: pd.DataFrame, held: pd.DataFrame, gallery: str, t: Texts) -> str:
    if events.empty:
        return t(
            "no run contains this product: no batch was built from a catalogue with it, or it has a different ProductId"
        )
    there, unknown = (held[held["state"] == state] for state in ("held", "unknown"))
    parts = [t("the gallery {gallery} holds {count} of its images", gallery=gallery, count=f"{len(there):,}")]
    if len(unknown):
        images = t.counted(len(unknown), "more image")
        parts.append(t("{images} may be in the gallery: the outcome is unknown", images=images))
    ends = events[events["what"].isin(["imported", "deleted"])]
    if there.empty and len(ends) and ends["what"].iloc[-1] == "deleted":
        orders = events[(events["what"] == "sent") & (events["run"] == ends["run"].iloc[-1])]
        parts.append(
            f"{t('deleted')}{t(': ')}{translated(orders['detail'].iloc[-1], t)}" if len(orders) else t("deleted")
        )
    missing = events[events["what"].isin(["failed", "excluded"]) & ~events["PicName"].isin(there["PicName"])]
    for name, group in missing.groupby("PicName", dropna=False):
        event, image = group.iloc[-1], name if isinstance(name, str) else t("a row without an image")
        parts.append(f"{image} {t(event['what'])}{t(': ')}{translated(event['detail'], t)}")
    return t("; ").join(parts)
