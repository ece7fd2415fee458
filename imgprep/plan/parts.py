"""Build the batches of an export that is too large for memory, in parts by product.

The rows are divided once (`imgprep.load.parts`); then each part is checked, planned and written as a batch folder of
its own, with the functions that build any batch. What rules and plans compare across parts is gathered beforehand.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from imgprep.core.errors import ConfigError
from imgprep.core.fields import META_NAME
from imgprep.core.files import DRAFT, LOG, Written
from imgprep.core.findings import findings_frame
from imgprep.core.frames import attach, detached, returns_table, to_pandas, to_polars
from imgprep.core.notebook import shows
from imgprep.core.text import counted
from imgprep.draw.store import RegionStore
from imgprep.load.catalogue import ELSEWHERE, NAMED_BY, NOT_READ, without_image
from imgprep.load.column_map import load_columns
from imgprep.load.left_out import LEFT_OUT, left_out, wanted_rows
from imgprep.load.parts import PIECE_ROWS, NotDivisible, Writers, count_rows, divide, part_of
from imgprep.look.rules.batch import (
    MIN_DECIDED,
    count_products,
    folded,
    judged_regions,
    pictured,
    region_kinds,
    settled_regions,
    settling_regions,
    shared_images,
    twin_names,
)
from imgprep.look.rules.book import merge_findings, merge_ran, require_rules
from imgprep.look.rules.limits import limits_for, service_type
from imgprep.look.rules.sheet import Beyond, Sheet, make_sheet, region_rows
from imgprep.plan.batch_folder import (
    HELD_META,
    WANTED,
    Built,
    basis_of,
    builds_alone,
    fresh_folder,
    is_marked,
    require_batch_folder,
    sha256_of,
    write_folder,
    write_table,
    write_wanted,
)
from imgprep.plan.build import Rules, judge_rows
from imgprep.plan.compare import gallery_digest, known_in_part, nameless
from imgprep.plan.make import hides_products, plan_rows, with_loaded, with_withheld
from imgprep.plan.model import Baseline
from imgprep.plan.preview import BlastRadius, blast_radius, excluded_note

_log = logging.getLogger(__name__)

#: Rows of a part, unless the number of parts is given; a part needs about 1 GB of memory.
ROWS_PER_PART = 1_000_000
#: From this many rows on, `imgprep build` works in parts by itself.
PARTS_FROM = 3_000_000
STATE, MARK = "parts.json", "batch parts"
FINDINGS, LOADED = "findings.parquet", "loaded.parquet"


@dataclass(frozen=True)
class Parts:
    """The batch folders of an export that was built in parts, and what they add up to.

    Attributes
    ----------
    folder : Path
        The folder of the parts.
    folders : list of Path
        The batch folders, in the order in which to send them; `imgprep.ship.submit.submit_all` sends several.
    rows : int
        Rows of the catalogue.
    left : dict
        Counts of ``images`` and ``products`` that stay in the gallery although the export no longer has them.
    loss : BlastRadius
        The images and products that the parts delete from the gallery.
    """

    folder: Path
    folders: list[Path]
    rows: int
    left: dict[str, int]
    loss: BlastRadius
    _parts: list[dict[str, Any]] = field(repr=False)

    def __repr__(self) -> str:
        lines = sum(part["lines"] for part in self._parts)
        return f"Parts({self.folder.name}: {counted(len(self.folders), 'batch folder')}, {lines:,} lines)"

    @returns_table
    def summary(self) -> pd.DataFrame:
        """Count rows by planned action; see `Plan.summary`."""
        rows = pd.concat([pd.DataFrame(part["summary"]) for part in self._parts], ignore_index=True)
        order = {what: place for place, what in enumerate(rows["what"].unique())}
        rows = rows.groupby(["what", "reason"], as_index=False, dropna=False)[["rows", "products"]].sum()
        rows = rows.assign(place=rows["what"].map(order)).sort_values(["place", "rows"], ascending=[True, False])
        return rows.drop(columns="place").reset_index(drop=True)

    @property
    def excluded(self) -> pd.Series[Any]:
        """The number of excluded rows by reason, most frequent first."""
        counts = pd.DataFrame([part["excluded"] for part in self._parts], dtype="float64").sum()
        return counts.astype("int64").sort_values(ascending=False).rename("rows").rename_axis("reason")

    @cached_property
    def findings(self) -> pd.DataFrame:
        """The findings on the whole catalogue, as from `check`, part by part."""
        ran = merge_ran([pd.DataFrame(part["ran"]) for part in self._parts])
        return attach(pd.read_parquet(self.folder / FINDINGS), ran=ran)


@builds_alone
def build_parts(
    export: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    parts: int | None = None,
    preset: str = "auto",
    columns: Mapping[str, Any] | str | Path | None = None,
    where: str | None = None,
    sheet: str | int | None = None,
    one_product: bool = False,
    rules: Rules | None = None,
    baseline: Baseline | None = None,
    facts: str | os.PathLike[str] | None = None,
    regions: RegionStore | pd.DataFrame | None = None,
    progress: bool = True,
) -> Parts:
    """Check and plan an export of any size, and write it as several batch folders.

    The export is never in memory as a whole: its rows are divided by product, and each part becomes a batch folder.
    Findings and lines are those of `check` and `plan_batch` on the whole catalogue. A repeated call continues with the
    first part that is not finished; if the export or a setting has changed, it starts over. No part can be sent before
    all are finished.

    Parameters
    ----------
    export : path
        CSV in UTF-8, or Parquet, with columns named as the fields of increment.meta or mapped by `columns`.
    out : path
        The folder of the parts; new, or from an earlier call.
    parts : int, optional
        Number of parts; default: one per million rows.
    preset, columns, where, sheet, one_product
        As in `load_catalogue`; the last two need the whole export, and are refused.
    rules : Rules, optional
        The shop's rules; by default those for the service type product.
    baseline : Baseline, optional
        As in `build_batch`; the last export is not compared.
    facts : path, optional
        Facts about the images as they will be sent, saved by ``inspect_images(…, out=…)``; without them, only the rows
        are checked.
    regions : RegionStore or pandas.DataFrame, optional
        Subject regions.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Parts

    Raises
    ------
    CatalogueError
        The export can only be read whole (`imgprep.load.parts.NotDivisible`); the message says why.
    ConfigError
        `out` holds files not written by imgprep; many rows are excluded or many deletions are unconfirmed. Then no
        part has an increment.meta; a repeated call with the confirmation need not work again.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load().head(20)
    >>> catalogue.to_csv("catalogue.csv", index=False)
    >>> built = build_parts("catalogue.csv", "parts", parts=2, progress=False)
    >>> built
    Parts(parts: 2 batch folders, 20 lines)
    >>> [folder.name for folder in built.folders]
    ['part-1', 'part-2']
    """
    path, rules, baseline = Path(export), rules or Rules(), baseline or Baseline()
    require_rules(rules.service, rules.severity, rules.limits, rules.measured)
    if baseline.last is not None:
        raise ConfigError("parts: the last export is not compared; use compare_exports, or leave last out")
    for name, given in (("sheet", sheet is not None), ("one_product", one_product)):
        if given:
            raise NotDivisible(f"{path.name}: {name} needs the whole export; leave it out, or build without parts")
    if parts is not None and parts < 1:
        raise ConfigError(f"parts={parts}: must be a positive number")
    count = parts or max(1, round((count_rows(path) or 1) / ROWS_PER_PART))
    job = _Job(Path(out), path, count, rules=rules, baseline=baseline, regions=regions, facts=facts)
    job.open({"preset": preset, "columns": None if columns is None else dict(load_columns(columns)[0]), "where": where})
    job.divide(preset, columns, where)
    job.divide_facts()
    job.build(progress=progress)
    job.release()
    return job.result()


class _Job:
    """The work on one export; `state` tells what is finished, and is saved after each step."""

    def __init__(
        self,
        out: Path,
        path: Path,
        count: int,
        *,
        rules: Rules,
        baseline: Baseline,
        regions: RegionStore | pd.DataFrame | None,
        facts: str | os.PathLike[str] | None,
    ) -> None:
        self.out, self.path, self.count = out, path, count
        self.rules, self.baseline, self.regions = rules, baseline, regions
        self.facts_file = None if facts is None else Path(facts)
        self.folders = [out / f"part-{number:0{len(str(count))}}" for number in range(1, count + 1)]
        self.written = Written(out)
        self.state: dict[str, Any] = {}
        self.beyond: Beyond | None = None
        self.limits = limits_for(service_type(rules.service), rules.limits)
        # What is missing from one part may be hidden by what another part finds.
        self.two_steps = baseline.known is not None and baseline.delete_missing
        self.names: pl.Series | None = None

    def open(self, reading: Mapping[str, Any]) -> None:
        """Continue after the finished parts, or start over if they were made from other input."""
        found = sorted(item.name for item in self.out.iterdir()) if self.out.is_dir() else []
        strangers = [name for name in found if name != LOG and not name.startswith(DRAFT)]
        state = _read_state(self.out)
        if strangers and not state:
            lacks = f"contains {strangers[0]!r} and no {STATE}, so it is not a folder of parts"
            raise ConfigError(f"{self.out}: {lacks}; choose another --out")
        earlier = [self.out / name for name in found if _is_part(name) and is_marked(self.out / name)]
        for folder in (self.out, *earlier):
            Written(folder).clear_drafts()
        key = self._key(reading)
        whole = all((folder / _CATALOGUE).exists() for folder in self.folders)
        if state.get("key") == key and (whole or state["divided"] is None):
            self.state = state
            for part, folder in enumerate(self.folders):
                if not ((folder / META_NAME).exists() or (folder / HELD_META).exists()):
                    state["parts"].pop(str(part), None)
            if 0 < len(self.state["parts"]) < self.count:
                _log.warning("%s: continues after %d of %d parts", self.out, len(self.state["parts"]), self.count)
            return
        before = state.get("key")
        if before:
            changed = [name for name in key if key[name] != before.get(name)] or ["set of files in the parts"]
            _log.warning("%s: starts over, because of a change of: %s", self.out, ", ".join(changed))
        folders = list(dict.fromkeys([*earlier, *self.folders]))  # of more parts than now, the others stay empty
        for folder in folders:
            require_batch_folder(folder, [], [self.path])
        self.out.mkdir(parents=True, exist_ok=True)
        self.state = {"key": {}, "divided": None, "checked": {}, "parts": {}, "settling": [], "settled": None}
        self.state["facts"] = False
        self.save()  # without a key, as a call that is killed below leaves parts of the earlier export
        for name in (FINDINGS, LOADED):
            self.written.remove(name)
        for folder in folders:
            fresh_folder(folder, [], [self.path])
        self.state["key"] = key
        self.save()

    def _key(self, reading: Mapping[str, Any]) -> dict[str, Any]:
        rules, baseline = self.rules, self.baseline
        drawn = None if self.regions is None else region_rows(self.regions).write_csv()
        key = {
            "export": sha256_of(self.path),
            "number of parts": self.count,
            "way to read it": reading,
            "rule": [rules.service, dict(rules.severity), dict(rules.limits), sorted(rules.measured)],
            "gallery": None if baseline.known is None else gallery_digest(baseline.known),
            "plan": [baseline.delete_missing, list(baseline.ignore), baseline.instance],
            "region": drawn and hashlib.sha256(drawn.encode()).hexdigest(),
            "table of facts": self.facts_file and sha256_of(self.facts_file),
            "version of imgprep": version("imgprep"),
            "version of polars": pl.__version__,
        }
        return dict(json.loads(json.dumps(key, default=str)))

    def save(self) -> None:
        """Save what is finished."""
        with self.written.writing(STATE) as draft:
            draft.write_text(json.dumps({"imgprep": MARK, **self.state}), encoding="utf-8")

    def divide(self, preset: str, columns: Any, where: str | None) -> None:
        """Write the rows of the export into the parts, unless that is finished."""
        if self.state["divided"] is not None:
            return
        with ExitStack() as stack:
            files = [stack.enter_context(Written(folder).writing(_CATALOGUE)) for folder in self.folders]
            divided = divide(self.path, files, preset=preset, columns=columns, where=where)
        with self.written.writing(LOADED) as draft:
            divided.findings.to_parquet(draft, index=False)
        names = ("rows", "wanted", "hides", "added", "folded")
        self.state["divided"] = {name: getattr(divided, name) for name in names}
        if divided.hides:  # any part may then have the product of such a record
            rules = divided.unread.set_index("row")["rule"].to_dict()
            for part, folder in enumerate(self.folders):
                rows = self.catalogue(part)
                name = NOT_READ if NOT_READ not in rows else f"{NOT_READ}_now"
                rows[name] = pd.Series([rules.get(row, ELSEWHERE) for row in rows["row"]], rows.index, dtype="str")
                write_table(Written(folder), "catalogue", rows)
        self.save()

    def catalogue(self, part: int) -> pd.DataFrame:
        """Return a part of the catalogue, in the form in which `load_catalogue` returns the whole."""
        import pyarrow.parquet as pq  # noqa: PLC0415  heavy: it brings file systems and TLS

        kinds = {pa.large_string(): pd.StringDtype(na_value=float("nan")), pa.int64(): pd.Int64Dtype()}
        frame = pq.read_table(self.folders[part] / _CATALOGUE).to_pandas(types_mapper=kinds.get)
        frame = frame.drop(columns=list(self.state["divided"]["added"]), errors="ignore")
        loaded = pd.read_parquet(self.out / LOADED, filters=[("part", "==", part)]).drop(columns="part")
        found = [each for each in (loaded, without_image(wanted_rows(frame, NAMED_BY))) if len(each)]
        return attach(frame, findings=pd.concat(found, ignore_index=True) if found else findings_frame())

    def build(self, *, progress: bool) -> None:
        """Check, plan and write each part that is not finished."""
        from tqdm.auto import tqdm  # noqa: PLC0415  needed only here

        settled = self.state["settled"]
        twins = self._twins() if self.state["divided"]["folded"] else twin_names(_NO_NAMES, _NO_NAMES)
        shared = _NO_IMAGES if self.facts_file is None else self._shared()
        self.beyond = Beyond(twins, shared, tuple(settled) if settled else None)
        with tqdm(total=self.count, disable=not shows(progress), unit="part", desc="build") as bar:
            if self.two_steps:
                for part in self._unfinished("checked", bar):
                    self._check(part)
                found = [pl.read_parquet(folder / WANTED, columns=_NAMES) for folder in self.folders]
                self.names = pl.concat([nameless(rows) for rows in found]).unique()
                bar.reset()
            for part in self._unfinished("parts", bar):
                self._plan(part, *(self._checked(part) if self.two_steps else self._check(part)))

    def _unfinished(self, step: str, bar: Any) -> Iterator[int]:
        """Yield each unfinished part, and then save that it is finished; one may show that all must be repeated."""
        while len(done := self.state[step]) < self.count:
            bar.update(len(done) - bar.n)
            yield next(part for part in range(self.count) if str(part) not in done)
            self.save()
        bar.update(self.count - bar.n)

    def _check(self, part: int) -> tuple[pd.DataFrame, pd.DataFrame, pl.DataFrame]:
        """Return a part's catalogue, its findings, and its wanted rows; record what ran."""
        catalogue = self.catalogue(part)
        sheet = self._sheet(part, catalogue)
        self._settle(sheet.of_wanted().rows)
        sheet = replace(sheet, beyond=self.beyond)
        checked, errors, wanted = judge_rows(sheet, catalogue, self.rules, keep_refused=False)
        loaded = catalogue.attrs["findings"]
        findings = pd.concat([loaded, checked], ignore_index=True) if len(loaded) else checked
        write_wanted(self.folders[part], wanted)
        if self.two_steps:
            write_table(Written(self.folders[part]), "findings", findings)
        ran = checked.attrs["ran"].astype(object).where(lambda table: table.notna(), None)
        self.state["checked"][str(part)] = {"ran": ran.to_dict("records"), "hides": hides_products(errors)}
        return catalogue, findings, wanted

    def _checked(self, part: int) -> tuple[pd.DataFrame, pd.DataFrame, pl.DataFrame]:
        """Return what `_check` returned, from the part's folder."""
        folder = self.folders[part]
        return self.catalogue(part), pd.read_parquet(folder / "findings.parquet"), pl.read_parquet(folder / WANTED)

    def _plan(self, part: int, catalogue: pd.DataFrame, findings: pd.DataFrame, wanted: pl.DataFrame) -> None:
        """Plan a part, and write its batch folder without an increment.meta that could be sent."""
        began = datetime.now(UTC).isoformat()
        basis: dict[str, Any] = {"part": {"number": part + 1, "of": self.count, "hash": pl.__version__}}
        known = None if self.baseline.known is None else known_in_part(self.baseline.known, basis)
        baseline = replace(self.baseline, known=known)
        hides = self.two_steps and any(checked["hides"] for checked in self.state["checked"].values())
        errors = with_withheld(with_loaded(findings, catalogue), withheld=hides)
        plan = plan_rows(catalogue, wanted, errors, service_type(self.rules.service), baseline, names=self.names)
        loss = blast_radius(plan, known)
        none = pd.DataFrame({"PicName": pd.Series(dtype="str")})
        built = Built(self.folders[part], plan, findings, none, none, none, loss)
        there = ["catalogue"] if self.facts_file is None else ["catalogue", "facts"]
        basis = basis_of(baseline, began) | basis
        basis["digest"] = basis["digest"] or gallery_digest(pd.DataFrame())
        # Planned again, the part does not see what others find.
        basis["withheld"] = hides or bool(self.names is not None and len(self.names))
        sources = {self.path.name: self.state["key"]["export"]}
        options: dict[str, Any] = {"basis": basis, "there": there, "meta": HELD_META}
        write_folder(built, catalogue, self.rules.service, False, sources, **options)
        self.state["parts"][str(part)] = {
            "lines": len(plan.batch),
            "summary": plan.summary().to_dict("records"),
            "excluded": plan.excluded["reason"].value_counts().to_dict(),
            "carried": plan.carried["field"].value_counts().to_dict(),
            "recategorised": int(plan.category_changes()["images"].sum()),
            "left": plan.left,
            "loss": [loss.images, loss.products, loss.held],
        }

    def _settle(self, rows: pl.DataFrame) -> None:
        """Judge the order of all regions of the catalogue once a few of them are impossible as written."""
        state = self.state
        kinds = {tuple(kind) for kind in state["settling"]}
        if len(kinds) >= MIN_DECIDED:
            return
        kinds |= set(settling_regions(rows).head(MIN_DECIDED).rows())
        state["settling"] = sorted(kinds, key=str)
        if len(kinds) >= MIN_DECIDED and (settled := settled_regions(self._verdict())):
            state["settled"], state["checked"], state["parts"] = list(settled), {}, {}
            assert self.beyond is not None  # noqa: S101  set by `build`
            self.beyond = replace(self.beyond, settled=settled)

    def _verdict(self) -> Mapping[str, Any]:
        """Return the verdict on the order of the coordinates in the regions of the whole catalogue."""
        kinds = pl.DataFrame()
        for part in range(self.count):
            sheet = self._sheet(part, self.catalogue(part))
            kinds = pl.concat([kinds, region_kinds(sheet.of_wanted().rows)], how="diagonal").unique(maintain_order=True)
        return dict(judged_regions(kinds).attrs["verdict"].iloc[0])

    def _sheet(self, part: int, catalogue: pd.DataFrame) -> Sheet:
        facts = None if self.facts_file is None else self._facts(part)
        options: dict[str, Any] = {"service": self.rules.service, "limits": self.rules.limits}
        return make_sheet(catalogue, facts, regions=self.regions, **options)

    def _facts(self, part: int) -> pd.DataFrame:
        return pd.read_parquet(self.folders[part] / _FACTS)

    def divide_facts(self) -> None:
        """Write the facts of each part's images into its folder, unless that is finished."""
        import pyarrow.parquet as pq  # noqa: PLC0415  heavy: it brings file systems and TLS

        if self.facts_file is None or self.state["facts"]:
            return
        with self.written.temporary() as place, ExitStack() as stack:
            # Facts and names are joined by name, in as many buckets as there are parts.
            names, facts = ([place / f"{kind}{number}" for number in range(self.count)] for kind in ("n", "f"))
            with Writers(names) as writers:
                for part in range(self.count):
                    own = to_polars(self.catalogue(part), ["PicName"]).drop_nulls().unique().with_columns(part=part)
                    writers.write(to_pandas(own), part_of(own["PicName"], self.count))
            with Writers(facts) as writers, pq.ParquetFile(self.facts_file) as file:
                if "PicName" not in file.schema_arrow.names:
                    raise ConfigError(
                        f"{self.facts_file}: has no column PicName; pass what inspect_images(out=…) wrote"
                    )
                tables = (pa.Table.from_batches([batch]) for batch in file.iter_batches(PIECE_ROWS))
                for table in chain([file.schema_arrow.empty_table()], tables):
                    frame = table.to_pandas(types_mapper=_DTYPES.get)
                    writers.write(frame, part_of(pl.Series(pa.array(frame["PicName"])), self.count))
            out = [stack.enter_context(Written(folder).writing(_FACTS)) for folder in self.folders]
            writers = stack.enter_context(Writers(out))
            for name, fact in zip(names, facts, strict=True):
                met = pl.read_parquet(fact).join(
                    pl.read_parquet(name), on="PicName", how="inner", maintain_order="left"
                )
                writers.write(to_pandas(met.drop("part")), met["part"].to_numpy().astype(np.int64))
        self.state["facts"] = True
        self.save()

    def _shared(self) -> pl.DataFrame:
        """Return the images of the whole catalogue that many products share; see `shared_images`."""
        columns = ["row", "ProductId", "PicName", "OperationType", LEFT_OUT]

        def rows(part: int) -> pl.DataFrame:
            frame = self.catalogue(part)
            return pictured(self._sheet(part, frame[[name for name in columns if name in frame]]).of_wanted().rows)

        with self.written.temporary() as place:
            files = [place / str(number) for number in range(self.count)]
            with Writers(files) as writers:
                for part in range(self.count):
                    counts = count_products(rows(part))
                    writers.write(to_pandas(counts), part_of(counts["i_digest"], self.count))
            # No product is in two parts, so the numbers add up.
            sums = [pl.read_parquet(file).group_by("i_digest").agg(pl.col("products").sum()) for file in files]
        least = self.limits["placeholder_products"]
        many = pl.concat([counts.filter(pl.col("products") >= least) for counts in sums])
        if not many.height:
            return _NO_IMAGES
        found = [rows(part).join(many, on="i_digest", how="semi") for part in range(self.count)]
        return shared_images(pl.concat(found).sort("row", maintain_order=True), many)

    def _twins(self) -> pl.DataFrame:
        """Return the names of the whole catalogue that differ only in case or Unicode form; see `twin_names`."""
        with self.written.temporary() as place:
            files = [place / str(number) for number in range(self.count)]
            with Writers(files) as writers:
                for part in range(self.count):
                    frame = self.catalogue(part)
                    names = to_polars(frame[left_out(frame).isna()], ["PicName"]).drop_nulls().unique()
                    names = names.rename({"PicName": "name"})
                    writers.write(to_pandas(names), part_of(names.select(folded()).to_series(), self.count))
            return pl.concat([twin_names(names, names) for names in map(pl.read_parquet, files)])

    def release(self) -> None:
        """Give every part its increment.meta, if what the parts exclude and delete is not too much."""
        result = self.result()
        result.loss.require(self.baseline.instance or "gallery", self.baseline.confirm)
        reasons = result.excluded
        note = excluded_note(
            pd.Series(np.repeat(reasons.index.to_numpy(), reasons.to_numpy()), dtype="str"),
            self.state["divided"]["wanted"],
            self.limits,
        )
        if note is not None and self.baseline.confirm_rows != result.rows:
            rows = f"{result.rows} (confirm_rows=, --confirm-rows)"
            raise ConfigError(f"{note}; if that is intended, confirm the number of rows in the export: {rows}")
        if not (self.out / FINDINGS).exists():
            self._merge()
        for folder in self.folders:
            if (folder / HELD_META).exists():
                Written(folder).rename(HELD_META, META_NAME)

    def _merge(self) -> None:
        import pyarrow.parquet as pq  # noqa: PLC0415  as above

        ran = [pd.DataFrame(self.state["checked"][str(part)]["ran"]) for part in range(self.count)]
        tables = (pd.read_parquet(folder / "findings.parquet") for folder in self.folders)
        schema = pa.Schema.from_pandas(findings_frame(), preserve_index=False)
        with self.written.writing(FINDINGS) as draft, pq.ParquetWriter(draft, schema) as writer:
            for table in merge_findings(tables, ran, self.limits["info_rows"], self.rules.measured):
                writer.write_table(pa.Table.from_pandas(detached(table), schema, preserve_index=False))

    def result(self) -> Parts:
        """Return what was built."""
        done = [
            {**self.state["parts"][str(part)], "ran": self.state["checked"][str(part)]["ran"]}
            for part in range(self.count)
        ]
        images, products, held = (sum(part["loss"][place] for part in done) for place in range(3))
        left = {name: sum(part["left"][name] for part in done) for name in ("images", "products")}
        loss = BlastRadius(images=images, products=products, held=held)
        return Parts(self.out, self.folders, self.state["divided"]["rows"], left, loss, done)


_CATALOGUE, _FACTS = "catalogue.parquet", "facts.parquet"
_DTYPES = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
_NAMES = ["ProductId", "PicName", "found_name"]
_NO_NAMES = pl.DataFrame(schema={"name": pl.String})
_NO_IMAGES = pl.DataFrame(
    schema={"i_digest": pl.String, "products": pl.UInt32, "ids": pl.List(pl.String), "first": pl.Int64}
)


def _is_part(name: str) -> bool:
    return re.fullmatch(r"part-\d+", name) is not None


def _read_state(folder: Path) -> dict[str, Any]:
    """Return what is finished in a folder of parts; empty if it is not one."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return state if isinstance(state, dict) and state.get("imgprep") == MARK else {}
