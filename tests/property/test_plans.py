"""Plans against a model of the gallery: what is applied is what is wanted, and nothing goes by accident."""

import random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgprep.core.fields import FIELDS
from imgprep.core.findings import findings_frame
from imgprep.look.rules.book import check
from imgprep.plan.make import plan_batch, plan_between
from imgprep.plan.split import split_batch

PRODUCTS, PICTURES = ["p1", "p2", "p3"], ["a.jpg", "b.jpg", "c.jpg"]
KEYS = [(product, picture) for product in PRODUCTS for picture in PICTURES]
FIELD_NAMES = [field.name for field in FIELDS if field.name != "OperationType"]
DTYPES = {field.name: field.dtype for field in FIELDS if field.name != "OperationType"} | {
    "digest": "str",
    "state": "str",
}

#: key → (CategoryId, digest) of what a catalogue wants or a gallery holds.
galleries = st.dictionaries(st.sampled_from(KEYS), st.tuples(st.sampled_from([0, 1]), st.sampled_from(["d1", "d2"])))


def state(gallery, unknown=()):
    """A gallery state of the model: key → (category, digest)."""
    records = [
        {"ProductId": p, "PicName": n, "CategoryId": c, "CustomContent": "k:v", "digest": d}
        for (p, n), (c, d) in gallery.items()
    ]
    for record in records:
        record["state"] = "unknown" if (record["ProductId"], record["PicName"]) in unknown else "held"
    return pd.DataFrame(records, columns=list(DTYPES)).astype(DTYPES)


def shop(wanted):
    """(catalogue, facts) that want it."""
    rows = [
        {"row": n, "ProductId": p, "PicName": f"{p}/{name}", "CategoryId": str(c), "CustomContent": "k:v"}
        for n, ((p, name), (c, _)) in enumerate(wanted.items(), 1)
    ]
    looks = [{"PicName": f"{p}/{name}", "exists": True, "digest": d} for (p, name), (_, d) in wanted.items()]
    columns = ["row", "ProductId", "PicName", "CategoryId", "CustomContent"]
    catalogue = pd.DataFrame(rows, columns=columns).astype({"row": "Int64"} | dict.fromkeys(columns[1:], "str"))
    return catalogue, pd.DataFrame(looks, columns=["PicName", "exists", "digest"]).astype(
        {"PicName": "str", "digest": "str"}
    )


def named(gallery):
    """The same with names as the catalogue spells them."""
    return {(p, f"{p}/{name}"): value for (p, name), value in gallery.items()}


def apply(gallery, batch, failed=()):
    """The model: what the gallery holds after the batch, where the lines `failed` did nothing."""
    result = dict(gallery)
    for line in batch.itertuples():
        if line.line in failed:
            continue
        if line.OperationType == "ADD":
            result[line.ProductId, line.PicName] = (int(line.CategoryId), line.digest)
        elif pd.isna(line.PicName):
            result = {key: value for key, value in result.items() if key[0] != line.ProductId}
        else:
            result.pop((line.ProductId, line.PicName), None)
    return result


def excluding(catalogue, rows):
    return findings_frame([{"rule": "image-missing", "severity": "error", "row": row} for row in rows])


@given(galleries, galleries, st.sets(st.integers(1, 9)))
def test_applying_plans_reaches_what_is_wanted_and_then_there_is_nothing_to_do(wanted, known, left_out):
    catalogue, images = shop(wanted)
    wanted, gallery = named(wanted), named(known)
    findings = excluding(catalogue, left_out)
    excluded = {key for row, key in enumerate(wanted, 1) if row in left_out}
    before = dict(gallery)

    def plan():
        return plan_batch(catalogue, images=images, known=state(gallery), findings=findings, delete_missing=True)

    first = plan()
    assert len(first.unchanged) + len(first.excluded) + (first.batch["row"].notna()).sum() == len(catalogue)
    gallery = apply(gallery, first.batch)
    # Old images wait for the ADDs of their product; those are reconciled now.
    gallery = apply(gallery, plan().batch)
    assert plan().batch.empty
    assert {key: gallery[key] for key in wanted if key not in excluded} == {
        key: value for key, value in wanted.items() if key not in excluded
    }
    # A row left out leaves its image as it was, there or not.
    assert {key: gallery.get(key) for key in excluded} == {key: before.get(key) for key in excluded}
    # What else is there waits for a row that is left out and not in the gallery.
    waiting = {key[0] for key in excluded if key not in before}
    assert all(key in wanted or key[0] in waiting for key in gallery)
    assert all(key in gallery for key in before if key[0] in waiting)


