"""Every format of regions gives back what was put in, and none is read as another by mistake."""

import contextlib
import io
import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgprep.cli.output import show
from imgprep.core.errors import MetaError, RegionError
from imgprep.core.frames import records
from imgprep.core.regions import EDGES, Region, RegionState
from imgprep.draw import formats
from imgprep.draw.store import FRAME_DTYPES, RegionStore
from imgprep.show.export import export_table

NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\\/\ufeff"), min_size=1, max_size=12
).filter(lambda name: name == name.strip())


@st.composite
def frames(draw, *, products=True, names=NAMES):
    """A regions frame as a store gives it: every state, odd names, sizes known or not."""
    records = []
    for name in sorted(draw(st.sets(names, max_size=5))):
        state = draw(st.sampled_from(list(RegionState)))
        width, height = draw(st.integers(1, 9000)), draw(st.integers(1, 9000))
        known = draw(st.booleans())
        record = {"PicName": name, "state": str(state), "how": "imported", "flagged": draw(st.booleans())}
        record |= {"width": width, "height": height} if known else {}
        record["ProductId"] = draw(NAMES) if products and draw(st.booleans()) else None
        record["note"] = draw(st.none() | NAMES)
        if state == RegionState.REGION:
            x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
            record |= {"x1": x1, "y1": y1}
            record |= {"x2": draw(st.integers(x1 + 1, width)), "y2": draw(st.integers(y1 + 1, height))}
        records.append(record)
    return pd.DataFrame(records, columns=list(FRAME_DTYPES), dtype=object).astype(FRAME_DTYPES)


def same(one, two, columns=tuple(FRAME_DTYPES)):
    one, two = (pd.DataFrame(frame[list(columns)]).reset_index(drop=True) for frame in (one, two))
    pd.testing.assert_frame_equal(one, two)


@given(frames())
def test_csv_gives_back_everything(frame):
    same(formats.loads_csv(formats.dumps_csv(frame)), frame)


@given(frames())
def test_coco_gives_back_everything(frame):
    same(formats.loads_coco(json.loads(json.dumps(formats.dumps_coco(frame)))), frame)


@given(frames(products=False))
def test_the_widgets_dicts_give_back_the_regions_and_only_those(frame):
    drawn = frame[frame["state"] == "region"]
    back = formats.loads_bbox_widget(json.loads(json.dumps(formats.dumps_bbox_widget(frame))))
    same(back, drawn, ["PicName", "state", "x1", "y1", "x2", "y2"])


@given(frames())
def test_increment_meta_gives_back_what_it_states_and_no_decision_of_its_own(frame):
    frame["ProductId"] = frame["ProductId"].fillna("P")
    back = formats.loads_region_meta(formats.dumps_region_meta(frame))
    stated = frame[frame["state"] != "service"]
    same(back, stated, ["PicName", "ProductId", "state", "x1", "y1", "x2", "y2"])


FILES = {
    "to_csv.csv": lambda frame, file: frame.to_csv(file),
    "plain.csv": lambda frame, file: frame.to_csv(file, index=False),
    "ours.csv": lambda frame, file: file.write_text(formats.dumps_csv(frame), encoding="utf-8"),
    "export.csv": export_table,
    "export.tsv": export_table,
    "export.xlsx": export_table,
    "command.csv": lambda frame, file: file.write_text(printed(frame, "csv"), encoding="utf-8"),
    "command.json": lambda frame, file: file.write_text(printed(frame, "json"), encoding="utf-8"),
    "coco.json": lambda frame, file: file.write_text(json.dumps(formats.dumps_coco(frame)), encoding="utf-8"),
}


def printed(frame, form):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        show(frame, form)
    return out.getvalue()


@pytest.mark.parametrize("name", FILES)
@given(frame=frames(names=NAMES | NAMES.map(lambda name: f"-{name}") | st.sampled_from(["007", "=1+1", "1e5", "NA"])))
def test_every_file_of_regions_that_we_write_is_read_again(tmp_path_factory, name, frame):
    file = tmp_path_factory.mktemp("file") / name
    FILES[name](frame, file)
    same(formats.read_regions(file), frame)


