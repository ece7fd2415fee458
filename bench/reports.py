"""Reports and runs at size: a 1,000,000-line report, 100 runs of 100,000 lines, a million failures to click through.

The peer of reading is pyarrow's bare JSON reader on the same file: it parses, and neither matches nor classifies.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl

LINES = 1_000_000
RUNS, RUN_LINES = 100, 100_000
CODES = ["PicNotExist", "IncorrectOrientation", "InvalidRegion", "UnsupportedPicPixels", "DeniedRequest", "E-9041"]
CLICKS = 60
TURNS = 7
TINY = {"lines": 120, "runs": 2, "run_lines": 60, "clicks": 1, "turns": 1}


def make_batch(lines: int) -> pd.DataFrame:
    """A batch of ADD lines, two images a product."""
    at = pd.Series(range(lines))
    product = "CL-" + (at // 2).astype("str").str.zfill(8)
    frame = pd.DataFrame({"line": at + 1, "row": at + 1, "OperationType": "ADD", "ProductId": product})
    frame["PicName"] = "dress_" + at.astype("str").str.zfill(8) + ".jpg"
    frame["expected"] = "imported"
    return frame.astype({"line": "Int64", "row": "Int64"})


def write_report(path: Path, lines: int) -> None:
    """JSON Lines, about 200 bytes each, every line of the batch failed."""
    at = pl.int_range(lines, eager=True).alias("i")
    frame = pl.DataFrame({"i": at}).select(
        ProductId=pl.concat_str(pl.lit("CL-"), (pl.col("i") // 2).cast(pl.String).str.zfill(8)),
        PicName=pl.concat_str(pl.lit("dress_"), pl.col("i").cast(pl.String).str.zfill(8), pl.lit(".jpg")),
        Code=pl.lit(pl.Series(CODES)).gather(pl.col("i") % len(CODES)),
        Message=pl.lit(
            "The image of this product could not be imported into the instance; see the code for the cause."
        ),
        RequestId=pl.concat_str(pl.lit("8B1E"), pl.col("i").cast(pl.String).str.zfill(12)),
    )
    frame.write_ndjson(path)


def write_runs(folder: Path, runs: int, lines: int) -> None:
    """Run folders with a tenth of the lines failed."""
    batch = make_batch(lines)
    failed = np.arange(lines) % 10 == 0
    for number in range(runs):
        run = folder / f"2026{number // 28 + 1:02d}{number % 28 + 1:02d}T000000Z-demo-{number:04x}"
        run.mkdir()
        code = pd.Series(CODES)[(np.arange(lines) // 10 + number) % len(CODES)].to_numpy()
        cause = pd.Series(["image_missing", "rotated", "bad_region", "bad_pixels", "throttled", "unrecognised"])
        chosen = cause[(np.arange(lines) // 10 + number) % len(CODES)].to_numpy()
        outcome = batch[["line", "OperationType", "ProductId", "PicName"]].assign(
            outcome=np.where(failed, "failed", "imported"),
            code=pd.Series(np.where(failed, code, None), dtype="str"),
            cause=pd.Series(np.where(failed, chosen, None), dtype="str"),
            message=pd.Series(np.where(failed, "The image could not be imported", None), dtype="str"),
            raw=pd.Series(np.where(failed, batch["PicName"] + " could not be imported", None), dtype="str"),
        )
        outcome.to_parquet(run / "outcome.parquet", index=False)
        about = {"version": 1, "id": run.name, "state": "partial", "settings": {"instance": "demo"}, "counts": {}}
        times = {"created": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T01:00:00+00:00"}
        (run / "run.json").write_text(json.dumps({**about, "times": times}), encoding="utf-8")


def _timed(work: object) -> tuple[float, float, object]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()  # type: ignore[operator]
    return time.perf_counter() - wall, time.process_time() - cpu, result


def _peak() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), float("nan"))


def read(folder: Path, lines: int, turns: int) -> None:
    """Read, match and classify, beside pyarrow's bare read: in turns, since other work comes and goes."""
    import pyarrow.json

    from imgprep.ship.report.match import read_report

    path, batch = folder / "report.jsonl", make_batch(lines)
    write_report(path, lines)
    size = path.stat().st_size / 1e6
    bare, ours = [], []
    for _ in range(turns):
        bare.append(_timed(lambda: pyarrow.json.read_json(path))[:2])
        *spent, found = _timed(lambda: read_report(path, batch))
        ours.append(spent)
        assert isinstance(found, pd.DataFrame)
        assert found["outcome"].eq("failed").all() and found["cause"].notna().all()
    both = {"pyarrow.json, parsed only": np.array(bare), "read_report": np.array(ours)}
    print(f"report of {lines:,} lines, {size:.0f} MB, every line matched and classified; best of {turns}")
    print(f"{'':34}{'seconds':>9}{'CPU':>8}")
    for name, spent in both.items():
        print(f"{name:34}{spent[:, 0].min():9.2f}{spent[:, 1].min():8.2f}")
    wall, cpu = np.median(both["read_report"] / both["pyarrow.json, parsed only"], axis=0)
    print(f"{'ratio, median of the turns':34}{wall:9.2f}{cpu:8.2f}")


