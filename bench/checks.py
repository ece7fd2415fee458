"""Every row rule on 1,000,000 rows of a CSV, 1 % of them faulty in 15 ways, beside the same rules written by hand.

The peer is what a good analyst would write in polars for these 15 rules and nothing else; `check` runs all its rules.
Peak memory is that of a process that does nothing but load and check.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

ROWS = 1_000_000
#: With fewer rows, polars 2.1 panics in the peer: "assertion failed: i < self.len()".
TINY = {"rows": 15_000, "rounds": 1}
#: Rule → (column, faulty value); None: absent.
FAULTS: dict[str, tuple[str, str | None]] = {
    "product-id-missing": ("ProductId", None),
    "product-id-too-long": ("ProductId", "p" * 257),
    "pic-name-missing": ("PicName", None),
    "pic-name-too-long": ("PicName", "n" * 257 + ".jpg"),
    "pic-name-slash": ("PicName", "/images/{}.jpg"),
    "pic-name-no-extension": ("PicName", "image{}"),
    "pic-name-several": ("PicName", "a{}.jpg,b{}.jpg"),
    "category-not-integer": ("CategoryId", "Dresses"),
    "category-unknown": ("CategoryId", "17"),
    "int-attr-not-integer": ("IntAttr", "12.5"),
    "int-attr-range": ("IntAttr", "4000000000"),
    "str-attr-too-long": ("StrAttr", "s" * 129),
    "custom-content-missing": ("CustomContent", None),
    "custom-content-too-long": ("CustomContent", "c" * 4097),
    "region-empty": ("Region", "300,20,40,400"),
}
COLUMNS = ["ProductId", "PicName", "CategoryId", "IntAttr", "StrAttr", "CustomContent", "Region"]
CATEGORIES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 22, 88888888]


def make_csv(path: Path, rows: int = ROWS, *, first: int = 0) -> dict[str, int]:
    """Write the catalogue, or from row `first` on more of it, and return rule → faults in these rows."""
    index = pl.int_range(first, first + rows, eager=True).alias("i")
    frame = pl.DataFrame({"i": index}).with_columns(
        ProductId=pl.format("CL-{}", (pl.col("i") // 2).cast(pl.String).str.zfill(8)),
        PicName=pl.format("dress_{}_{}.jpg", (pl.col("i") // 2).cast(pl.String).str.zfill(8), pl.col("i") % 2),
        CategoryId=pl.lit(pl.Series(CATEGORIES)).gather(pl.col("i") % len(CATEGORIES)).cast(pl.String),
        IntAttr=(pl.col("i") * 7919 % 99_999).cast(pl.String),
        StrAttr=pl.format("brand-{}", pl.col("i") % 500),
        CustomContent=pl.format("title:Summer dress {},price:{},colour:blue", pl.col("i"), pl.col("i") % 997),
        Region=pl.concat_str(
            pl.col("i") % 50, 200 + pl.col("i") % 100, pl.col("i") % 60, 300 + pl.col("i") % 90, separator=","
        ),
    )
    kinds = list(FAULTS)
    # Every hundredth row is faulty, the kinds in turn.
    kind = pl.when(pl.col("i") % 100 == 50).then(pl.col("i") // 100 % len(kinds))
    for place, (column, value) in enumerate(FAULTS.values()):
        text = pl.lit(None, pl.String) if value is None else pl.lit(value)
        if value and "{}" in value:
            text = pl.format(value, *[pl.col("i")] * value.count("{}"))
        frame = frame.with_columns(pl.when(kind == place).then(text).otherwise(column).alias(column))
    counts = frame.select(kind=kind).drop_nulls().group_by("kind").len()
    with path.open("ab" if first else "wb") as file:
        frame.select(COLUMNS).write_csv(file, include_header=not first)
    return {kinds[number]: count for number, count in counts.iter_rows()}


def by_hand(path: Path) -> pl.DataFrame:
    """The fifteen rules in plain polars."""
    frame = pl.read_csv(path, infer_schema=False, row_index_name="row", row_index_offset=1)
    c = pl.col
    category, attr = c("CategoryId").cast(pl.Int64, strict=False), c("IntAttr").cast(pl.Int64, strict=False)
    parts = c("Region").str.split_exact(",", 3)
    x1, x2, y1, y2 = (parts.struct.field(f"field_{n}").cast(pl.Int64, strict=False) for n in range(4))
    rules = {
        "product-id-missing": ("ProductId", c("ProductId").is_null(), "no ProductId"),
        "product-id-too-long": ("ProductId", c("ProductId").str.len_chars() > 256, "longer than 256"),
        "pic-name-missing": ("PicName", c("PicName").is_null(), "no PicName"),
        "pic-name-too-long": ("PicName", c("PicName").str.len_chars() > 256, "longer than 256"),
        "pic-name-slash": ("PicName", c("PicName").str.starts_with("/"), "starts with a slash"),
        "pic-name-no-extension": ("PicName", ~c("PicName").str.contains(r"\.[A-Za-z0-9]+$"), "no extension"),
        "pic-name-several": ("PicName", c("PicName").str.contains(r"\.[A-Za-z]+,.*\.[A-Za-z]+$"), "several names"),
        "category-not-integer": ("CategoryId", category.is_null() & c("CategoryId").is_not_null(), "not an integer"),
        "category-unknown": ("CategoryId", ~category.is_in(CATEGORIES), "not in the reference"),
        "int-attr-not-integer": ("IntAttr", attr.is_null() & c("IntAttr").is_not_null(), "not an integer"),
        "int-attr-range": ("IntAttr", ~attr.is_between(-(2**31), 2**31 - 1), "outside 32 bits"),
        "str-attr-too-long": ("StrAttr", c("StrAttr").str.len_chars() > 128, "longer than 128"),
        "custom-content-missing": ("CustomContent", c("CustomContent").is_null(), "no CustomContent"),
        "custom-content-too-long": ("CustomContent", c("CustomContent").str.len_chars() > 4096, "longer than 4096"),
        "region-empty": ("Region", ~((x1 < x2) & (y1 < y2)), "encloses nothing"),
    }
    masks = frame.lazy().select(**{rule: test for rule, (_, test, _) in rules.items()}).collect()
    found = [
        frame.filter(masks[rule]).select(
            pl.lit(rule).alias("rule"),
            "row",
            "ProductId",
            "PicName",
            pl.lit(column).alias("field"),
            c(column).alias("value"),
            pl.format("{}: " + message, column).alias("message"),
        )
        for rule, (column, _, message) in rules.items()
    ]
    return pl.concat(found).sort("row")


def ours(path: Path) -> dict[str, int]:
    """Load and check, and return rule → findings."""
    import imgprep as ip

    catalogue = ip.load_catalogue(path)
    found = ip.check(catalogue)
    return {str(rule): int(count) for rule, count in found["rule"].value_counts().items()}


def _peak(what: str, path: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak MB of a process that does only `what`."""
    run = [sys.executable, "-m", "bench.checks", "--only", what, str(path)]
    out = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    return float(out[0]), float(out[1]), float(out[2])


