"""Whether what stands beside the pixels says where, by whom or with which very camera a picture was taken.

A place, a person, a serial number count, and so does free text: nobody can know whom it names. What programs and
cameras write of themselves and of the exposure does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from imgprep.images.formats import MOST_TEXT, Entry, exif_entries, exif_place, exif_value, png_texts, raw_profile

_EXIF_IFD = 0x8769
_GPS_IFD = 0x8825
#: Latitude and longitude, of the camera and of what it looked at; the name of the area.
_GPS_PLACE = {0x02, 0x04, 0x14, 0x16, 0x1C}
#: The maker's note, which repeats serial numbers, and IPTC in a TIFF: personal if only they are there.
_BLOCKS = {0x927C, 0x83BB}
#: Texts: description, artist, copyright, comment, what Windows shows as title, comment, author, keywords and subject,
#: owner, serial numbers of body and lens (the last three as Adobe's converters write them).
#: Source: EXIF 2.32, tables 4 and 5; DNG 1.6 for 0xC62F; exiftool.org for 0xFDE8 and 0xFDE9.
_TEXTS = {0x010E, 0x013B, 0x8298, 0x9286, *range(0x9C9B, 0x9CA0), 0xA430, 0xA431, 0xA435, 0xC62F, 0xFDE8, 0xFDE9}
#: How a comment of EXIF begins: its character code.
_CHARACTER_CODE = re.compile(rb"\A(?:ASCII|JIS|UNICODE)\0*")
#: Comments that programs leave, whole.
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
#: Keywords of a PNG's texts that programs fill.
_KEYWORDS_OF_PROGRAMS = {
    b"Software",
    b"Creation Time",
    b"create-date",
    b"modify-date",
    b"date:create",
    b"date:modify",
    b"date:timestamp",
}


def says_person_or_place(exif: bytes | None = None, xmp: bytes | None = None, photoshop: bytes | None = None) -> bool:
    """Tell whether a block of metadata is personal."""
    if xmp and _XMP.search(xmp):
        return True
    if photoshop and _IPTC in photoshop:
        return True
    return exif is not None and _exif_says(exif.removeprefix(b"Exif\0\0"))


def is_free_text(text: bytes) -> bool:
    """Tell whether somebody may have written a comment: it is neither blank nor a program's own."""
    text = text.strip(b" \t\r\n\0")
    return bool(text) and not _OF_PROGRAMS.fullmatch(text)


def png_says(data: bytes) -> bool:
    """Tell whether a text of a PNG is personal, wherever it stands and however it is packed."""
    length = 0
    for keyword, text in png_texts(data):
        length += len(text)
        if length >= MOST_TEXT or _png_text_says(keyword, text):  # of more than is read, the worst is taken
            return True
    return False


def _png_text_says(keyword: bytes, text: bytes) -> bool:
    if keyword == b"XML:com.adobe.xmp":
        return says_person_or_place(xmp=text)
    if block := raw_profile(keyword, text):
        return keyword.endswith(b" iptc") or says_person_or_place(block, block, block)
    return keyword not in _KEYWORDS_OF_PROGRAMS and is_free_text(text)


def _exif_says(exif: bytes) -> bool:
    for entry in exif_entries(exif):
        if _entry_says(exif, entry):
            return True
        if entry.tag == _GPS_IFD and _any_place(exif_entries(exif, exif_place(exif, entry))):
            return True
        if entry.tag == _EXIF_IFD and any(
            _entry_says(exif, inner) for inner in exif_entries(exif, exif_place(exif, entry))
        ):
            return True
    return False


def _any_place(entries: Iterable[Entry]) -> bool:
    return any(entry.tag in _GPS_PLACE for entry in entries)


def _entry_says(exif: bytes, entry: Entry) -> bool:
    if entry.tag in _BLOCKS:
        return True
    if entry.tag not in _TEXTS:
        return False
    return is_free_text(_CHARACTER_CODE.sub(b"", exif_value(exif, entry)))