def forms(folder: Path, lines: int, turns: int) -> None:
    """Read a tenth of the entries as CSV, and as sentences, in which the parser looks for names."""
    from imgprep.ship.report.match import read_report

    frame = pl.read_ndjson(folder / "report.jsonl")
    sentences = frame.select(pl.format("{} {}: {} {}", "ProductId", "PicName", "Code", "Message"))
    for name, part, options in (
        ("CSV", frame.head(lines // 10), {}),
        ("sentences", sentences.head(lines // 10), {"include_header": False, "quote_style": "never"}),
    ):
        path, batch = folder / f"report.{name}", make_batch(part.height)
        part.write_csv(path, **options)
        spent = []
        for _ in range(turns):
            _, cpu, found = _timed(lambda path=path, batch=batch: read_report(path, batch))
            assert found["outcome"].eq("failed").all()
            spent.append(cpu)
        each = min(spent) / path.stat().st_size * 1e9
        print(f"{f'{part.height:,} entries as {name}':34}{each:9.0f} CPU seconds per GB")


def tally(folder: Path, runs: int, lines: int) -> None:
    """Count the causes and outcomes of all runs, in a process that does nothing else."""
    import imgprep as ip

    _ = ip.tally_causes, ip.tally_outcomes, ip.load_runs  # their import is no part of the work
    before = _peak()
    wall, cpu, counted = _timed(lambda: ip.tally_causes(ip.load_runs(folder)))
    assert isinstance(counted, pd.DataFrame)
    assert int(counted[["count", "again"]].to_numpy().sum()) == runs * lines // 10
    again, _, _ = _timed(lambda: ip.tally_outcomes(ip.load_runs(folder)))
    print(
        f"tally_causes of {runs} runs of {lines:,} lines: {wall:.2f} s, CPU {cpu:.2f}, peak {_peak():.0f} MB",
        end="",
    )
    print(f" ({before:.0f} before); tally_outcomes {again:.2f} s")


def click(folder: Path, lines: int, count: int) -> None:
    """From a click on a line to its picture in the panel, with a million failures behind it."""
    from PIL import Image

    from imgprep.outcomes.cause_explorer import CauseExplorer
    from imgprep.ship.report.match import read_report

    images = folder / "images"
    images.mkdir()
    batch = make_batch(lines)
    noise = np.random.default_rng(0).integers(0, 255, (250, 188, 3), dtype=np.uint8)
    photo = Image.fromarray(noise).resize((1500, 2000))
    for name in batch["PicName"].head(count * len(CODES)):
        photo.save(images / name, quality=85)
    outcome = read_report(folder / "report.jsonl", batch)
    facts = batch[["PicName"]].assign(format="JPEG", width=1500, height=2000)
    findings = pd.DataFrame({"row": [1], "ProductId": ["x"], "PicName": ["x"], "rule": ["r"], "severity": ["info"]})
    run = SimpleNamespace(id="r", batch=batch, outcome=outcome, catalogue=batch, facts=facts, findings=findings)
    opened, _, explorer = _timed(lambda: CauseExplorer(run, images))
    assert isinstance(explorer, CauseExplorer)
    explorer.show("rotated")
    clicks = []
    for at in range(count):
        clicks.append(_timed(lambda at=at: explorer.show("rotated", at))[:2])
        assert explorer._parts.picture.value.startswith("<img")
    spent = sorted(wall * 1000 for wall, _ in clicks)
    busy = sorted(cpu * 1000 for _, cpu in clicks)[len(clicks) // 2]
    median, late = spent[len(spent) // 2], spent[int(len(spent) * 0.95)]
    print(
        f"CauseExplorer over {lines:,} failures, JPEGs of 1500x2000: opened in {opened:.2f} s; click to picture ",
        end="",
    )
    print(f"median {median:.0f} ms, p95 {late:.0f} ms, longest {spent[-1]:.0f} ms; CPU {busy:.0f} ms")


def main(
    lines: int = LINES, runs: int = RUNS, run_lines: int = RUN_LINES, clicks: int = CLICKS, turns: int = TURNS
) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        read(folder, lines, turns)
        forms(folder, lines, min(turns, 3))
        click(folder, lines, clicks)
        written = folder / "runs"
        written.mkdir()
        write_runs(written, runs, run_lines)
        command = [sys.executable, "-m", "bench.reports", str(written), str(runs), str(run_lines)]
        print(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout, end="")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        tally(Path(sys.argv[1]), *map(int, sys.argv[2:]))
    else:
        main()
