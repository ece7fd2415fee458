"""The examples of the chart gallery run as they stand."""

from docs.make_charts import PAGE, make


def test_every_example_of_the_gallery_draws_its_picture(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    make(tmp_path, text.replace("history=12", "history=3"))
    assert {picture.name for picture in tmp_path.glob("*.png")} == {
        p.name for p in (PAGE.parent / "images" / "charts").glob("*.png")
    }
