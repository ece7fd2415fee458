"""A sink for PUTs: answers as OSS does, keeps nothing. Hand-written on asyncio, so that clients are what is measured.

``python -m bench.sink [SECONDS]`` prints its port; each answer comes after so many seconds, as over a network.
"""

import asyncio
import base64
import email.utils
import sys
from typing import ClassVar

import anycrc


class Sink(asyncio.Protocol):
    """One connection. The checksums of a body seen before are remembered by its Content-MD5."""

    known: ClassVar[dict] = {}
    crc = anycrc.Model("CRC64-XZ")
    date = email.utils.formatdate(usegmt=True)
    delay = 0.0

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
            fields = {}
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                fields[name.lower()] = value.strip()
            self.left, self.md5 = int(fields.get(b"content-length", 0)), fields.get(b"content-md5", b"")
            self.body = []
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
        if self.md5 and self.md5 in self.known:
            etag, crc = self.known[self.md5]
        else:
            body = b"".join(self.body)
            crc = self.crc.calc(body)
            etag = base64.b64decode(self.md5).hex().upper() if self.md5 else "0" * 32
            if self.md5:
                Sink.known[self.md5] = etag, crc
        self.transport.write(
            f'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: {self.date}\r\nETag: "{etag}"\r\n'
            f"x-oss-hash-crc64ecma: {crc}\r\nx-oss-request-id: 5C3D9175B6FC201293AD0000\r\n"
            "Server: AliyunOSS\r\n\r\n".encode()
        )


async def serve():
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    Sink.delay = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    sys.exit(asyncio.run(serve()))
