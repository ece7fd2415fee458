"""The directive ``imgprep-table``: a table that the package itself holds, so that the docs cannot disagree with it."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from imgprep.core.fields import CATEGORIES, FIELDS
from imgprep.look.rules.book import rules_table
from imgprep.outcomes.questions import BY_HAND, REPORT_QUESTIONS
from imgprep.outcomes.questions import questions as every_question
from imgprep.sandbox.oss.service import OPERATIONS
from imgprep.ship.report.causes import CauseTable


def fields() -> pd.DataFrame:
    def limit(field: Any) -> str:
        if field.max_chars:
            return f"{field.max_chars:,} characters"
        return f"{field.minimum} … {field.maximum or ''}" if field.minimum is not None else ""

    rows = [
        (field.name, field.kind, ", ".join(sorted(field.required)), limit(field), field.meaning, field.source)
        for field in FIELDS
    ]
    return pd.DataFrame(rows, columns=["field", "type", "required on", "limit", "meaning", "source"])


def rules() -> pd.DataFrame:
    return rules_table()


def causes() -> pd.DataFrame:
    return CauseTable().frame()


def categories() -> pd.DataFrame:
    return pd.DataFrame(CATEGORIES.items(), columns=["CategoryId", "name"])


def operations() -> pd.DataFrame:
    rows = [(name, inspect.getdoc(serve) or "") for name, (*_, serve) in OPERATIONS.items()]
    return pd.DataFrame(rows, columns=["operation", "what is done"])


def questions() -> pd.DataFrame:
    rows = [
        (one.id, one.asks, "; ".join(one.answers), "apart" if one.apart else "shared", one.switch)
        for one in every_question()
    ]
    rows += [(point, asks, "", "shared", "") for point, asks in REPORT_QUESTIONS.items()]
    return pd.DataFrame(rows, columns=["point", "question", "answers", "task", "switch"])


def by_hand() -> pd.DataFrame:
    return pd.DataFrame(BY_HAND.items(), columns=["point", "what to do"])


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "fields": fields,
    "rules": rules,
    "causes": causes,
    "categories": categories,
    "operations": operations,
    "questions": questions,
    "by_hand": by_hand,
}


class TableOf(Directive):
    """One table of the package, by its name."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        frame = TABLES[self.arguments[0]]()
        group = nodes.tgroup(cols=len(frame.columns))
        group += [nodes.colspec(colwidth=1) for _ in frame.columns]
        head, body = nodes.thead(), nodes.tbody()
        head += self._row(frame.columns)
        body += [self._row(row) for row in frame.itertuples(index=False)]
        group += [head, body]
        table = nodes.table(classes=["imgprep-table"])
        table += group
        return [table]

    @staticmethod
    def _row(cells: Any) -> nodes.row:
        row = nodes.row()
        for cell in cells:
            entry = nodes.entry()
            entry += nodes.paragraph(text="" if pd.isna(cell) else str(cell))
            row += entry
        return row


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("imgprep-table", TableOf)
    return {"parallel_read_safe": True}