@given(galleries, galleries)
def test_without_delete_missing_nothing_is_ever_deleted(wanted, known):
    catalogue, images = shop(wanted)
    plan = plan_batch(catalogue, images=images, known=state(named(known)), findings=findings_frame())
    assert not plan.batch["OperationType"].eq("DELETE").any()


@given(galleries, galleries)
def test_a_whole_product_goes_in_one_line_only_when_the_catalogue_no_longer_speaks_of_it(wanted, known):
    catalogue, images = shop(wanted)
    plan = plan_batch(
        catalogue, images=images, known=state(named(known)), findings=findings_frame(), delete_missing=True
    )
    whole = plan.batch.loc[plan.batch["PicName"].isna(), "ProductId"]
    assert set(whole) == {product for product, _ in known} - {product for product, _ in wanted}


@given(galleries, galleries)
def test_the_way_back_leads_back(now, then):
    back = plan_between(state(now), state(then))
    assert apply(now, back.batch) == then


@given(galleries, st.integers(3, 6))
def test_parts_of_a_batch_are_the_batch_and_keep_products_whole(wanted, rows):
    catalogue, images = shop(wanted)
    batch = plan_batch(catalogue, images=images, findings=findings_frame()).batch
    parts = split_batch(batch, max_rows=rows)
    assert all(len(part) <= rows and part["line"].tolist() == list(range(1, len(part) + 1)) for part in parts)
    homes = [product for part in parts for product in part["ProductId"].unique()]
    assert len(homes) == len(set(homes))
    assert sorted(row for part in parts for row in part["row"]) == sorted(batch["row"])


@pytest.mark.parametrize("weeks", [12, pytest.param(50, marks=pytest.mark.proof)])
def test_weeks_with_failures_unknowns_and_late_photographs(weeks):
    luck = random.Random(0)
    gallery, unknown = {}, {}
    wanted = {}
    for _week in range(weeks):
        for key in luck.sample(KEYS, 3):
            if luck.random() < 0.3:
                wanted.pop(key, None)
            else:
                wanted[key] = (luck.choice([0, 1]), luck.choice(["d1", "d2"]))
        catalogue, images = shop(wanted)
        late = {f"{p}/{n}" for p, n in wanted if luck.random() < 0.2}
        images.loc[images["PicName"].isin(late), "exists"] = False
        # What is open may be there or not: the state says so, with what was sent.
        seen = {**gallery, **{key: value for key, value in unknown.items() if key not in gallery}}
        known = state(seen, unknown=set(unknown))
        findings = check(catalogue, images)
        findings = findings[findings["rule"].eq("image-missing")]
        plan = plan_batch(catalogue, images=images, known=known, findings=findings, delete_missing=True)
        assert not set(plan.batch.loc[plan.batch["OperationType"] == "ADD", "PicName"]) & late
        lost = set(gallery) - set(apply(gallery, plan.batch))
        assert not {key for key in lost if key in named(wanted)}, "a wanted image was to be deleted"
        failed = {line for line in plan.batch["line"] if luck.random() < 0.1}
        open_lines = {line for line in plan.batch["line"] if luck.random() < 0.1} - failed
        came_true = {line for line in open_lines if luck.random() < 0.5}
        settled = plan.batch[~plan.batch["line"].isin(open_lines | failed)]
        unknown = {key: value for key, value in unknown.items() if key in apply(unknown, settled)}
        for line in settled.itertuples():
            unknown.pop((line.ProductId, line.PicName), None)
        for line in plan.batch[plan.batch["line"].isin(open_lines)].itertuples():
            keys = [k for k in {**gallery, **unknown} if k[0] == line.ProductId] if pd.isna(line.PicName) else []
            for key in keys or [(line.ProductId, line.PicName)]:
                if isinstance(key[1], str):
                    unknown[key] = seen.get(key, (0, "d1"))
        gallery = apply(gallery, plan.batch, failed=failed | (open_lines - came_true))
    # Quiet weeks: every photograph is there, nothing fails, nothing stays open.
    catalogue, images = shop(wanted)
    for _week in range(3):
        seen = {**unknown, **gallery}
        plan = plan_batch(
            catalogue,
            images=images,
            known=state(seen, unknown=set(unknown)),
            findings=findings_frame(),
            delete_missing=True,
        )
        gallery, unknown = apply(gallery, plan.batch), {}
    assert gallery == named(wanted)
    assert plan.batch.empty
