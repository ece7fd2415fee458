"""The increment.meta with its failures."""

import pandas as pd
from runs_made import TableRun

from imgprep.meta.codec import loads_meta
from imgprep.show.export import annotate_meta

BATCH = pd.DataFrame(
    {
        "line": [1, 2, 3],
        "OperationType": ["ADD", "ADD", "DELETE"],
        "ProductId": ["1", "2", "3"],
        "PicName": ["图.jpg", "b.jpg", "c.jpg"],
    }
)
OUTCOME = pd.DataFrame(
    {
        "line": [1, 2, 3],
        "outcome": ["imported", "failed", "unknown"],
        "cause": [None, "image_missing", None],
        "code": [None, "X.1", None],
        "message": [None, "two\nlines", None],
    }
)
RUN = TableRun(batch=BATCH, outcome=OUTCOME)


def test_a_cause_follows_its_line():
    lines = annotate_meta(RUN).splitlines()
    assert len(lines) == 5
    assert lines[2].startswith('{"imgprep:outcome": {"outcome": "failed", "line": 2, "cause": "image_missing"')


def test_it_reads_back_as_it_was_sent():
    batch, findings = loads_meta(annotate_meta(RUN), strict=False)
    assert findings["rule"].eq("meta-annotation").sum() == 2
    for name in ("OperationType", "ProductId", "PicName"):
        assert batch[name].tolist() == BATCH[name].tolist()
    assert len(loads_meta(annotate_meta(RUN))) == 3
