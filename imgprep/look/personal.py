"""Detect personal metadata in an image: anything that identifies a place, a person or an individual camera.

Serial numbers count, as does free text, which may name anyone. What programs and cameras write about themselves
and about the exposure does not count.
"""

from __future__ import annotations

import io
import re

from PIL import Image

from imgprep.images.formats import (
    MOST_TEXT,
    Entry,
    exif_entries,
    exif_place,
    exif_value,
    png_texts,
    raw_profile,
)

_EXIF_IFD = 0x8769
_GPS_IFD = 0x8825
#: Latitude and longitude of the camera and of its subject; area name.
_GPS_PLACE = {0x02, 0x04, 0x14, 0x16, 0x1C}
#: Maker note, which repeats serial numbers, and IPTC in a TIFF: always personal.
_BLOCKS = {0x927C, 0x83BB}
#: Text fields: description, artist, copyright, comment; Windows title, comment, author, keywords and subject;
#: owner, body and lens serial numbers (the last three as Adobe's converters write them).
#: Source: EXIF 2.32, tables 4 and 5; DNG 1.6 for 0xC62F; exiftool.org for 0xFDE8 and 0xFDE9.
_TEXTS = {0x010E, 0x013B, 0x8298, 0x9286, *range(0x9C9B, 0x9CA0), 0xA430, 0xA431, 0xA435, 0xC62F, 0xFDE8, 0xFDE9}
#: The character code at the start of an EXIF comment.
_CHARACTER_CODE = re.compile(rb"\A(?:ASCII|JIS|UNICODE)\0*")
#: Full text of comments that programs write.
_OF_PROGRAMS = re.compile(
    rb"CREATOR: gd-jpeg v[\d.]+ \(using IJG JPEG v\d+\)(?:, (?:default quality|quality = \d+))?"
    rb"|Created with (?:The )?GIMP|Lavc[\d.]+|AppleMark|LEAD Technologies Inc\. V[\d.]+"
    rb"|File written by Adobe Photoshop[^\w]? ?[\d.]*|Optimized by JPEGmini [\d.]+ [\da-fx]+"
    rb"|Intel\(R\) JPEG Library, version [\w\[\]., -]+"
)
_XMP = re.compile(
    rb"GPSL|GPSDest|SerialNumber|OwnerName|PersonInImage|PersonDisplayName|mwg-rs:Name|[fF]ilePath|Iptc4xmp(?:Core|Ext):"
    rb"|dc:(?:creator|title|description|rights|subject)|tiff:(?:Artist|ImageDescription|Copyright)|exif:UserComment"
    rb"|photoshop:(?:Credit|Source|City|State|Country|Headline|CaptionWriter|AuthorsPosition|Instructions)"
    rb"|xmpRights:Owner|plus:"
)
_IPTC = b"8BIM\x04\x04"
#: Keywords of PNG text chunks that programs write.
_KEYWORDS_OF_PROGRAMS = {
    b"Software",
    b"Creation Time",
    b"create-date",
    b"modify-date",
    b"date:create",
    b"date:modify",
    b"date:timestamp",
}


def has_personal_metadata(image: Image.Image, exif: bytes | None, data: bytes) -> bool:
    """Return whether an opened image has personal metadata, including its EXIF."""
    if image.format == "PNG":
        return _is_personal(exif) or _png_is_personal(data)
    if image.format in ("JPEG", "MPO"):
        return _is_personal(exif) or _jpeg_is_personal(image, data)
    xmp, photoshop = image.info.get("xmp"), None
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]  # only TIFFs have it
        xmp, photoshop = tags.get(700), tags.get(34377)
        exif = data  # a TIFF file is laid out like an EXIF block
    comment = image.info.get("comment")
    return _is_personal(
        exif, xmp if isinstance(xmp, bytes) else None, photoshop if isinstance(photoshop, bytes) else None
    ) or (isinstance(comment, bytes) and _is_free_text(comment))


def _jpeg_is_personal(image: Image.Image, data: bytes) -> bool:
    """Check all segments: long XMP continues in further segments, and there may be several comments."""
    for name, segment in getattr(image, "applist", ()):
        if name == "COM" and _is_free_text(segment):
            return True
        if name == "APP1" and not segment.startswith(b"Exif\0") and _is_personal(xmp=segment):
            return True
        if name == "APP13" and _is_personal(photoshop=segment):
            return True
    # A second EXIF segment, which `open_header` left out, is not read, so assume the worst.
    return isinstance(opened := getattr(image, "fp", None), io.BytesIO) and opened.getbuffer().nbytes < len(data)


def _png_is_personal(data: bytes) -> bool:
    length = 0
    for keyword, text in png_texts(data):
        length += len(text)
        if length >= MOST_TEXT or _png_text_is_personal(keyword, text):  # unread text: assume the worst
            return True
    return False


def _png_text_is_personal(keyword: bytes, text: bytes) -> bool:
    if keyword == b"XML:com.adobe.xmp":
        return _is_personal(xmp=text)
    if block := raw_profile(keyword, text):
        return keyword.endswith(b" iptc") or _is_personal(block, block, block)
    return keyword not in _KEYWORDS_OF_PROGRAMS and _is_free_text(text)


def _is_personal(exif: bytes | None = None, xmp: bytes | None = None, photoshop: bytes | None = None) -> bool:
    if xmp and _XMP.search(xmp):
        return True
    if photoshop and _IPTC in photoshop:
        return True
    return exif is not None and _exif_is_personal(exif.removeprefix(b"Exif\0\0"))


def _exif_is_personal(exif: bytes) -> bool:
    for entry in exif_entries(exif):
        if _entry_is_personal(exif, entry):
            return True
        if entry.tag in (_GPS_IFD, _EXIF_IFD):
            inner = exif_entries(exif, exif_place(exif, entry))
            if entry.tag == _GPS_IFD and any(each.tag in _GPS_PLACE for each in inner):
                return True
            if entry.tag == _EXIF_IFD and any(_entry_is_personal(exif, each) for each in inner):
                return True
    return False


def _entry_is_personal(exif: bytes, entry: Entry) -> bool:
    if entry.tag in _BLOCKS:
        return True
    return entry.tag in _TEXTS and _is_free_text(_CHARACTER_CODE.sub(b"", exif_value(exif, entry)))


def _is_free_text(text: bytes) -> bool:
    """Return whether a person may have written `text`: it is neither blank nor a known program's."""
    text = text.strip(b" \t\r\n\0")
    return bool(text) and not _OF_PROGRAMS.fullmatch(text)
