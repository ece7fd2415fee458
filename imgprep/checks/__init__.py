"""Every rule of the service, asked of every row: (catalogue, facts, regions) → findings.

A new rule is one entry in the ``RULES`` of the file of its kind: `rows` (fields), `names` (PicName), `pictures`
(images), `areas` (regions), `batch` (rows against each other). `rules_table` shows them all.
"""

from __future__ import annotations

from imgprep.checks.book import RULES, check, rules_table
from imgprep.checks.fixes import apply_fixes, undo_fixes
from imgprep.checks.summary import summary

__all__ = ["RULES", "apply_fixes", "check", "rules_table", "summary", "undo_fixes"]
