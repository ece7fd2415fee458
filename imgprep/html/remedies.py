"""What to tell those who make the pictures: each fault in their words, and what to do, in one line."""

from __future__ import annotations

#: Rule → (what is wrong, what to do). Rules that are not here are no business of a photographer.
FOR_PHOTOGRAPHERS: dict[str, tuple[str, str]] = {
    "image-missing": ("The picture did not arrive", "Send it again under exactly this name."),
    "image-empty": ("The file is empty", "Export it again and look at the file before sending it."),
    "image-unreadable": ("The file cannot be opened, or breaks off", "Export it again as JPEG and open the copy."),
    "image-too-heavy": ("The file is over 4 MB", "Export as JPEG, quality 85, longest side at most 4,096 pixels."),
    "image-format": ("The format is not taken", "Export as JPEG or PNG."),
    "image-too-small": ("Too few pixels", "Send the original; enlarging a small picture does not help."),
    "image-too-large": ("A side has too many pixels", "Export with the longest side at most 4,096 pixels."),
    "image-rotated": ("It only stands upright by a flag", "Export it turned, rather than with a rotation flag."),
    "image-several-pictures": ("Several pictures in one file", "Send one picture a file, without animation or pages."),
    "image-cmyk": ("Print colours (CMYK)", "Export in sRGB."),
    "image-deep": ("More than 8 bits a channel", "Export with 8 bits a channel, sRGB."),
    "image-transparent": ("The background is transparent", "Put it on plain white."),
    "image-narrow": ("Very long or very narrow", "Crop it to the product."),
    "image-extension-differs": ("The name says another format than it is", "Export it; renaming does not convert."),
    "image-placeholder": ("A placeholder", "Send a picture of the product."),
    "pic-name-no-extension": ("The name has no extension", "Name it with its extension, such as .jpg."),
    "pic-name-extension": ("The extension is of a format that is not taken", "Export as JPEG or PNG."),
    "pic-name-too-long": ("The name is too long", "Use at most 256 characters."),
    "pic-name-control-character": ("The name has a hidden character", "Type the name anew."),
    "pic-name-missing": ("A product without a picture", "Take one."),
}
