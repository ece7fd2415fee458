"""Bytes → bytes that no program would write on purpose."""

import random

#: What readers of text trip over, as it stands in files.
TOKENS = (
    b"\x00", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\r\n", b"\n", b"\n\n", b'"', b'""', b'","', b"'", b",", b";", b"\t",
    b"{", b"}", b"[", b"]", b":", b"\\", b"\\u0000", b"\\ud800", b"null", b"true", b"-0", b"1e999", b"NaN", b"=1+1",
    b"<b>", b"../", b"http://h/a,b.jpg?v=1", b"\xe2\x80\xae", b"\xa0", b"\x85", b"\xe2\x80\xa8", b"\xed\xa0\x80",
    b"\xc4\xe3\xba\xc3", b"#NAME?", b"9" * 40, b"x" * 5000, b" ", b"\x0b", b"\x0c", b"\x1a", b"\x7f",
)  # fmt: skip


#: A word that no seed has. Where it goes in and does not come out, text was lost.
MARK = "Zq7mark"


def mutate(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    """Change `seed` in one to six places; now and then splice a piece of `other` into it."""
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(data) + 1)
        until = min(len(data), at + rng.choice((1, 1, 2, 8, 64)))
        match rng.randrange(8):
            case 0:
                data[at:at] = rng.choice(TOKENS)
            case 1:
                data[at:until] = rng.choice(TOKENS)
            case 2:
                del data[at:until]
            case 3 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 4:
                data[at:at] = data[at:until] * rng.choice((1, 2, 50))
            case 5:
                start = rng.randrange(len(other) + 1)
                data[at:at] = other[start : start + 100]
            case 6:
                lines = data.split(b"\n")
                rng.shuffle(lines)
                data = bytearray(b"\n".join(lines))
            case _:
                del data[at:]
    if rng.random() < 0.03:
        return data.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-8-sig", "gb18030")), "replace")
    return bytes(data)


def marked(data: bytes, rng: random.Random) -> bytes:
    """Put the mark beside a letter of `data`; leave alone what is packed, or has two bytes a letter."""
    places = [at for at in range(len(data)) if data[at : at + 1].isalnum()]
    if not places or b"\x00" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff", b"PK", b"\x1f\x8b"):
        return data
    at = rng.choice(places)
    return data[:at] + MARK.encode() + data[at:]
