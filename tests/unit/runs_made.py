"""Runs for tests: run folders, and runs whose tables are frames in memory."""

import json
from types import SimpleNamespace

import pandas as pd

from imgprep.core.findings import findings_frame
from imgprep.ship.run import open_run


class TableRun(SimpleNamespace):
    """A run of one gallery that has only the given tables."""

    gallery = "shop"
    is_sandbox = True

    @property
    def sort_key(self):
        return self.id

    def outcome_columns(self, *columns):
        return self.outcome[list(columns)]


ROWS = [(1, "A", "a.jpg", 0), (2, "B", "b.jpg", 1), (3, "C", "<i>c.jpg", 1), (4, "D", "d.jpg", None)]


def make_run(folder, when, ends, *, renamed=None):
    """A run that sent the products in `ends`, some under the names in `renamed`; D has no image."""
    folder.mkdir()
    catalogue = pd.DataFrame(ROWS, columns=["row", "ProductId", "PicName", "CategoryId"]).astype(
        {"CategoryId": "Int64"}
    )
    catalogue.assign(source=["studio", "phone", "phone", "studio"]).to_parquet(folder / "catalogue.parquet")
    batch = catalogue[catalogue["ProductId"].isin(ends)].assign(OperationType="ADD", reason="new", expected="imported")
    batch = batch.assign(Region=["1,9,1,9" if product == "A" else None for product in batch["ProductId"]])
    batch["PicName"] = batch["PicName"].replace(renamed or {})
    log = pd.DataFrame({"PicName": catalogue["PicName"], "new_name": catalogue["PicName"].replace(renamed or {})})
    log.assign(action="kept", reason=None).to_parquet(folder / "prepare.parquet")
    batch.insert(0, "line", range(1, len(batch) + 1))
    batch.to_parquet(folder / "batch.parquet")
    ended = [ends[product] for product in batch["ProductId"]]
    causes = ["rotated" if end == "failed" else None for end in ended]
    outcome = batch[["line", "OperationType", "ProductId", "PicName"]].assign(outcome=ended, cause=causes)
    outcome.to_parquet(folder / "outcome.parquet")
    facts = pd.DataFrame({"PicName": catalogue["PicName"], "exists": [True, True, True, False]})
    facts.to_parquet(folder / "source_facts.parquet")
    finding = {"rule": "image-missing", "severity": "error", "row": 4, "ProductId": "D", "PicName": "d.jpg"}
    findings_frame([finding]).to_parquet(folder / "findings.parquet")
    about = {"version": 1, "id": folder.name, "state": "partial", "settings": {"instance": "shop"}, "counts": {}}
    (folder / "run.json").write_text(json.dumps({**about, "times": {"created": f"{when}T06:00:00+00:00"}}))
    return open_run(folder)