@given(st.integers(50, 9000), st.integers(50, 9000), st.integers(30, 4096), st.data())
def test_a_region_that_was_sent_with_a_copy_comes_back_to_its_source_and_goes_out_the_same(width, height, side, data):
    longest = max(width, height)
    new = [max(round(edge * min(side / longest, 1)), 1) for edge in (width, height)]
    scales = [new[0] / width, new[1] / height]
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    drawn = Region(x1=x1, y1=y1, x2=data.draw(st.integers(x1 + 1, width)), y2=data.draw(st.integers(y1 + 1, height)))
    sent = drawn.scaled(*scales, width=new[0], height=new[1])
    log = {"PicName": "a.png", "new_name": "a.jpg", "source_digest": "s", "digest": "c", "scale_x": scales[0]}
    log |= {"scale_y": scales[1], "width": new[0], "height": new[1]}
    edges = {edge: getattr(sent, edge) for edge in EDGES}
    frame = pd.DataFrame([{"PicName": "a.jpg", "state": "region", **edges}], columns=list(FRAME_DTYPES))
    (row,) = records(formats.of_sources(frame.astype(FRAME_DTYPES), pd.DataFrame([log])))
    assert (row["PicName"], row["digest"], row["width"], row["height"]) == ("a.png", "s", width, height)
    back = Region(**{edge: row[edge] for edge in EDGES})
    assert back.fits(width, height)
    assert back.scaled(*scales, width=new[0], height=new[1]) == sent


@given(frame=frames())
def test_a_store_gives_back_what_was_loaded(tmp_path_factory, frame):
    with RegionStore(tmp_path_factory.mktemp("store") / "regions.db") as store:
        store.load(frame, keep_history=True)
        back = store.frame()
    same(back, frame.sort_values("PicName"), ["PicName", "ProductId", "state", "x1", "y1", "x2", "y2", "note"])


@given(frames().filter(lambda frame: (frame["state"] == "region").any()), st.permutations(["x1", "y1", "x2", "y2"]))
def test_columns_of_a_csv_in_any_order_mean_the_same(frame, order):
    head, *lines = (line.split(",") for line in ["PicName,x1,y1,x2,y2", "a.jpg,1,2,30,40"])
    columns = ["PicName", *order]
    text = "\n".join(",".join(row[head.index(name)] for name in columns) for row in (head, *lines))
    assert formats.loads_csv(text).loc[0, ["x1", "y1", "x2", "y2"]].tolist() == [1, 2, 30, 40]


BOX = Region(x1=10, y1=20, x2=110, y2=220)
FRAME = pd.DataFrame(
    [{"PicName": "a.jpg", "ProductId": "1", "state": "region", "x1": 10, "y1": 20, "x2": 110, "y2": 220, "flagged": 0}],
    columns=list(FRAME_DTYPES),
).astype(FRAME_DTYPES)
WRITTEN = {
    "csv": formats.dumps_csv(FRAME),
    "meta": formats.dumps_region_meta(FRAME),
    "coco": json.dumps(formats.dumps_coco(FRAME)),
    "bbox-widget": json.dumps(formats.dumps_bbox_widget(FRAME)),
}
READERS = {
    "csv": formats.loads_csv,
    "meta": formats.loads_region_meta,
    "coco": lambda text: formats.loads_coco(json.loads(text)),
    "bbox-widget": lambda text: formats.loads_bbox_widget(json.loads(text)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("written", WRITTEN)
def test_no_format_is_read_as_another(reader, written):
    if reader == written:
        assert READERS[reader](WRITTEN[written]).loc[0, ["x1", "y1", "x2", "y2"]].tolist() == [10, 20, 110, 220]
    else:
        with pytest.raises((RegionError, MetaError, json.JSONDecodeError)):
            READERS[reader](WRITTEN[written])
