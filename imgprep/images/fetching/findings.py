"""Images that could not be fetched, said row by row, with what to do."""

from __future__ import annotations

import pandas as pd

from imgprep.findings import Basis, Severity, findings_frame

#: Problem → what to do about it.
_REMEDY = {
    "bad_url": "write an http or https URL",
    "bad_name": "write a PicName that stays below the folder of images",
    "occupied": "move the file away that is there under this name, then fetch again",
    "not_found": "correct the URL, or leave the row out",
    "refused": "let the server give the image to anyone who asks, or fetch it by hand",
    "http_error": "ask whoever runs the server; then fetch again",
    "timeout": "fetch again later, or allow more seconds",
    "unreachable": "look whether the host's name is right and the network is there; then fetch again",
    "too_large": "put a smaller file there, or allow more with max_bytes",
    "cut_off": "fetch again",
    "incomplete": "put the whole file there; whoever opens it sees only a part",
    "not_an_image": "open the URL in a browser: it leads to a page, or to another kind of file",
}


def unfetched(catalogue: pd.DataFrame, column: str, log: pd.DataFrame) -> pd.DataFrame:
    """Return a finding for every row of `catalogue` whose image, in `column`, was not fetched according to `log`."""
    failed = log.dropna(subset="problem").set_index("url")[["problem", "detail"]].to_dict("index")
    records = []
    for place, value in enumerate(catalogue[column].astype("str")):
        why = failed.get(value.strip()) if isinstance(value, str) else None
        if why is None:
            continue
        known = [name for name in ("row", "ProductId", "PicName") if name in catalogue.columns]
        row = {name: catalogue[name].iloc[place] for name in known}
        problem = str(why["problem"])
        records.append(
            {
                "row": place + 1,
                "PicName": value,
                **row,
                "rule": f"fetch-{problem.replace('_', '-')}",
                "severity": Severity.ERROR,
                "basis": Basis.DOCUMENTED,
                "field": column,
                "value": value,
                "message": f"{column}: the image could not be fetched ({why['detail']})",
                "fix": _REMEDY[problem],
            }
        )
    return findings_frame(records)
