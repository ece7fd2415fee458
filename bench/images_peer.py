"""Beside cleanvision: time of one process, and each of its statistics beside ours on the same pictures.

cleanvision is no dependency. Name a Python that has it in IMGPREP_BENCH_CLEANVISION; without, this is skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from bench.images import photographs
from imgprep.images import facts_frame, find_duplicates, list_names
from imgprep.images.facts import Tier
from imgprep.images.listing import open_source
from imgprep.images.probe import probe

PEER = """
import json, os, sys, time
from cleanvision import Imagelab
lab = Imagelab(data_path=sys.argv[1])
start = time.process_time()
lab.find_issues(n_jobs=1, verbose=False)
seconds = time.process_time() - start
scores = lab.issues.filter(like="_score").rename(index=os.path.basename)
sets = {kind: [[os.path.basename(name) for name in group] for group in lab.info[kind]["sets"]]
        for kind in ("exact_duplicates", "near_duplicates")}
print(json.dumps({"seconds": seconds, "scores": scores.to_dict(), "sets": sets}))
"""

#: cleanvision's score → what of ours says the same, larger = less of a problem; what it is.
SCORES = {
    "dark_score": ("dark", "luma that 99 % stay below"),
    "light_score": ("light", "luma that 5 % stay below"),
    "low_information_score": ("entropy", "bits of luma"),
    "blurry_score": ("sharpness", "spread of the Laplacian"),
    "grayscale_score": ("chroma", "spread between channels"),
    "odd_aspect_ratio_score": ("aspect", "shorter over longer side"),
    "odd_size_score": ("area", "root of the area"),
}


def python() -> str | None:
    """The interpreter that has cleanvision."""
    named = os.environ.get("IMGPREP_BENCH_CLEANVISION")
    return named or (sys.executable if importlib.util.find_spec("cleanvision") else None)


def compare(folder: Path, peer: dict[str, pd.DataFrame], facts: pd.DataFrame) -> None:
    facts = facts.set_index("PicName")
    facts["aspect"] = facts[["width", "height"]].min(axis=1) / facts[["width", "height"]].max(axis=1)
    facts["area"] = (facts["width"] * facts["height"]).astype(float) ** 0.5
    scores = pd.DataFrame(peer["scores"]).reindex(facts.index)
    print(f"\n{'cleanvision':<26}{'ours':<12}{'rank correlation':>17}  lowest twelve shared")
    for score, (column, what) in SCORES.items():
        theirs, ours = scores[score].astype(float), facts[column].astype(float)
        if score == "light_score":  # ours is high where it is a problem
            ours = -ours
        if score == "odd_size_score":  # their score is of the distance from the middle, whichever way
            middle = ours.median()
            ours = -(ours - middle).abs()
        constant = theirs.nunique() < 2 or ours.nunique() < 2
        agreement = "all one value" if constant else f"{theirs.rank().corr(ours.rank()):.2f}"
        lowest = "" if constant else len(set(theirs.nsmallest(12).index) & set(ours.nsmallest(12).index))
        print(f"{score:<26}{column:<12}{agreement:>17}  {lowest!s:<4} {what}")


def main() -> None:
    interpreter = python()
    if interpreter is None:
        print("cleanvision: skipped, it is not installed; name a Python that has it in IMGPREP_BENCH_CLEANVISION")
        return
    with photographs() as sets:
        for name, folder in sets.items():
            done = subprocess.run(
                [interpreter, "-c", PEER, str(folder)], capture_output=True, text=True, check=True, timeout=900
            )
            peer = json.loads(done.stdout.splitlines()[-1])
            names, source = list_names(folder), open_source(folder)
            start = time.process_time()
            facts = facts_frame([probe(source, item, Tier.DECODE) for item in names])
            groups = find_duplicates(facts)
            seconds = time.process_time() - start
            print(
                f"\n{name}, {len(names)} pictures: cleanvision {peer['seconds'] / len(names) * 1e3:.2f} CPU ms each, "
                f"imgprep {seconds / len(names) * 1e3:.2f}: × {peer['seconds'] / seconds:.1f}"
            )
            exact, near = (len(peer["sets"][kind]) for kind in ("exact_duplicates", "near_duplicates"))
            ours = groups.drop_duplicates("group")["kind"].eq("bytes")
            print(
                f"duplicate groups: cleanvision {exact} exact, {near} near; "
                f"imgprep {ours.sum()} of equal bytes, {(~ours).sum()} more"
            )
            if name.endswith("real"):
                compare(folder, peer, facts)


if __name__ == "__main__":
    main()
