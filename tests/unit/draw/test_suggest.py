"""Suggestions: the subject and not its shadow, the same each time, and honest about what was not found."""

import doctest
import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx_made import pixelwise_model
from PIL import Image, ImageDraw, ImageFilter

from imgprep.core.errors import RegionError
from imgprep.core.regions import Region
from imgprep.draw import segmentation as model
from imgprep.draw import suggest
from imgprep.draw.segmentation import find_model
from imgprep.draw.suggest import suggest_region, suggest_with_method

SIZE = (600, 800)
BOX = Region(x1=150, y1=200, x2=420, y2=640)


def shot(ground=(250, 250, 250), subject=(40, 80, 150), shadow=None, blur=0.0):
    """A textured subject at BOX, its shadow to the lower right, grain over all."""
    rng = np.random.default_rng(3)
    image = Image.new("RGB", SIZE, ground)
    if shadow is not None:
        dark = Image.new("L", SIZE)
        dark.paste(90, (BOX.x1 + shadow, BOX.y1 + shadow, BOX.x2 + shadow, BOX.y2 + shadow))
        image.paste((20, 20, 24), mask=dark.filter(ImageFilter.GaussianBlur(blur)))
    folds = rng.normal(0, 14, (BOX.height // 8, BOX.width // 8))
    cloth = Image.fromarray(folds.clip(-30, 30).astype("float32")).resize((BOX.width, BOX.height))
    image.paste(
        Image.fromarray((np.asarray(cloth)[..., None] + subject).clip(0, 255).astype("uint8")), (BOX.x1, BOX.y1)
    )
    grain = np.asarray(image, dtype=float) + rng.normal(0, 1.5, (SIZE[1], SIZE[0], 1))
    return Image.fromarray(grain.clip(0, 255).astype("uint8"))


def test_a_sticker_in_the_corner_is_not_the_subject():
    stickered = shot(ground=(225, 226, 230))
    ImageDraw.Draw(stickered).ellipse((470, 10, 590, 130), fill=(206, 40, 44))
    region, sure = suggest_region(stickered)
    assert region.iou(BOX) > 0.93
    assert sure > 0.5
    alone = Image.new("RGB", SIZE, "white")
    ImageDraw.Draw(alone).ellipse((440, 10, 590, 160), fill=(206, 40, 44))
    assert suggest_region(alone)[0].iou(Region(x1=440, y1=10, x2=591, y2=161)) > 0.9


def test_a_deep_shadow_with_a_sharp_edge_is_left_out():
    deep = Image.new("RGB", SIZE, (236, 236, 238))
    deep.paste((122, 121, 124), (BOX.x1 + 45, BOX.y1 + 45, BOX.x2 + 45, BOX.y2 + 45))
    deep.paste(shot().crop((BOX.x1, BOX.y1, BOX.x2, BOX.y2)), (BOX.x1, BOX.y1))
    assert suggest_region(deep)[0].iou(BOX) > 0.93


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ground": (170, 175, 172)},
        {"subject": (225, 222, 218)},
        {"shadow": 40, "blur": 20.0},
        {"shadow": 40},
    ],
    ids=["white", "grey", "pale on pale", "soft shadow", "hard shadow"],
)
def test_the_subject_is_found_and_its_shadow_left_out(options):
    region, sure = suggest_region(shot(**options))
    assert region.iou(BOX) > 0.93
    assert 0 < sure <= 1


def test_nothing_on_plain_ground_is_the_whole_image_and_no_confidence():
    assert suggest_region(Image.new("RGB", SIZE, "white")) == (Region(x1=0, y1=0, x2=600, y2=800), 0.0)
    assert suggest_region(Image.new("RGB", (3, 3), "red"))[1] == 0.0


def test_the_same_image_gives_the_same_suggestion():
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (80, 60, 3), dtype="uint8")).resize(SIZE)
    assert suggest_region(noise) == suggest_region(noise)


