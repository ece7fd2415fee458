"""The page for the boss: where the catalogue stands, what is late, why, and what got better."""

from imgprep.monthly_review.counting import review
from imgprep.monthly_review.page import Review

__all__ = ["Review", "review"]
