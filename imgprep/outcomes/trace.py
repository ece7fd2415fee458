"""Why is this product (not) found? Its whole story, out of the run folders and the region store."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.regions import Region
from imgprep.core.settings import Settings
from imgprep.draw.store import RegionStore
from imgprep.images.storage import open_source
from imgprep.images.thumbnails import thumb_of
from imgprep.outcomes.tallies import read_each
from imgprep.ship.gallery import gallery_state, runs_of
from imgprep.ship.report.causes import known_to
from imgprep.ship.run import Run, load_runs

_COLUMNS = ["at", "run", "what", "PicName", "detail"]


@dataclass(frozen=True, repr=False)
class Trace:
    """A product's story.

    Attributes
    ----------
    product_id : str
        The product.
    answer : str
        In one sentence: what the gallery holds of it, and what stands in the way of the rest.
    events : pandas.DataFrame
        Oldest first: ``at`` (ISO 8601, UTC), ``run``, ``what`` (``exported``, ``excluded``, ``sent``, ``imported``,
        ``deleted``, ``failed``, ``unknown``, ``region``), ``PicName``, ``detail``.
    gallery : pandas.DataFrame
        What the gallery holds of it by now (the gallery state's columns).
    images : Path, optional
        Where its pictures are: the project's folder or zip archive.

    Examples
    --------
    >>> import shutil
    >>> from pathlib import Path
    >>> _ = shutil.copytree(runs[0].folder.parent, "imgprep-work/runs")
    >>> ip.trace("001000", ip.Settings(project=Path())).events["what"].tolist()[:2]
    ['exported', 'exported']
    """

    product_id: str
    answer: str
    events: pd.DataFrame
    gallery: pd.DataFrame
    images: Path | None

    def __repr__(self) -> str:
        return f"Trace({self.product_id}: {self.answer})"

    def _repr_html_(self) -> str:
        table = self.events.fillna("").to_html(index=False, escape=True, border=0)
        title = f"<b>{html.escape(self.product_id)}</b>: {html.escape(self.answer)}"
        return f"<div>{title}<div>{''.join(self._figures())}</div>{table}</div>"

    def _figures(self) -> Iterator[str]:
        if self.images is None or not self.images.exists():
            return
        try:
            source = open_source(self.images)
        except ConfigError:  # neither folder nor archive: the story is told without pictures
            return
        for name in sorted(set(self.events["PicName"].dropna())):
            uri = thumb_of(name, source, side=120).uri
            if uri:
                yield f'<figure style="display:inline-block;margin:4px"><img src="{uri}" alt="">'
                yield f"<figcaption>{html.escape(name)}</figcaption></figure>"


def trace(product_id: str, project: Settings | str | Path | None = None) -> Trace:
    """Tell everything that is known of a product: exports, exclusions, lines, regions, failures, pictures.

    Parameters
    ----------
    product_id : str
        The ProductId, as sent.
    project : Settings or path, optional
        The project, its folder, or a folder of run folders; default: the nearest project. Runs of every gallery are
        told; the answer is about the project's own, or where no run went there, the newest run's.

    Returns
    -------
    Trace
        Shows itself in a notebook, with pictures.

    Examples
    --------
    >>> import shutil
    >>> from pathlib import Path
    >>> _ = shutil.copytree(runs[0].folder.parent, "imgprep-work/runs")
    >>> story = ip.trace("001000", ip.Settings(project=Path()))
    >>> story.answer
    'the gallery holds 2 of its pictures'
    """
    from imgprep.shop import open_project  # noqa: PLC0415  which stands beside this module

    folder = Path(project) if isinstance(project, (str, Path)) else None
    if folder is not None and not (folder / "imgprep.toml").exists():
        settings = Settings(project=folder)
        runs = load_runs(folder)
    else:
        settings = project if isinstance(project, Settings) else open_project(folder)
        runs = load_runs(settings.runs)
    events = [event for _, told in read_each(runs, lambda run: list(_of_run(run, product_id))) for event in told]
    names = {event["PicName"] for event in events if isinstance(event["PicName"], str)}
    events += _of_regions(settings, product_id, names)
    frame = pd.DataFrame(events, columns=_COLUMNS).sort_values("at", kind="stable", ignore_index=True)
    # Rehearsals lie beside what was shipped: the project's own gallery is meant, or else that of the newest run.
    ours = runs_of(runs, settings) or (runs_of(runs, runs[-1].sent_to) if runs else [])
    state = gallery_state(ours)
    held = state[state["ProductId"] == product_id].reset_index(drop=True)
    told = frame[frame["run"].isna() | frame["run"].isin([run.id for run in ours])]
    return Trace(product_id, _answer(told, held), frame, held, settings.images)


def _of_run(run: Run, product_id: str) -> Iterator[dict[str, Any]]:
    times = run.times
    planned = times.get("intended") or times.get("made") or run.id
    ended = times.get("ended") or planned

    def mine(frame: pd.DataFrame) -> list[dict[str, Any]]:
        if "ProductId" not in frame.columns:
            return []
        part = frame[frame["ProductId"] == product_id].astype(object)
        return [
            {str(key): value for key, value in row.items()} for row in part.where(part.notna(), None).to_dict("records")
        ]

    for row in mine(run.catalogue):
        detail = f"row {row['row']} of the export"
        yield {"at": planned, "run": run.id, "what": "exported", "PicName": row.get("PicName"), "detail": detail}
    for row in mine(run.excluded):
        yield {"at": planned, "run": run.id, "what": "excluded", "PicName": row.get("PicName"), "detail": row["reason"]}
    for row in mine(run.batch):
        detail = f"line {row['line']}, {row['OperationType']}: {row['reason']}"
        yield {"at": planned, "run": run.id, "what": "sent", "PicName": row["PicName"], "detail": detail}
    labels = known_to(run).frame().set_index("cause")["label"].to_dict()
    for row in mine(run.outcome):
        # A cause that a user taught goes by its own name.
        told = [row.get("code"), labels.get(row["cause"], row["cause"]), row.get("message")]
        detail = " · ".join(str(item) for item in told if item)
        yield {"at": ended, "run": run.id, "what": row["outcome"], "PicName": row["PicName"], "detail": detail}


def _of_regions(settings: Settings, product_id: str, names: set[str]) -> list[dict[str, Any]]:
    if not settings.regions.exists():
        return []
    with RegionStore(settings.regions) as store:
        history = store.history()
    history = history[
        history["PicName"].isin(names) & (history["ProductId"].isna() | history["ProductId"].eq(product_id))
    ]
    events = []
    for row in history.to_dict("records"):
        drawn = row["state"]
        if drawn == "region":
            drawn = Region(x1=row["x1"], y1=row["y1"], x2=row["x2"], y2=row["y2"]).wire()
        detail = f"{drawn}, {row['how']} by {row['who']}"
        events.append({"at": row["at"], "run": None, "what": "region", "PicName": row["PicName"], "detail": detail})
    return events


def _answer(events: pd.DataFrame, held: pd.DataFrame) -> str:
    if events.empty:
        return "no run knows it; it was never in a catalogue that was built, or under another ProductId"
    there = held[held["state"] == "held"]
    open_ = held[held["state"] == "unknown"]
    parts = [f"the gallery holds {len(there)} of its pictures"]
    if len(open_):
        parts.append(f"{len(open_)} are unknown")
    ends = events[events["what"].isin(["imported", "deleted"])]
    if there.empty and len(ends) and ends["what"].iloc[-1] == "deleted":
        order = events[(events["what"] == "sent") & (events["run"] == ends["run"].iloc[-1])]
        parts += [f"deleted: {order['detail'].iloc[-1]}"] if len(order) else ["deleted"]
    last = events[events["what"].isin(["failed", "excluded"]) & ~events["PicName"].isin(there["PicName"])]
    for name, group in last.groupby("PicName", dropna=False):
        event = group.iloc[-1]
        parts.append(f"{name if isinstance(name, str) else 'a row without image'} {event['what']}: {event['detail']}")
    return "; ".join(parts)
