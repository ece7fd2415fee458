"""Before sending a batch: count what the gallery loses, and estimate the cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.fields import Operation
from imgprep.core.frames import returns_table, to_polars
from imgprep.core.language import Texts, texts
from imgprep.core.text import counted, percent
from imgprep.load.left_out import LEFT_OUT_REASONS, left_out
from imgprep.look.rules.book import titles
from imgprep.plan.compare import known_rows
from imgprep.plan.model import NOT_HELD, Plan

#: Share of the gallery's images above which a loss must be confirmed with the instance's name.
LOSS_THRESHOLD = 0.05

#: Images per second. Source: the vendor's quotas ("adds 5/s (1/s on the smallest), deletes 20/s").
ADDS_PER_SECOND = 5.0
ADDS_PER_SECOND_SMALLEST = 1.0
DELETES_PER_SECOND = 20.0
VENDORS_QUOTA = "vendor's quota"
#: The smallest capacity step, in images. Source: the vendor's quotas.
SMALLEST_CAPACITY = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """The images and products that a plan deletes from the gallery."""

    images: int
    products: int  #: products that lose their last image
    held: int  #: images that the gallery is known to hold
    threshold: float = LOSS_THRESHOLD  #: share above which the loss must be confirmed

    @property
    def share(self) -> float:
        """Lost share of the images held, 0 to 1; 1 if images are lost and the gallery's state is unknown."""
        if not self.images:
            return 0.0
        return min(self.images / self.held, 1.0) if self.held else 1.0

    @property
    def needs_confirmation(self) -> bool:
        """Whether the loss is above the threshold."""
        return self.share > self.threshold

    def require(self, instance: str, confirm: str | None = None) -> None:
        """Raise ConfigError unless the loss is small or `confirm` is the instance's name."""
        if self.needs_confirmation and (not instance or confirm != instance):
            raise ConfigError(
                f"{self}; to continue, confirm with the name of the instance: {instance!r} (confirm=, --confirm)"
            )

    def __str__(self) -> str:
        of = f"{percent(self.share, 1)} of {self.held:,} held" if self.held else "of an unknown number"
        lose = "loses its" if self.products == 1 else "lose their"
        products = f"{counted(self.products, 'product')} {lose} last one"
        return f"the batch deletes {counted(self.images, 'image')} ({of}), and {products}"


def blast_radius(plan: Plan, known: pd.DataFrame | None, *, threshold: float = LOSS_THRESHOLD) -> BlastRadius:
    """Count what `plan` deletes from the gallery.

    Examples
    --------
    >>> import pandas as pd
    >>> from imgprep.plan.make import plan_batch
    >>> known = pd.DataFrame({"ProductId": ["1", "2"], "PicName": ["a.jpg", "b.jpg"], "state": ["held", "held"]})
    >>> shop = pd.DataFrame({"ProductId": ["1"], "PicName": ["a.jpg"], "CustomContent": ["k:v"]})
    >>> print(blast_radius(plan_batch(shop, known=known, delete_missing=True), known))
    the batch deletes 1 image (50.0% of 2 held), and 1 product loses its last one
    """
    held = known_rows(known).select("ProductId", "PicName", "state")
    batch = to_polars(plan.batch, ["OperationType", "ProductId", "PicName"])
    deletes = batch.filter(pl.col("OperationType") == Operation.DELETE.value)
    if not deletes.height:
        return BlastRadius(images=0, products=0, held=held.height, threshold=threshold)
    whole = deletes.filter(pl.col("PicName").is_null()).select("ProductId")
    lost = pl.concat(
        [
            held.join(whole, on="ProductId", how="semi"),
            held.join(deletes, on=["ProductId", "PicName"], how="semi"),
        ]
    ).unique()
    # A DELETE of an image in no run or dump counts as one lost image, as the gallery may hold it.
    unseen = deletes.join(lost, on="ProductId", how="anti").height
    left = held.join(lost, on=["ProductId", "PicName"], how="anti").select("ProductId").unique()
    adds = batch.filter(pl.col("OperationType") == Operation.ADD.value).select("ProductId").unique()
    gone = (
        lost.select("ProductId").unique().join(left, on="ProductId", how="anti").join(adds, on="ProductId", how="anti")
    )
    return BlastRadius(images=lost.height + unseen, products=gone.height, held=held.height, threshold=threshold)


