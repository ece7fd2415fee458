"""What would be done to each image of a folder, and under which name its copy goes: decided before any file is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from imgprep.images.names import folded, free_name, ready_name
from imgprep.images.recipe import Fit, Recipe, decide


@dataclass(frozen=True, slots=True)
class Step:
    """What would be done to one row of facts.

    Attributes
    ----------
    number : int
        Position among the rows.
    facts : dict
        The row; NA as None.
    recipe : Recipe
        From `decide`.
    new_name, fallback_name : str
        Name of the copy, and of one that becomes a JPEG because as a PNG it is too heavy; empty where there is none.
    renamed : str
        The new name and why, in words; empty where it is the old one.
    """

    number: int
    facts: dict[str, Any]
    recipe: Recipe
    new_name: str
    fallback_name: str
    renamed: str


@dataclass(frozen=True, slots=True)
class Done:
    """What was done to one row of facts; None where there is no copy, or nobody knows yet."""

    recipe: Recipe
    new_name: str | None = None
    digest: str | None = None
    bytes: int | None = None
    reason: str = ""
    width: int | None = None
    height: int | None = None


def steps_for(rows: list[dict[str, Any]], fit: Fit) -> Iterator[Step]:
    """Yield a step for each row of facts; no two copies share a name, whatever the case or Unicode form."""
    recipes = [decide(row, fit) for row in rows]
    names = [
        ready_name(row["PicName"], recipe.target, converted=recipe.action == "converted" and not recipe.lossless)
        if recipe.action in ("kept", "converted")
        else ""
        for row, recipe in zip(rows, recipes, strict=True)
    ]
    # A name that need not change has the first right to it.
    taken = {folded(name) for row, name in zip(rows, names, strict=True) if name and name == row["PicName"]}
    for number, (row, recipe, wanted) in enumerate(zip(rows, recipes, names, strict=True)):
        own = row["PicName"]
        name = fallback = wanted
        if wanted:
            if wanted != own:
                name = free_name(wanted, own, taken)
                taken.add(folded(name))
            fallback = name
            if recipe.action == "converted":
                fallback = ready_name(name, "JPEG", converted=True)
                if recipe.target in ("JPEG", "WEBP") or (recipe.lossless and recipe.target != "PNG"):
                    fallback = name
                elif fallback != name:
                    # Both names are set aside, so that they do not depend on which picture was ready first.
                    fallback = free_name(fallback, own, taken)
                    taken.add(folded(fallback))
        collides = name != wanted
        renamed = "" if name == own else f"named {name}" + (f", as {wanted} is another image's" if collides else "")
        yield Step(number, row, recipe, name, fallback, renamed)


def expected(step: Step) -> Done:
    """Return what comes of a step if nothing unforeseen happens."""
    recipe = step.recipe
    if recipe.action in ("refused", "missing"):
        return Done(recipe, reason=recipe.reason)
    kept = recipe.action == "kept"
    return Done(
        recipe,
        step.new_name,
        step.facts["digest"] if kept else None,
        step.facts["bytes"] if kept else None,
        joined(recipe.reason, step.renamed),
        recipe.width,
        recipe.height,
    )


def joined(*parts: str) -> str:
    """Return reasons as one text."""
    return ", ".join(part for part in parts if part)
