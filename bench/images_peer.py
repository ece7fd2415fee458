"""Beside cleanvision: time of one process, and each of its statistics beside ours on the same pictures.

cleanvision is no dependency. Name a Python that has it in IMGPREP_BENCH_CLEANVISION; without, this is skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from bench.images import photographs
from imgprep.images.storage import list_names, open_source
from imgprep.look.duplicates import find_duplicates
from imgprep.look.facts import Tier
from imgprep.look.facts_cache import facts_frame
from imgprep.look.probe import probe

PEER = """
import json, sys, time
from pathlib import Path
from PIL import Image
from cleanvision import Imagelab
from cleanvision.issue_managers.image_property import (
    AspectRatioProperty, BlurrinessProperty, BrightnessProperty, ColorSpaceProperty, EntropyProperty, SizeProperty)
pictures = sorted(str(file) for file in Path(sys.argv[1]).iterdir())
Imagelab(filepaths=pictures[:2]).find_issues(n_jobs=1, verbose=False)  # what it imports late is imported now
lab = Imagelab(filepaths=pictures)
start = time.process_time()
lab.find_issues(n_jobs=1, verbose=False)
seconds = time.process_time() - start
# It keeps no picture's statistics, only scores made of them: they are asked for again, outside the time.
each = [AspectRatioProperty(), BlurrinessProperty(), BrightnessProperty("dark"), ColorSpaceProperty(),
        EntropyProperty(), SizeProperty()]
statistics = {}
for file in Path(sys.argv[1]).iterdir():
    with Image.open(file) as image:
        statistics[file.name] = {name: value for one in each for name, value in one.calculate(image).items()}
sets = {kind: len(lab.info[kind]["sets"]) for kind in ("exact_duplicates", "near_duplicates")}
print(json.dumps({"seconds": seconds, "statistics": statistics, "sets": sets}, default=float))
"""

TINY = {"share": 0.01}

#: Pictures at the low end of a statistic: a tenth of the real ones.
LOWEST = 24

#: cleanvision's statistic → what of ours says the same; what it is.
STATISTICS = {
    "brightness": ("brightness", "mean luma"),
    "brightness_perc_5": ("light", "luma that 5 % stay below"),
    "brightness_perc_99": ("dark", "luma that 99 % stay below"),
    "entropy": ("entropy", "bits; theirs of three channels, ours of luma"),
    "blurriness": ("sharpness", "spread of the edges, of a small picture"),
    "aspect_ratio": ("aspect", "shorter over longer side"),
    "size": ("area", "root of the pixels"),
    "color_space": ("mode", "grey or in colour"),
}


def python() -> str | None:
    """The interpreter that has cleanvision."""
    named = os.environ.get("IMGPREP_BENCH_CLEANVISION")
    return named or (sys.executable if importlib.util.find_spec("cleanvision") else None)


def compare(peer: dict[str, dict[str, float]], facts: pd.DataFrame) -> None:
    """One line a statistic: whether both put the pictures in the same order, and the same ones at its low end."""
    facts = facts.set_index("PicName")
    facts["aspect"] = facts[["width", "height"]].min(axis=1) / facts[["width", "height"]].max(axis=1)
    facts["area"] = (facts["width"] * facts["height"]).astype(float) ** 0.5
    statistics = pd.DataFrame.from_dict(peer, orient="index").reindex(facts.index)
    print(f"\n{'cleanvision':<20}{'ours':<12}{'rank correlation':>17}{'lowest 24 shared':>18}   ")
    for name, (column, what) in STATISTICS.items():
        theirs, ours = statistics[name], facts[column]
        if name == "color_space":
            said = f"{(theirs.astype(str) == ours.astype(str)).sum()} of {len(ours)} equal"
            print(f"{name:<20}{column:<12}{said:>35}   {what}")
            continue
        theirs, ours = theirs.astype(float), ours.astype(float)
        shared = len(set(theirs.nsmallest(LOWEST).index) & set(ours.nsmallest(LOWEST).index))
        print(f"{name:<20}{column:<12}{theirs.rank().corr(ours.rank()):>17.2f}{shared:>18}   {what}")


def main(share: float = 1.0) -> None:
    interpreter = python()
    if interpreter is None:
        print("cleanvision: skipped, it is not installed; name a Python that has it in IMGPREP_BENCH_CLEANVISION")
        return
    with photographs(share) as sets, tempfile.TemporaryDirectory() as mixed:
        for folder in sets.values():
            for file in folder.iterdir():
                shutil.copyfile(file, Path(mixed) / f"{folder.name}-{file.name}")
        for name, folder in {**sets, "all of them in one run": Path(mixed)}.items():
            done = subprocess.run(
                [interpreter, "-c", PEER, str(folder)], capture_output=True, text=True, check=True, timeout=900
            )
            peer = json.loads(done.stdout.splitlines()[-1])
            names, source = list_names(folder), open_source(folder)
            probe(source, names[0], Tier.DECODE)  # theirs is imported before its time begins, and so is ours
            start = time.process_time()
            facts = facts_frame([probe(source, item, Tier.DECODE) for item in names])
            groups = find_duplicates(facts)
            seconds = time.process_time() - start
            print(
                f"\n{name}, {len(names)} pictures: cleanvision {peer['seconds'] / len(names) * 1e3:.2f} CPU ms each, "
                f"imgprep {seconds / len(names) * 1e3:.2f}: × {peer['seconds'] / seconds:.1f}"
            )
            ours = groups.drop_duplicates("group")["kind"].eq("bytes")
            exact, near = (peer["sets"][kind] for kind in ("exact_duplicates", "near_duplicates"))
            print(
                f"duplicate groups: cleanvision {exact} exact, {near} near; "
                f"imgprep {ours.sum()} of equal bytes, {(~ours).sum()} more"
            )
            if name.endswith("real"):
                compare(peer["statistics"], facts)


if __name__ == "__main__":
    main()