def peak_mb() -> float:
    """Return the peak memory of this process."""
    # Not ru_maxrss, which a child inherits from the process that started it.
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), float("nan"))


def _only(what: str, path: Path) -> None:
    import imgprep as ip

    do = {"ours": ours, "hand": by_hand}[what]
    _ = ip.check, ip.load_catalogue  # their import is no part of the work
    start, cpu = time.perf_counter(), time.process_time()
    do(path)
    end, cpu_end = time.perf_counter(), time.process_time()
    print(f"{end - start:.3f} {cpu_end - cpu:.3f} {peak_mb():.0f}")


def main(rows: int = ROWS, rounds: int = 3) -> None:
    import imgprep as ip

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalogue.csv"
        seeded = make_csv(path, rows)
        found = ours(path)
        wrong = {rule: (found.get(rule, 0), count) for rule, count in seeded.items() if found.get(rule, 0) != count}
        assert not wrong, f"found, seeded: {wrong}"
        hand = dict(by_hand(path)["rule"].value_counts().iter_rows())
        assert {rule: count for rule, count in hand.items() if count} == seeded
        catalogue = ip.load_catalogue(path)
        start, cpu = time.perf_counter(), time.process_time()
        ip.check(catalogue)
        alone = time.perf_counter() - start, time.process_time() - cpu
        best = {what: min(_peak(what, path) for _ in range(rounds)) for what in ("hand", "ours")}
    print(f"checks: {rows:,} rows, {sum(seeded.values()):,} faults of {len(seeded)} kinds, all found")
    print(f"{'':24}{'seconds':>9}{'CPU':>8}{'peak MB':>9}{'ratio':>8}")
    for what, label in (("hand", "polars by hand, 15 rules"), ("ours", "load + check, all rules")):
        seconds, used, peak = best[what]
        print(f"{label:24}{seconds:9.2f}{used:8.2f}{peak:9.0f}{seconds / best['hand'][0]:8.2f}")
    print(f"{'  check alone':24}{alone[0]:9.2f}{alone[1]:8.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--only")
    parser.add_argument("path", nargs="?")
    options = parser.parse_args()
    if options.only:
        _only(options.only, Path(options.path))
    else:
        main()
