"""What an instance searches for, and the limits that hang on it.

Source: the vendor's AddImage reference (sides, forced category) and category reference; numbers as Detail gives them.
"""

from __future__ import annotations

from enum import IntEnum

OTHERS = 88888888

#: Category ids that a product instance takes.
CATEGORIES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 22, OTHERS})


class ServiceType(IntEnum):
    """The numbers of ServiceType in the answer of Detail."""

    PRODUCT = 0
    GENERIC = 1
    FABRIC = 2
    TRADEMARK = 3
    COPYRIGHT = 4
    FURNITURE = 5
    HARDWARE = 6
    TRADEMARK_TOO = 7

    @property
    def label(self) -> str:
        """What settings call it; trademark search has two numbers and one name."""
        return self.name.lower().removesuffix("_too")

    @property
    def sides(self) -> tuple[int, int]:
        """Smallest and largest side of an image, pixels, inclusive. Copyright is not documented: taken as generic."""
        if self is ServiceType.FABRIC:
            return 448, 4096
        if self in (ServiceType.TRADEMARK, ServiceType.TRADEMARK_TOO):
            return 200, 4095
        return 100, 4096

    @classmethod
    def named(cls, name: str | int) -> ServiceType:
        """Return the type called `name` (any case) or numbered so.

        Raises
        ------
        ValueError
            No such type.

        Examples
        --------
        >>> ServiceType.named("fabric").sides
        (448, 4096)
        """
        if isinstance(name, int):
            return cls(name)
        try:
            return cls[name.upper()]
        except KeyError:
            known = ", ".join(kind.name.lower() for kind in cls)
            raise ValueError(f"service type {name!r}: none of {known}") from None