def excluded_note(reasons: pd.Series, rows: int, limits: Mapping[str, float]) -> str | None:
    """Return a note that the export is probably broken if many rows are excluded, otherwise None.

    `reasons` has one string per excluded row; `rows` is the number of wanted rows; `limits` has ``excluded_share``
    and ``excluded_rows``.
    """
    reasons = reasons[~reasons.isin(LEFT_OUT_REASONS)]
    count = len(reasons)
    if count < limits["excluded_rows"] or count <= limits["excluded_share"] * rows:
        return None
    reason, most = next(iter(reasons.value_counts().items()))
    return (
        f"{count:,} of {counted(rows, 'row')} ({percent(count / rows)}) of the export are excluded; the most common "
        f"reason: {titles(str(reason), texts())} ({counted(most, 'row')}). Such an export is usually broken: check "
        "that the export and the image folder are complete"
    )


def require_few_excluded(
    reasons: pd.Series, catalogue: pd.DataFrame, limits: Mapping[str, float], confirm_rows: int | None = None
) -> None:
    """Raise ConfigError if `excluded_note` returns a note, unless the catalogue's number of rows was confirmed."""
    note = excluded_note(reasons, int(left_out(catalogue).isna().sum()), limits)
    if note is not None and confirm_rows != len(catalogue):
        rows = f"{len(catalogue)} (confirm_rows=, --confirm-rows)"
        raise ConfigError(f"{note}; if that is intended, confirm the number of rows in the export: {rows}")


@returns_table
def estimate(
    plan: Plan,
    facts: pd.DataFrame | None = None,
    *,
    capacity: int | None = None,
    held: int | None = None,
    durations: pd.DataFrame | None = None,
    uploads_per_second: float | None = None,
    adds_per_second: float | None = None,
    deletes_per_second: float | None = None,
) -> pd.DataFrame:
    """Estimate the lines, bytes, requests and time of `plan`.

    Parameters
    ----------
    plan : Plan
        From `plan_batch`.
    facts : pandas.DataFrame, optional
        Facts about the images as they will be sent, which provide their sizes.
    capacity : int, optional
        Number of images that the instance can hold (`Detail` states it in units of 10,000).
    held : int, optional
        Number of images that it holds now.
    durations : pandas.DataFrame, optional
        Durations of earlier runs, from `tally_durations`; times are then also estimated from their rates.
    uploads_per_second, adds_per_second, deletes_per_second : float, optional
        Known rates; by default the vendor's quotas for adding and deleting, and none for uploading.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``value``, ``unit``, ``basis``: images, bytes, requests, seconds. An unknown value is NA.

    Notes
    -----
    Source: the vendor's quotas (5 ADDs per second, 1 on the smallest instances, 20 DELETEs).

    Examples
    --------
    >>> import pandas as pd
    >>> from imgprep.plan.make import plan_batch
    >>> shop = pd.DataFrame({"ProductId": ["1"], "PicName": ["a.jpg"], "CustomContent": ["k:v"]})
    >>> estimate(plan_batch(shop))[["what", "value", "unit"]].head(3).values.tolist()
    [['add', 1.0, 'lines'], ['delete', 0.0, 'lines'], ['upload', 1.0, 'images']]
    """
    batch = plan.batch
    adds = batch[batch["OperationType"] == Operation.ADD]
    deletes = len(batch) - len(adds)
    files = adds["file"].drop_duplicates()
    size: float | None = None
    sized = "needs facts"
    if facts is not None and "bytes" in facts.columns:
        sizes = facts.drop_duplicates("PicName").set_index("PicName")["bytes"].reindex(files)
        lacking = int(sizes.isna().sum())
        if lacking < len(sizes) or not len(sizes):  # if no size is known, the total is NA, not 0 bytes
            size = float(sizes.sum())
            sized = f"counted, without {lacking:,} of unknown size" if lacking else "counted"
    small = capacity is not None and capacity <= SMALLEST_CAPACITY
    vendor = ADDS_PER_SECOND_SMALLEST if small else ADDS_PER_SECOND
    add_rate = adds_per_second or vendor
    delete_rate = deletes_per_second or DELETES_PER_SECOND
    new = int(adds["reason"].isin(NOT_HELD).sum())
    own, theirs, exact = "your rate", VENDORS_QUOTA, "counted"
    rows: list[tuple[str, float | None, str, str]] = [
        ("add", len(adds), "lines", exact),
        ("delete", deletes, "lines", exact),
        ("upload", len(files), "images", exact),
        ("upload", size, "bytes", sized),
        # A PUT per image and one for increment.meta, each verified by a HEAD.
        ("requests", 2 * (len(files) + 1), "requests", "a PUT and a HEAD each, increment.meta included"),
        (
            "upload",
            len(files) / uploads_per_second if uploads_per_second else None,
            "seconds",
            own if uploads_per_second else "needs a rate",
        ),
        ("import", len(adds) / add_rate + deletes / delete_rate, "seconds", own if adds_per_second else theirs),
    ]
    if durations is not None:
        unit, amount = ("images", len(files)) if size is None else ("bytes", size)
        rows.append(("upload", *_as_before(amount, durations, unit, "upload_seconds")))
        rows.append(("import", *_as_before(len(batch), durations, "lines", "seconds")))
    if capacity is not None and held is not None:
        rows.append(("room left", capacity - held - new, "images", exact))
    table = pd.DataFrame(rows, columns=["what", "value", "unit", "basis"])
    return table.astype({"what": "str", "value": "Float64", "unit": "str", "basis": "str"})