def test_a_turned_file_is_suggested_in_the_upright_frame(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    shot().rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert suggest_region(tmp_path / "turned.jpg")[0].iou(BOX) > 0.93
    assert suggest_region("turned.jpg", root=tmp_path) == suggest_region(tmp_path / "turned.jpg")
    with pytest.raises(RegionError, match=r"\.\./turned.jpg: points outside the image folder"):
        suggest_region("../turned.jpg", root=tmp_path)


def test_confidence_is_lower_where_the_box_hangs_on_the_shadow():
    clear, doubtful = (suggest_region(shot(**options))[1] for options in ({}, {"shadow": 40, "blur": 20.0}))
    assert doubtful < clear


def test_without_opencv_the_ground_model_answers_alone(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert suggest_region(shot())[0].iou(BOX) > 0.93
    gradient = np.linspace(250, 150, SIZE[1])[:, None, None] * (1.0, 0.9, 0.8)
    onto = Image.fromarray(np.broadcast_to(gradient, (SIZE[1], SIZE[0], 3)).astype("uint8"))
    onto.paste(shot().crop((BOX.x1, BOX.y1, BOX.x2, BOX.y2)), (BOX.x1, BOX.y1))
    assert suggest_region(onto)[0].iou(BOX) > 0.93
    assert find_model() is None


def test_another_model_than_the_pinned_one_is_refused(tmp_path):
    other = tmp_path / "u2netp.onnx"
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (80, 60, 3), dtype="uint8")).resize(SIZE)
    with pytest.raises(RegionError, match="cannot be read"):
        suggest_region(noise, model=other)
    other.write_bytes(b"another model")
    with pytest.raises(RegionError, match="not the pinned"):
        suggest_region(noise, model=other)


def busy_shot():
    """A dark subject at BOX on ground that no smooth surface explains."""
    rng = np.random.default_rng(5)
    ground = Image.fromarray(rng.integers(110, 255, (40, 30, 3), dtype="uint8")).resize(SIZE, Image.Resampling.NEAREST)
    ground.paste((20, 24, 30), (BOX.x1, BOX.y1, BOX.x2, BOX.y2))
    return ground


@pytest.fixture
def darkness(tmp_path, monkeypatch):
    """A real ONNX file in the place of the pinned one: what is dark is the subject."""
    pytest.importorskip("cv2", reason="models are run by OpenCV")
    file = tmp_path / "u2netp.onnx"
    file.write_bytes(pixelwise_model((-1.0, -1.0, -1.0)))
    monkeypatch.setattr(model, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    return file


def test_a_models_answer_is_kept(darkness):
    region, sure, method = suggest_with_method(busy_shot(), model=darkness)
    assert method == "model"
    assert region.iou(BOX) > 0.9
    assert 0.3 < sure < 1


def test_a_subject_cut_by_the_edge_is_found_to_the_edge():
    cut = shot().crop((0, 0, SIZE[0], 500))
    assert suggest_region(cut)[0].iou(Region(x1=BOX.x1, y1=BOX.y1, x2=BOX.x2, y2=500)) > 0.93
    cut = shot(ground=(170, 175, 172)).crop((230, 0, *SIZE))
    assert suggest_region(cut)[0].iou(Region(x1=0, y1=BOX.y1, x2=BOX.x2 - 230, y2=BOX.y2)) > 0.93


def test_a_subject_on_ground_of_several_colours_is_found_and_doubted_where_it_hardly_differs():
    pytest.importorskip("cv2", reason="grabCut is OpenCV's")
    boards = Image.new("RGB", SIZE, (150, 110, 70))
    for x in range(0, SIZE[0], 40):
        boards.paste((176, 136, 92), (x, 0, x + 20, SIZE[1]))
    clear, faint = boards.copy(), boards.copy()
    clear.paste((40, 80, 150), (BOX.x1, BOX.y1, BOX.x2, BOX.y2))
    faint.paste((160, 120, 80), (BOX.x1, BOX.y1, BOX.x2, BOX.y2))
    region, sure = suggest_region(clear)
    assert region.iou(BOX) > 0.93
    assert sure > suggest_region(faint)[1]


def test_a_model_that_sees_nothing_leaves_the_answer_to_the_others(tmp_path, monkeypatch, darkness):
    blind = tmp_path / "blind.onnx"
    blind.write_bytes(pixelwise_model((0.0, 0.0, 0.0)))
    monkeypatch.setattr(model, "SHA256", hashlib.sha256(blind.read_bytes()).hexdigest())
    assert model.salient(np.asarray(busy_shot()), blind) is None
    assert suggest_with_method(busy_shot(), model=blind)[2] != "model"


def test_threads_may_use_one_model_together(darkness):
    small = np.asarray(busy_shot().resize((150, 200)))
    alone = model.salient(small, darkness)
    with ThreadPoolExecutor(4) as pool:
        for mask in pool.map(lambda _: model.salient(small, darkness), range(12)):
            assert (mask == alone).all()


def test_examples_in_the_docstrings_hold():
    assert sum(doctest.testmod(module).failed for module in (suggest, model)) == 0
