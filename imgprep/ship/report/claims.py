"""Find the lines of the batch that a text reports as failed: by names and ids, else by numbers labelled as lines.

A bare number is a line only in a column of line numbers, see `Names.of_cells`. All claims in an entry count. An
undecided claim has no line (a stray); lines that the report does not name are then unknown.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import polars as pl

#: Maximum length of raw text kept in a frame, in characters; report.raw has the full text.
RAW_MAX = 4000

ENTRY_SCHEMA: dict[str, Any] = {
    "raw": pl.String,
    "at": pl.Int64,
    "ProductId": pl.String,
    "PicName": pl.String,
    "code": pl.String,
    "message": pl.String,
}

#: The parts that identify an entry's line.
KEYS = frozenset({"at", "nth", "ProductId", "PicName"})

NAMES: dict[str, tuple[str, ...]] = {
    "at": ("line", "lineno", "linenumber", "linenum", "row", "rownumber", "行号", "行"),
    # The number of a line or an entry, used only if nothing else names the line.
    "nth": ("index", "序号"),
    "ProductId": ("productid", "itemid", "product", "id", "商品id", "产品id", "商品编号", "产品编号"),
    "PicName": ("picname", "pic", "picturename", "imagename", "image", "filename", "file")
    + ("图片名称", "图片", "图片名", "图片文件名", "文件名"),
    "code": ("code", "errorcode", "errcode", "failurecode", "错误码", "失败码", "错误代码"),
    "message": ("message", "msg", "errormsg", "errormessage", "errmsg", "reason", "failurereason", "cause")
    + ("error", "description", "detail", "失败原因", "原因", "错误信息", "错误", "错误原因", "错误描述"),
}
#: Maximum length of a column name, including separators.
_NAME_MAX = 30
_PLURAL = re.compile(r"(?:s|_?list|列表)$", re.IGNORECASE)
_SIGNS = dict.fromkeys(map(ord, " \t\r\n\xa0\u3000_-."))
_ROLE = {name: role for role, names in NAMES.items() for name in names}


@lru_cache(maxsize=1024)
def role_of(name: str) -> str | None:
    """Return the part of an entry that a column or key called `name` contains, or None."""
    return _ROLE.get(name.translate(_SIGNS).casefold()) if len(name) <= _NAME_MAX else None


@lru_cache(maxsize=1024)
def list_role(name: str) -> str | None:
    """Return the part of an entry in a list called `name`, such as PicName, pic_names or 图片列表, or None."""
    return role_of(name) or role_of(_PLURAL.sub("", name))


#: Line, ProductId and PicName of one claim; None for each that the claim does not name.
Claim = tuple[int | None, str | None, str | None]
#: A claim that something failed, without naming it.
STRAY: Claim = (None, None, None)

_STOPS = ".:：。!！?？"
_QUOTES = "\"'“”‘’「」『』【】《》〈〉"
#: A token; names that contain separators are looked up as a whole.
_TOKEN = re.compile(r"[^\s,;|=:，；：、。！？\"'()（）\[\]<>{}“”‘’「」『』【】《》〈〉]+")
_ASCII = re.compile(r"[\x21-\x7e]+")
_IMAGE = re.compile(r".\.(?:jpe?g|png|bmp|webp|gif|tiff?|heic|avif)$", re.IGNORECASE)
#: Space between the words of a label, bounded so that long runs of blanks stay fast.
_S = r"\s{0,8}"
#: What may not follow a number: the rest of a word or longer number, or (`_UNIT`) a unit that makes it a count.
_AFTER = r"(?![A-Za-z0-9_]|\.\d)"
_UNIT = rf"(?!{_S}(?:errors?|failures?|times|attempts?|m?s|[km]b|px|%|次|秒)(?![A-Za-z]))"
_PAIR = re.compile(
    rf"(?:\b(?=[pi])|(?=[商产图]))(product_?id|item_?id|pic_?name|pic|image|[商产]品{_S}(?:id|编号)|图片(?:文件)?名?称?)"
    rf"[\"']?{_S}[:=：]{_S}(?:\"([^\"]*)\"|'([^']*)'|([^\s,;，；]+))",
    re.IGNORECASE,
)
_NUMBER = r"(?<!\d)\d{1,9}"
_TO = r"(?:-|–|—|~|～|至|到|to\b|through\b)"
_JOIN = rf"(?:{_TO}|,|，|、|;|&|\+|和|及|与|and\b|or\b)"
_LINE = r"(?:第|lines?\b|rows?\b)?"
_NUMBERS = rf"{_NUMBER}(?:{_S}行?{_S}{_JOIN}{{1,4}}(?:{_S}(?:and|or)\b)?{_S}{_LINE}{_S}{_NUMBER}{_AFTER}{_UNIT})*"
_LABELLED = re.compile(
    rf"(?<![A-Za-z0-9_])(?:line|row)s?{_S}(?:nos?\b\.?|numbers?)?{_S}[:=#：]?{_S}({_NUMBERS}){_AFTER}"
    rf"|第{_S}({_NUMBERS}){_S}[行条]"
    rf"|(?:行号{_S}[:=：#]?|(?<![进执运])行{_S}[:=：#]){_S}({_NUMBERS}){_AFTER}",
    re.IGNORECASE,
)
_ONE = re.compile(rf"({_NUMBER})(?:{_S}行?{_S}{_TO}{_S}{_LINE}{_S}({_NUMBER}))?", re.IGNORECASE)
#: A whole cell of line numbers, including the forms that spreadsheets and data frames write.
_CELL = re.compile(rf"(?:(?:line|row)s?{_S}#?{_S}|第)?{_S}({_NUMBERS}){_S}行?", re.IGNORECASE)
_WHOLE = re.compile(r"([+-]?\d{1,18})(?:\.0+)?")
_THINGS = r"(?:rows?|lines?|images?|pictures?|entries|entry|records?|items?|products?|files?)"
_COUNT = r"(?<![\w.])(\d{1,12})"
_IS = r"[\"'\s]{0,8}[:=：,;|\t]{0,8}[\"'\s]{0,8}(\d{1,12})"
#: Counts of failures and (`_TOTAL`) totals.
_FAILED = re.compile(
    rf"{_COUNT}{_S}(?:of\s(?:the\s)?\d{{1,12}}\s)?(?:{_THINGS}\s(?:(?:have|were|are)\s)?)?"
    r"(?:failed|failures?|errors?|refused|rejected|bad|broken)(?![a-z])"
    rf"|(?:fail(?:ed|ures?)?|errors?)[_\s]{{0,8}}(?:{_THINGS}|counts?|num(?:ber)?|total)?{_IS}{_AFTER}"
    rf"|失败[了数量条行]{{0,4}}{_IS}|(?<![第\d])(\d{{1,12}}){_S}[条行张个件款][^0-9]{{0,6}}失败",
    re.IGNORECASE,
)
_TOTAL = re.compile(
    r"(?:(?<![A-Za-z])(?:total|sum|in all|count)|共|合计|总计|总数)[_\s]{0,8}(?:of\s)?"
    rf"(?:{_THINGS}|counts?|数)?{_IS}{_AFTER}"
    rf"|{_COUNT}{_S}{_THINGS}{_S}(?:in all|in total|altogether)"
    rf"|(?<![A-Za-z])(?:lines|rows){_S}[:=：]{_S}(\d{{1,12}}){_AFTER}(?!{_S}{_JOIN}{_S}\d)",
    re.IGNORECASE,
)
#: Labels before a bare number: for an id, without a colon; for an error code.
_LABELLED_ID = re.compile(rf"(?:product|item|sku|id|商品|产品|编号){_S}#?{_S}$", re.IGNORECASE)
_LABELLED_CODE = re.compile(r"(?:code|status|http|error|错误码|状态码)[\"'\s:=：#]{0,8}$", re.IGNORECASE)
_LABEL_MAX = 40


@dataclass
class Found:
    """Lines, products and images that a text names."""

    numbers: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    pics: list[str] = field(default_factory=list)
    #: Whether the text may name something that cannot be decided.
    doubtful: bool = False

    def __bool__(self) -> bool:
        return bool(self.numbers or self.ids or self.pics or self.doubtful)


#: Where something is in a text: the positions of its start and end.
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Places:
    """Where lines of text that differ only in digits have the names of a product and an image."""

    ProductId: Span | None
    PicName: Span | None
    #: Words with digits, and what each is (PicName, else ProductId, else ""), which other lines must match.
    words: dict[Span, str]


class Names:
    """The names and numbers of a batch's lines (``line, ProductId, PicName``); each index is built on first use."""

    def __init__(self, lines: pl.DataFrame) -> None:
        self._lines = lines
        #: Number of lines that ranges may still name, so that many ranges cannot exhaust memory.
        self._room = 4 * lines.height + 100_000

    @cached_property
    def ids(self) -> frozenset[str]:
        """Every ProductId."""
        return frozenset(self._lines["ProductId"].drop_nulls().to_list())

    @cached_property
    def pics(self) -> frozenset[str]:
        """Every PicName."""
        return frozenset(self._lines["PicName"].drop_nulls().to_list())

    @cached_property
    def _owners(self) -> dict[str, list[str]]:
        """PicName → the products that have this image."""
        pairs = self._lines.select("PicName", "ProductId").drop_nulls().unique(maintain_order=True)
        return dict(pairs.group_by("PicName", maintain_order=True).agg("ProductId").iter_rows())

    @cached_property
    def _by_number(self) -> dict[int, tuple[str | None, str | None]]:
        return {
            line: (product, pic) for line, product, pic in self._lines.select("line", "ProductId", "PicName").rows()
        }

    @cached_property
    def _last(self) -> int:
        last = self._lines["line"].max()
        return last if isinstance(last, int) else 0

    def __contains__(self, name: object) -> bool:
        return name in self.pics or name in self.ids

    @cached_property
    def _broken(self) -> dict[str, list[str]]:
        """First token → the names that start with it and have several tokens, longest first."""
        found: dict[str, list[str]] = {}
        names = pl.concat([self._lines["PicName"], self._lines["ProductId"]]).drop_nulls()
        unusual = names.filter(names.str.contains("[^A-Za-z0-9_.-]")).unique(maintain_order=True)
        for name in sorted(unusual, key=len, reverse=True):
            first = _TOKEN.search(name)
            if first and first.group() != name:
                found.setdefault(first.group(), []).append(name)
        return found

    def tokens(self, text: str, at: int = 0) -> Iterator[tuple[str, int, int]]:
        """Yield the tokens of a text with their positions; tokens that form a name are yielded as that name."""
        while token := _TOKEN.search(text, at):
            at = token.end()
            word, start = token.group(), token.start()
            for name in self._broken.get(word, ()):
                begin = start - name.index(word)
                end = begin + len(name)
                if begin >= 0 and text.startswith(name, begin) and not text[end : end + 1].isalnum():
                    yield name, begin, end
                    at = max(at, end)
                    break
            else:
                yield word, start, at

    def in_text(self, text: str) -> Found:
        """Return the lines, products and images that a text names."""
        found = Found()
        unknown: list[str] = []
        named: list[tuple[int, int]] = []
        for pair in _PAIR.finditer(text) if ":" in text or "=" in text or "：" in text else ():
            role = role_of(pair.group(1))
            names, into = (self.ids, found.ids) if role == "ProductId" else (self.pics, found.pics)
            group = pair.lastindex or 4
            value, end = pair.group(group).strip(_QUOTES), pair.end(group)
            first = next(self.tokens(text, pair.start(group)), None)
            if value not in names and first and first[0] in names and first[2] >= pair.start(group):
                value, end = first[0], first[2]  # a name with spaces or punctuation
            value = value if value in names else value.rstrip(_STOPS)
            if value and (value in names or not any(token in self for token, *_ in self.tokens(value))):
                known = value in names or known_end(value, names) != value
                (into if role == "ProductId" or known or _IMAGE.search(value) else unknown).append(value)
                named.append((pair.start(), end))
        rest = _blank(text, named)
        bare: list[str] = []
        named = []
        for token, start, end in self.tokens(rest):
            for name, begin, until in self._names_in(token, start, end):
                if name in self.pics or name not in self.ids:
                    found.pics.append(name)
                elif name.isdecimal():
                    label = rest[max(begin - _LABEL_MAX, 0) : begin]
                    if _LABELLED_CODE.search(label):
                        continue
                    if _LABELLED_ID.search(label) or int(name) > self._last:
                        found.ids.append(name)
                    else:
                        bare.append(name)
                        continue  # it may be a line number
                else:
                    found.ids.append(name)
                named.append((begin, until))
        rest = _blank(rest, named)
        for line in _labels(rest):
            if not _TOTAL.fullmatch(line.group().strip()):
                found.numbers += self.numbers(line.group(line.lastindex or 1))
        owners = {owner for pic in found.pics for owner in self._owners.get(pic, ())} if bare else ()
        found.ids += [name for name in bare if name in owners]
        if not found and unknown:
            found.pics = unknown
        if bare and not found and not self.sums(rest):
            found.doubtful = True  # the number may denote a product, a line, or anything else
        return found

    def _names_in(self, token: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
        """Yield the names in a token: the token with or without final stop, a path's end, or ASCII between Chinese."""
        for word in (token, token.rstrip(_STOPS)):
            if word in self:
                yield word, start, start + len(word) if len(word) < len(token) else end
                return
            if "/" in word and (name := known_end(word, self.pics)) in self.pics:
                yield name, start, end
                return
        stripped = token.rstrip(_STOPS)
        if not token.isascii():
            runs = [run for run in _ASCII.finditer(stripped) if run.group() in self and not run.group().isdecimal()]
            for run in runs:
                yield run.group(), start + run.start(), start + run.end()
            if runs:
                return
        if _IMAGE.search(stripped):
            yield stripped, start, end

    def places(self, text: str) -> Places | None:
        """Return where a text names a product or an image; None if anything but its names decides what it reports."""
        found = self.in_text(text)
        if not found or found.numbers or found.doubtful or _PAIR.search(text):
            return None
        words: dict[Span, str] = {}
        ids: list[Span] = []
        pics: list[Span] = []
        for token in _TOKEN.finditer(text):
            whole, start = token.group(), token.start()
            spans = [(start, start + len(word)) for word in dict.fromkeys((whole, whole.rstrip(_STOPS)))]
            known = [(span, text[slice(*span)]) for span in spans]
            if whole in self._broken:
                return None
            if any(map(str.isdigit, whole)):
                if not whole.isascii() or "/" in whole or known[-1][1].isdecimal():
                    return None
                words |= {span: self._kind(word) for span, word in known}
            name = next((span for span, word in known if word in self), None)
            if name is not None:
                (pics if text[slice(*name)] in self.pics else ids).append(name)
            elif _IMAGE.search(known[-1][1]):
                pics.append(spans[-1])
        if [text[slice(*span)] for span in (*ids, *pics)] != [*found.ids, *found.pics] or max(len(ids), len(pics)) > 1:
            return None
        return Places(next(iter(ids), None), next(iter(pics), None), words)

    def at_places(self, texts: Sequence[str], places: Places) -> list[bool]:
        """Return which texts, equal to one another but for their digits, have their names at these places."""
        fits = [True] * len(texts)
        for (start, end), kind in places.words.items():
            words = [text[start:end] for text in texts]
            if kind == "PicName":
                alike = self.pics.issuperset(words)
            elif kind == "ProductId":
                alike = self._other_ids.issuperset(words)
            else:
                alike = self.pics.isdisjoint(words) and self.ids.isdisjoint(words)
            if not alike:
                fits = [fit and self._kind(word) == kind for fit, word in zip(fits, words, strict=True)]
        return fits

    def _kind(self, word: str) -> str:
        return "PicName" if word in self.pics else "ProductId" if word in self.ids else ""

    @cached_property
    def _other_ids(self) -> frozenset[str]:
        """Every ProductId that is not also a PicName."""
        return self.ids if self.ids.isdisjoint(self.pics) else self.ids - self.pics

    def numbers(self, text: str) -> list[int]:
        """Return the line numbers in a text such as ``3, 5-7``; a range ends at most one line past the batch."""
        found: list[int] = []
        for one in _ONE.finditer(text):
            first, last = int(one.group(1)), int(one.group(2) or one.group(1))
            if last < first:
                found += [first, last]
                continue
            until = min(last, max(first, self._last + 1))
            self._room -= until - first
            found += range(first, until + 1) if self._room > 0 else (first, self._last + 1)
        return list(dict.fromkeys(found))

    def cell_numbers(self, value: object) -> list[int]:
        """Return the line numbers in a cell; empty if the cell has any other content."""
        text = str(value).strip()
        if whole := _WHOLE.fullmatch(text):
            return [int(whole.group(1))]
        cell = _CELL.fullmatch(text)
        return self.numbers(cell.group(1)) if cell else []

    def is_labelled(self, text: str) -> bool:
        """Return whether a text labels a number as a line, as in a sentence."""
        return bool(_labels(text))

    def sums(self, text: str) -> tuple[list[int], list[int]] | None:
        """Return the counts of failures and the totals in a text, or None if there are none."""
        failed, total = ([int(next(filter(None, found))) for found in map(re.Match.groups, of.finditer(text))]
                         for of in (_FAILED, _TOTAL))  # fmt: skip
        return (failed, total) if failed or total else None

    def in_cell(self, cell: str, names: Container[str]) -> list[str]:
        """Return the names in a cell: the cell itself, or the items of a list if one of them is known."""
        if cell in names:
            return [cell]
        found = [name for token, start, end in self.tokens(cell) for name, *_ in self._names_in(token, start, end)]
        known = [name for name in dict.fromkeys(found) if name in names or _IMAGE.search(name)]
        return known if any(name in names for name in known) else [cell]

    def combine(self, numbers: Sequence[int], ids: Iterable[str], pics: Iterable[str]) -> list[Claim]:
        """Return the claims in an entry, pairing images with products and names with numbers if possible."""
        products = dict.fromkeys(ids)
        names: list[tuple[str | None, str | None]] = []
        loose: list[str] = []
        left = dict(products)
        for pic in dict.fromkeys(pics):
            of = [owner for owner in self._owners.get(pic, ()) if owner in products] if products else []
            names += [(owner, pic) for owner in of]
            for owner in of:
                left.pop(owner, None)
            if not of:
                loose.append(pic)
        if loose and len(left) == 1 and (len(loose) == 1 or len(products) == 1):
            names += [(product, pic) for product in left for pic in loose]  # these may contradict one another
        else:
            names += [(None, pic) for pic in loose]
            names += [(product, None) for product in left]
        lines = list(dict.fromkeys(numbers))
        if not names or not lines:
            return [(line, None, None) for line in lines] or [(None, *name) for name in names]
        if 1 in (len(lines), len(names)) or len(lines) == len(names):
            most = max(len(lines), len(names))
            lines, names = (each * most if len(each) == 1 else each for each in (lines, names))  # type: ignore[assignment]
            return [(line, *name) for line, name in zip(lines, names, strict=True)]
        return [(line, None, None) for line in lines] + [(None, *name) for name in names]

    def of_cells(self, cells: Sequence[str], *, numbered: bool) -> tuple[list[Claim], list[int]]:
        """Return the claims in a row without a header, and the positions of the cells they come from."""
        ids: list[str] = []
        pics: list[str] = []
        used: list[int] = []
        figures: list[int] = []
        for at, cell in enumerate(cells):
            may_number = cell not in self.pics and (cell.isdecimal() or cell not in self.ids)
            if may_number and any(map(str.isdecimal, cell)) and self.cell_numbers(cell):
                figures.append(at)
                continue
            if cell.isascii() and "/" not in cell and cell not in self and _TOKEN.fullmatch(cell):
                of_pics = [cell]  # a word that is not a name
            else:
                of_pics = self.in_cell(cell, self.pics)
            if any(map(self.pics.__contains__, of_pics)) or (len(of_pics) == 1 and _IMAGE.search(cell)):
                pics += of_pics
            elif cell in self.ids:
                ids.append(cell)
            else:
                continue
            if cell in self or len(of_pics) > 1 or _IMAGE.search(cell):
                used.append(at)  # otherwise the cell is a message that contains a name
        owners = {owner for pic in pics for owner in self._owners.get(pic, ())}
        sure = [at for at in figures if cells[at] in owners]
        if pics and sure and not ids:
            # Among numbers that may be the product, prefer one whose line is confirmed by another number.
            others = [(at, other) for at in sure for other in figures if other != at]
            best = next((at for at, other in others if self._fits(cells[other], {cells[at]}, pics)), sure[0])
            ids.append(cells[best])
            figures.remove(best)
            used.append(best)
        if ids or pics:
            deciding = [at for at in figures if numbered and self._fits(cells[at], ids, pics)]
            numbers = self.cell_numbers(cells[deciding[0]]) if deciding else []
            return self.combine(numbers, ids, pics), used + deciding[:1]
        if not figures:
            return [], []
        return self._of_figures(cells, figures, numbered=numbered)

    def _of_figures(self, cells: Sequence[str], figures: list[int], *, numbered: bool) -> tuple[list[Claim], list[int]]:
        """Return the claims in a row that has only numbers: lines, products, or undecided."""
        products = [at for at in figures if cells[at] in self.ids]
        if not numbered:
            return [(None, cells[at], None) for at in products[:1]], products[:1]
        agreed = {
            (line, product)
            for product in products
            for line in figures
            if (line != product or len(figures) == 1)
            and self._fits(cells[line], {cells[product]}, (), (0,) if line == product else (0, 1))
        }
        if len(agreed) == 1:
            ((line, product),) = agreed
            return self.combine(self.cell_numbers(cells[line]), [cells[product]], []), [line, product]
        lines = [at for at in figures if all(0 <= number <= self._last for number in self.cell_numbers(cells[at]))]
        if not products:
            number = (lines or figures)[0]
            return ([STRAY] if len(lines) > 1 else self.combine(self.cell_numbers(cells[number]), [], [])), [number]
        if len(products) == 1 and not set(lines) - set(products) and products[0] not in lines:
            return [(None, cells[products[0]], None)], products
        return [STRAY], []

    def _fits(self, cell: str, ids: Container[str], pics: Container[str], shifts: Sequence[int] = (0, 1)) -> bool:
        """Return whether a number is that of a line with one of these names, counted from 1 or 0."""
        numbers = self.cell_numbers(cell)
        near = [self._by_number.get(number + shift, (None, None)) for number in numbers for shift in shifts]
        return any(product in ids or pic in pics for product, pic in near if product or pic)


def known_end(path: str, names: Container[str]) -> str:
    """Return the longest of `names` with which a path or URL ends; the path itself if there is none."""
    parts = path.split("/")
    ends = ("/".join(parts[at:]) for at in range(len(parts)))
    return next((end for end in ends if end in names), path)


def _labels(text: str) -> list[re.Match[str]]:
    """Return the matches that label numbers as lines."""
    words = text.casefold()
    return list(_LABELLED.finditer(text)) if any(word in words for word in ("line", "row", "行", "第")) else []


def _blank(text: str, parts: list[tuple[int, int]]) -> str:
    """Return the text with some parts blanked out, preserving positions."""
    pieces, at = [], 0
    for start, end in parts:
        pieces += [text[at:start], "<" * (end - max(start, at))]
        at = max(end, at)
    return "".join([*pieces, text[at:]])
