"""The fast reader of CSV and the careful one give the same table for any file."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgprep.core.errors import CatalogueError
from imgprep.load import delimited

CELLS = st.text(st.sampled_from("ab0 ,;\"\n\r\t|'\0=<名\u2028\ufeff"), max_size=6)
TABLES = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=6))


def read(path, *, carefully=False):
    """Table, record numbers and rules of a file; None where it is refused."""
    with pytest.MonkeyPatch.context() as patch:
        if carefully:
            patch.setattr(delimited, "_by_arrow", lambda *_, **__: None)
        try:
            raw = delimited.read_delimited(path, encoding="utf-8", delimiter=",")
        except CatalogueError:
            return None
    return raw.table.to_pydict(), raw.rows.to_pylist(), [(found["rule"], found.get("row")) for found in raw.findings]


@given(TABLES, st.sampled_from(["\n", "\r\n"]))
def test_a_table_that_was_written_is_read_alike_and_as_it_was(tmp_path_factory, records, end):
    path = tmp_path_factory.mktemp("csv") / "export.csv"
    header = [f"c{place}" for place in range(len(records[0]) if records else 2)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([header, *records])
    path.write_bytes(text.getvalue().encode())
    fast = read(path)
    assert fast == read(path, carefully=True)
    assert fast is not None
    wanted = [[cell or None for cell in record] for record in records]
    assert [list(cells) for cells in zip(*fast[0].values(), strict=True)] == wanted


@given(st.text(st.sampled_from('ab,"\n\r \ufffd'), max_size=40))
@example("1\n2,b\n3,c,d\n\n4\n5,e\n")
@example("1,a\n2\n3\n4,b\n")
@example('a","')
@example('",')
@example('1,5" pipe\n2,"a"b\n')
@example('1,"a\n2,b"\n')
@example('"a\rb",c\rd,e\n')
def test_text_that_was_not_written_as_a_table_is_read_alike(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("csv") / "export.csv"
    path.write_bytes(b"x,y\n" + text.encode())
    assert read(path) == read(path, carefully=True)


@pytest.mark.parametrize("pad", range(40, 64))
def test_a_line_break_in_a_cell_outlasts_the_edge_of_a_block(tmp_path, monkeypatch, pad):
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 64)
    (tmp_path / "export.csv").write_bytes(b'x,y\r\n%s,"a\r\nb"\r\n1,2\r\n' % (b"x" * pad))
    assert read(tmp_path / "export.csv")[0]["y"] == ["a\r\nb", "2"]
