"""The increment.meta as sent, each failing line followed by its cause."""

from __future__ import annotations

import json

from imgprep.meta.codec import dumps_meta
from imgprep.meta.reading import ANNOTATION
from imgprep.ship.report.causes import CauseTable, known_to
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run

_TOLD = ("line", "cause", "code", "message")


def annotate_manifest(run: Run, *, causes: CauseTable | None = None) -> str:
    """Return the text of the increment.meta that was sent, with the failures in it.

    After each line that failed, or whose end is unknown, comes a line of its own: one JSON object with the only key
    ``imgprep:outcome``, so that the file stays JSON Lines and no field of the service is touched. `read_meta` reads
    it back without them; with ``strict=False`` they are findings of the rule ``meta-annotation``. It is for people
    and programs, not for sending: the service knows no such key.

    Parameters
    ----------
    run : Run
        The run.
    causes : CauseTable, optional
        For remedies; default: those that the run was read by.

    Returns
    -------
    str
        ``line`` in it is the line as it was sent, not as it stands in this text.

    Notes
    -----
    Source of the idea: manifests that AWS Rekognition returns with errors.

    Examples
    --------
    >>> text = annotate_manifest(runs[0])
    >>> next(line for line in text.splitlines() if "cause" in line)[:60]
    '{"imgprep:outcome": {"outcome": "failed", "line": 54, "cause'
    """
    table = known_to(run, causes)
    known = {cause.id for cause in table.causes}
    outcome = run.outcome
    open_ones = outcome[outcome["outcome"].isin([Outcome.FAILED, Outcome.UNKNOWN])]
    told = {}
    for row in open_ones.astype(object).where(open_ones.notna(), None).to_dict("records"):
        about = {"outcome": str(row["outcome"]), **{name: row[name] for name in _TOLD if row.get(name) is not None}}
        if row.get("cause") in known:
            about["remedy"] = table[row["cause"]].remedy
        told[int(row["line"])] = json.dumps({ANNOTATION: about}, ensure_ascii=False, default=int)
    batch = run.batch
    lines = dumps_meta(batch).removesuffix("\n").split("\n") if len(batch) else []
    text = []
    for number, line in zip(batch["line"], lines, strict=True):
        text.append(line)
        if int(number) in told:
            text.append(told[int(number)])
    return "".join(f"{line}\n" for line in text)
