"""`plan_batch` of 1,000,000 wanted rows against 1,000,000 known ones, beside a bare polars join of the two.

A tenth of the rows changed, a hundredth is new, a hundredth gone. The peer finds new, changed and gone keys and writes
no batch, no reasons, no accounts of what stays.
"""

from __future__ import annotations

import resource
import time

import pandas as pd
import polars as pl

from imgprep.core.findings import findings_frame
from imgprep.core.frames import to_pandas
from imgprep.plan.make import plan_batch
from imgprep.plan.split import split_batch

ROWS = 1_000_000
TINY = {"rows": 2_000, "rounds": 1}
FIELDS = ["CategoryId", "IntAttr", "StrAttr", "CustomContent"]


def make(rows: int = ROWS) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return (catalogue, facts, known)."""
    i = pl.col("i")
    base = pl.DataFrame({"i": pl.int_range(rows + rows // 100, eager=True)}).with_columns(
        ProductId=pl.lit("CL-") + (i // 2).cast(pl.String).str.zfill(8),
        PicName=pl.lit("dress_") + i.cast(pl.String).str.zfill(8) + ".jpg",
        CategoryId=i % 10,
        IntAttr=i * 7919 % 99_999,
        StrAttr=pl.lit("brand-") + (i % 500).cast(pl.String),
        CustomContent=pl.lit("title:Summer dress ") + i.cast(pl.String) + ",colour:blue",
        digest=i.hash().cast(pl.String).str.zfill(32),
    )
    known = base.head(rows).with_columns(
        IntAttr=pl.when(i % 10 == 0).then(pl.col("IntAttr") + 1).otherwise("IntAttr"), state=pl.lit("held")
    )
    wanted = base.tail(rows)
    catalogue = wanted.select(
        (i + 1).alias("row"), "ProductId", "PicName", *(pl.col(name).cast(pl.String) for name in FIELDS)
    )
    facts = wanted.select(
        "PicName", pl.lit(value=True).alias("exists"), "digest", pl.lit(640).alias("width"), pl.lit(480).alias("height")
    )
    return to_pandas(catalogue), to_pandas(facts), to_pandas(known.drop("i"))


def by_hand(catalogue: pd.DataFrame, facts: pd.DataFrame, known: pd.DataFrame) -> tuple[int, int, int]:
    """New, changed and gone keys, in plain polars."""
    wanted = pl.from_pandas(catalogue).join(pl.from_pandas(facts).select("PicName", "digest"), on="PicName", how="left")
    held = pl.from_pandas(known).with_columns(pl.col(name).cast(pl.String) for name in FIELDS)
    both = wanted.join(held, on=["ProductId", "PicName"], how="left", suffix="_held")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_held")) for name in [*FIELDS, "digest"])
    new = pl.col("state").is_null()
    counts = both.select(new.sum().alias("new"), (differs & ~new).sum().alias("changed")).row(0)
    gone = held.join(wanted, on=["ProductId", "PicName"], how="anti").height
    return counts[0], counts[1], gone


def main(rows: int = ROWS, rounds: int = 3) -> None:
    catalogue, facts, known = make(rows)
    findings = findings_frame()
    figures: dict[str, tuple[float, float]] = {}
    for name, do in {
        "bare polars joins": lambda: by_hand(catalogue, facts, known),
        "plan_batch": lambda: plan_batch(catalogue, images=facts, known=known, findings=findings, delete_missing=True),
        "plan_batch, known = wanted": lambda: plan_batch(
            catalogue, images=facts, known=known, findings=findings, ignore=("IntAttr",)
        ),
    }.items():
        runs = []
        for _ in range(rounds):
            start, cpu = time.perf_counter(), time.process_time()
            do()
            runs.append((time.perf_counter() - start, time.process_time() - cpu))
        figures[name] = min(runs)
    plan = plan_batch(catalogue, images=facts, known=known, findings=findings, delete_missing=True)
    new, changed, gone = by_hand(catalogue, facts, known)
    adds = int((plan.batch["OperationType"] == "ADD").sum())
    assert adds == new + changed, (adds, new, changed)
    assert gone == rows // 100
    start, cpu = time.perf_counter(), time.process_time()
    parts = split_batch(plan.batch, max_rows=20_000)
    figures[f"split_batch into {len(parts)}"] = time.perf_counter() - start, time.process_time() - cpu
    print(f"plan: {rows:,} wanted, {rows:,} known, {adds:,} ADD, {len(plan.batch) - adds:,} DELETE")
    print(f"{'':30}{'seconds':>9}{'CPU':>8}{'ratio':>8}")
    first = figures["bare polars joins"][0]
    for name, (seconds, used) in figures.items():
        print(f"{name:30}{seconds:9.2f}{used:8.2f}{seconds / first:8.2f}")
    print(f"peak memory of the whole {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
