"""A sink for PUTs: answers as OSS does, and tells what it was given. On asyncio, so that clients are what is measured.

``python -m bench._sink [SECONDS [FILES COUNT]]`` prints its port; each answer comes after so many seconds, as over a
network. With FILES, a folder of images, it has COUNT objects ``photos/NUMBER.jpg`` that can be listed and read.
"""

import asyncio
import base64
import bisect
import email.utils
import hashlib
import sys
from pathlib import Path
from typing import ClassVar, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import anycrc

META = "increment.meta"


class Kept(NamedTuple):
    """An object without its bytes, but for increment.meta, which is read back."""

    size: int
    etag: str
    crc: int
    body: bytes


class Sink(asyncio.Protocol):
    """One connection. The checksums of a body seen before are remembered by its Content-MD5."""

    known: ClassVar[dict] = {}
    kept: ClassVar[dict[str, Kept]] = {}
    names: ClassVar[list[str]] = []
    crc = anycrc.Model("CRC64-XZ")
    date = email.utils.formatdate(usegmt=True)
    delay = 0.0
    photos: ClassVar[list[bytes]] = []

    def connection_made(self, transport):
        self.transport, self.head, self.body, self.left, self.md5 = transport, b"", [], 0, b""

    def data_received(self, data):
        while data:
            if self.left:
                part = data[: self.left]
                if self.md5 not in self.known:
                    self.body.append(part)
                self.left -= len(part)
                data = data[len(part) :]
                if not self.left:
                    self.answer_soon()
                continue
            self.head += data
            head, found, data = self.head.partition(b"\r\n\r\n")
            if not found:
                return
            self.head = b""
            lines = head.split(b"\r\n")
            fields = {}
            for line in lines[1:]:
                name, _, value = line.partition(b":")
                fields[name.lower()] = value.strip()
            self.method, self.target, _ = lines[0].decode().split(" ")
            self.left = self.size = int(fields.get(b"content-length", 0))
            self.md5 = fields.get(b"content-md5", b"")
            self.body, self.range = [], fields.get(b"range", b"")
            if fields.get(b"expect"):
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if not self.left:
                self.answer_soon()

    def answer_soon(self):
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self.answer)
        else:
            self.answer()

    def answer(self):
        where = urlsplit(self.target)
        key = unquote(where.path).split("/", 2)[2]
        if self.method == "PUT":
            self.say("200 OK", self.take(key))
        elif key.startswith("photos/") and self.photos:
            self.photo(self.photos[int(key[7:-4]) % len(self.photos)])
        elif key:
            there = self.kept.get(key)
            self.say("200 OK" if there else "404 Not Found", there, self.method == "GET" and there and there.body)
        else:
            self.say("200 OK", None, self.page(parse_qs(where.query)))

    def take(self, key):
        if self.md5 and self.md5 in self.known:
            etag, crc = self.known[self.md5]
        else:
            body = b"".join(self.body)
            crc = self.crc.calc(body)
            etag = base64.b64decode(self.md5).hex().upper() if self.md5 else "0" * 32
            if self.md5:
                Sink.known[self.md5] = etag, crc
        there = self.kept[key] = Kept(self.size, etag, crc, b"".join(self.body) if key.endswith(META) else b"")
        return there

    def say(self, status, there, text=b""):
        text = text or b""
        size = there.size if there and self.method == "HEAD" else len(text)
        about = f'ETag: "{there.etag}"\r\nx-oss-hash-crc64ecma: {there.crc}\r\n' if there else ""
        head = (
            f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\nDate: {self.date}\r\n{about}"
            "x-oss-request-id: 5C3D9175B6FC201293AD0000\r\nServer: AliyunOSS\r\n\r\n"
        )
        self.transport.write(head.encode() + text)

    def photo(self, data):
        """Answer with the asked range of an image."""
        first, _, last = self.range.removeprefix(b"bytes=").partition(b"-")
        part = data[int(first or 0) : int(last or len(data)) + 1]
        head = (
            f"HTTP/1.1 206 Partial Content\r\nContent-Length: {len(part)}\r\nDate: {self.date}\r\n"
            f"Content-Range: bytes {int(first or 0)}-{int(first or 0) + len(part) - 1}/{len(data)}\r\n"
            f'ETag: "{hashlib.md5(data).hexdigest().upper()}"\r\nx-oss-hash-crc64ecma: {self.crc.calc(data)}\r\n'
            "x-oss-request-id: 5C3D9175B6FC201293AD0000\r\nServer: AliyunOSS\r\n\r\n"
        )
        self.transport.write(head.encode() + part)

    def page(self, asked):
        """The next keys, as ListObjects tells them."""
        prefix, marker = (asked.get(name, [""])[0] for name in ("prefix", "marker"))
        most = int(asked["max-keys"][0])
        if not marker:
            Sink.names = sorted(name for name in self.kept if name.startswith(prefix))
        at = bisect.bisect_right(self.names, marker)
        names = self.names[at : at + most]
        each = "".join(
            f"<Contents><Key>{escape(quote(name, ''))}</Key><LastModified>2026-11-24T03:15:00.000Z</LastModified>"
            f'<ETag>"{self.kept[name].etag}"</ETag><Type>Normal</Type><Size>{self.kept[name].size}</Size>'
            "<StorageClass>Standard</StorageClass><Owner><ID>1</ID><DisplayName>1</DisplayName></Owner></Contents>"
            for name in names
        )
        more = at + most < len(self.names)
        following = f"<NextMarker>{quote(names[-1], '')}</NextMarker>" if more else ""
        return (
            '<?xml version="1.0"?><ListBucketResult><Name>b</Name><EncodingType>url</EncodingType>'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{following}{each}</ListBucketResult>"
        ).encode()


async def serve():
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    Sink.delay = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    if len(sys.argv) > 2:
        Sink.photos = [file.read_bytes() for file in sorted(Path(sys.argv[2]).iterdir())]
        about = [Kept(len(data), hashlib.md5(data).hexdigest(), 0, b"") for data in Sink.photos]
        Sink.kept = {f"photos/{at:07d}.jpg": about[at % len(about)] for at in range(int(sys.argv[3]))}
    sys.exit(asyncio.run(serve()))
