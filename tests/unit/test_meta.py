"""increment.meta: the guide's sample, and every way in which a line can be bad."""

from pathlib import Path

import pandas as pd
import pytest

from imgprep import MetaError, dumps_meta, loads_meta, read_meta, write_meta

SAMPLE = Path(__file__).parents[1] / "golden" / "guide-sample.meta"


def test_the_guides_sample_comes_back_byte_for_byte():
    text = SAMPLE.read_bytes()
    assert dumps_meta(loads_meta(text)).encode() == text


def test_files_round_trip(tmp_path):
    write_meta(read_meta(SAMPLE), tmp_path / "increment.meta")
    assert (tmp_path / "increment.meta").read_bytes() == SAMPLE.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["increment.meta"]


def test_an_empty_pic_name_on_a_delete_is_never_written():
    batch = pd.DataFrame({"OperationType": ["DELETE"], "ProductId": ["1"], "PicName": [""]})
    with pytest.raises(MetaError) as caught:
        dumps_meta(batch)
    assert caught.value.findings["rule"].tolist() == ["meta-empty-name"]