def _as_before(amount: float, durations: pd.DataFrame, unit: str, seconds: str) -> tuple[float | None, str, str]:
    """Return value, unit and basis: the seconds for `amount` at the rate of earlier runs."""
    timed = durations[(durations[seconds] > 0) & durations[unit].notna()]
    rate = timed[unit].sum() / timed[seconds].sum() if len(timed) else 0
    value = amount / rate if rate else None
    gallery = durations.attrs.get("gallery")
    return value, "seconds", counted(len(timed), "earlier run") + (f" of {gallery}" if len(timed) and gallery else "")


def estimate_sentence(table: pd.DataFrame, t: Texts | None = None) -> str:
    """Return the table of `estimate` in words.

    Examples
    --------
    >>> import pandas as pd
    >>> from imgprep.plan.make import plan_batch
    >>> shop = pd.DataFrame({"ProductId": ["1"], "PicName": ["a.jpg"], "CustomContent": ["k:v"]})
    >>> estimate_sentence(estimate(plan_batch(shop)))
    "1 image to upload; 1 line to add, 0 to delete: about 1 second by the vendor's quota"
    """
    t = t or texts()
    first = table.drop_duplicates(["what", "unit"]).set_index(["what", "unit"])["value"]
    size = first["upload", "bytes"]
    of = "" if pd.isna(size) else f" ({max(1, round(size / 1000)):,} kB)"
    times = table[(table["what"] == "import") & table["value"].notna()]
    took = [
        t(
            "{time} by the vendor's quota" if basis == VENDORS_QUOTA else "{time} by your rate",
            time=_lasting(value, t),
        )
        for value, basis in times[["value", "basis"]].values
    ]
    return t(
        "{images} to upload; {lines} to add, {deleted} to delete: about {time}",
        images=t.counted(int(first["upload", "images"]), "image") + of,
        lines=t.counted(int(first["add", "lines"]), "line"),
        deleted=f"{int(first['delete', 'lines']):,}",
        time=t(" or ").join(took),
    )


#: Unit of a duration → seconds.
_UNITS = {"day": 86_400, "hour": 3_600, "minute": 60}


def _lasting(seconds: float, t: Texts) -> str:
    """Return a duration in a fitting unit."""
    for unit, size in _UNITS.items():
        if seconds >= 2 * size:
            return t.counted(round(seconds / size), unit)
    return t.counted(max(1, round(seconds)), "second")
