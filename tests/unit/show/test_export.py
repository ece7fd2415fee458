"""Tables for spreadsheets."""

import pandas as pd
import pytest

from imgprep.core.errors import ConfigError
from imgprep.show.export import export_table

FRAME = pd.DataFrame({"=name": ["=1+1", " @x", "茶", None], "number": [-1, 2, 3, 4]})
SAFE = ["'=1+1", "' @x", "茶"]


@pytest.mark.parametrize("extension", ["csv", "tsv", "xlsx"])
def test_no_cell_is_a_formula(tmp_path, extension):
    file = export_table(FRAME, tmp_path / f"t.{extension}")
    back = (
        pd.read_excel(file, engine="openpyxl")
        if extension == "xlsx"
        else pd.read_csv(file, sep={"csv": ",", "tsv": "\t"}[extension])
    )
    assert back["'=name"].tolist()[:3] == SAFE
    assert pd.isna(back["'=name"][3])
    assert back["number"].tolist() == [-1, 2, 3, 4]


def test_another_extension_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="xlsx"):
        export_table(FRAME, tmp_path / "t.html")
