"""The audit of attributes before they are sent."""

import pandas as pd

from imgprep.look.tallies import tally_attributes


def test_attributes_are_audited_before_they_are_sent():
    shop = pd.DataFrame(
        {
            "IntAttr": ["1", "2", "3000000000", "on request", None, "7"],
            "StrAttr": ["Blue", "blue ", "red", "x" * 129, "", "red"],
            "StrAttr3": ["a", "b", "c", "d", "e", "f"],
            "OperationType": ["ADD", None, "ADD", "ADD", "ADD", "DELETE"],
        }
    )
    table = tally_attributes(shop).set_index("field")
    assert table.loc["IntAttr", ["rows", "filled", "distinct", "minimum", "maximum", "unusable"]].tolist() == [
        5, 4, 4, 1, 3000000000, 2,
    ]  # fmt: skip
    assert table.loc["StrAttr", ["filled", "distinct", "maximum", "unusable", "alike"]].tolist() == [4, 4, 129, 1, 2]
    assert "differ from others only in case" in table.loc["StrAttr", "advice"]
    assert table.index.tolist() == ["IntAttr", "StrAttr", "StrAttr3"] and table.loc["StrAttr3", "filled"] == 5
    assert tally_attributes(pd.DataFrame({"ProductId": ["1"]}))["advice"].str.startswith("empty").all()
