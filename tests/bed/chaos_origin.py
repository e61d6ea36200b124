#!/usr/bin/env python3
"""An HTTP origin on loopback that misbehaves as its URLs ask, and a sink for callbacks.

    python3 chaos_origin.py --hosts 40 --port 5800 [--tls-port 5843 --tls-cert cert.pem --tls-key key.pem]

Every fault is a query parameter of the URL, so a test needs no other channel: README.md lists them.
The same URL always has the same bytes, unless it asks for `alternate=bytes`. /_log tells what was asked and
what was sent, one log for all addresses; DELETE /_log forgets it. It listens on loopback addresses only.
"""

import argparse
import asyncio
import base64
import email.utils
import functools
import gzip
import hashlib
import ipaddress
import json
import re
import socket
import ssl
import struct
import time
import urllib.parse
import zlib
from dataclasses import dataclass, field

MAX_SIZE = 16 * 2**30
BLOCK = 64 * 1024
REASONS = {
    200: "OK",
    206: "Partial Content",
    301: "Moved Permanently",
    302: "Found",
    304: "Not Modified",
    404: "Not Found",
    416: "Range Not Satisfiable",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Hangup(Exception):
    """Close the connection now; `rst` for a reset."""

    def __init__(self, rst=False):
        super().__init__()
        self.rst = rst


@dataclass
class Request:
    method: str
    target: str
    headers: dict
    body: bytes = b""
    path: str = ""
    options: dict = field(default_factory=dict)
    count: int = 0  # which request of this exact URL it is, from 1
    entry: dict = field(default_factory=dict)  # its line in the log

    def __post_init__(self):
        url = urllib.parse.urlsplit(self.target)
        self.path = urllib.parse.unquote(url.path)
        self.options = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))

    def number(self, name, default=None, kind=int):
        return kind(self.options[name]) if name in self.options else default

    def alternates(self, what):
        """Whether this is an odd one out of a URL that answers in turns."""
        return self.options.get("alternate") == what and self.count % 2 == 0


class Content:
    """Bytes that follow from a seed, made as they are sent, so that size costs no memory."""

    def __init__(self, request):
        other = "other" if request.alternates("bytes") else ""
        seed = hashlib.sha256((request.path + request.options.get("seed", "") + other).encode()).digest()
        self.block = block_of(seed)
        self.whole, self.type = None, "application/octet-stream"
        if request.options.get("kind") == "png":
            self.whole, self.type = png(request.number("width", 64), request.number("height", 64), seed), "image/png"
        elif request.options.get("kind") == "text":
            text = request.options.get("text") or seed.hex()
            self.whole, self.type = (text.swapcase() if other else text).encode(), "text/plain; charset=utf-8"
        self.size = len(self.whole) if self.whole is not None else min(request.number("size", 1024), MAX_SIZE)
        self.etag = '"%s"' % hashlib.sha256(seed + str(self.size).encode()).hexdigest()[:32]

    def pieces(self, start, stop):
        if self.whole is not None:
            yield self.whole[start:stop]
            return
        while start < stop:
            offset = start % BLOCK
            piece = self.block[offset : offset + min(BLOCK - offset, stop - start)]
            start += len(piece)
            yield piece

    def digest(self, algorithm, start, stop):
        digest = hashlib.new(algorithm)
        for piece in self.pieces(start, stop):
            digest.update(piece)
        return digest.digest()


@functools.lru_cache(maxsize=4096)
def block_of(seed):
    return hashlib.shake_128(seed).digest(BLOCK)


def png(width, height, seed):
    row = bytes([0]) + bytes(seed[i % 32] for i in range(3 * width))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(row * height))
        + chunk(b"IEND", b"")
    )


class Origin:
    def __init__(self):
        self.log, self.counts = [], {}

    async def handle(self, reader, writer):
        try:
            while True:
                request = await self.read(reader, writer)
                if request is None or not await self.respond(request, writer):
                    break
        except Hangup as hangup:
            if hangup.rst:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, ssl.SSLError):
            pass
        finally:
            writer.close()

    @staticmethod
    async def read(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int((await reader.readline()).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        return Request(method, target, headers, body)

    async def respond(self, request, writer):
        """Answer one request; whether the connection may be used again."""
        if request.path == "/_log":
            return await self.answer_log(request, writer)
        request.count = self.counts[request.target] = self.counts.get(request.target, 0) + 1
        request.entry = {
            "time": time.time(),
            "address": "%s:%d" % writer.get_extra_info("sockname")[:2],
            "method": request.method,
            "target": request.target,
            "headers": request.headers,
            "body": request.body.decode("utf-8", "replace")[: 4 * 2**20],
            "status": None,  # no answer yet
            "sent": 0,  # body bytes handed to the kernel so far, without chunk framing
            "whole": False,  # whether that is all that the head announced, and the answer has ended
        }
        self.log.append(request.entry)
        await asyncio.sleep(request.number("delay", 0, float))
        headers = {"Date": email.utils.formatdate(usegmt=True), "Server": "chaos"}
        headers.update(h.split(":", 1) for h in request.options.get("header", "").split("|") if h)
        for i in range(request.number("headers", 0)):
            headers[f"X-Filler-{i}"] = "x" * 1000
        status = self.failing(request)
        if status:
            return await self.send(
                writer, request, status, headers | self.retry_after(request), b'{"error":"as asked"}'
            )
        if request.path.startswith("/sink"):
            return await self.send(writer, request, request.number("status", 200), headers, b"{}")
        location = self.location(request)
        if location:
            return await self.send(writer, request, request.number("code", 302), headers | {"Location": location}, b"")
        return await self.content(request, writer, headers)

    def failing(self, request):
        """The status to fail with: for the first `fail` requests of this URL, or for every `fail_every`th, or always."""
        if request.alternates("status"):
            return 404
        if "fail" in request.options and request.count <= request.number("fail"):
            return request.number("status", 503)
        if "fail_every" in request.options and request.count % request.number("fail_every") == 0:
            return request.number("status", 503)
        plain = (
            "fail" not in request.options
            and "fail_every" not in request.options
            and not request.path.startswith("/sink")
        )
        return request.number("status") if plain else None

    @staticmethod
    def retry_after(request):
        wait = request.options.get("retry_after")
        if wait is None:
            return {}
        form = request.options.get("retry_form", "seconds")
        value = email.utils.formatdate(time.time() + float(wait), usegmt=True) if form == "date" else wait
        return {"Retry-After": value}

    @staticmethod
    def location(request):
        if request.path == "/redirect":
            return request.options["to"]
        hops = re.fullmatch(r"/hops/(\d+)", request.path)
        if hops:
            query = urllib.parse.urlsplit(request.target).query
            left = int(hops.group(1))
            return f"/hops/{left - 1}?{query}" if left > 1 else f"/blob/end?{query}"
        return request.target if request.path == "/loop" else None

    async def content(self, request, writer, headers):
        o, content = request.options, Content(request)
        headers["Content-Type"] = o.get("type", content.type)
        if not headers["Content-Type"]:
            del headers["Content-Type"]
        if "etag" in o:
            # etag=weak, etag=changing (another one each time) or a text of its own
            made = {"weak": "W/" + content.etag, "changing": '"%d"' % request.count, "": content.etag}
            headers["ETag"] = made.get(o["etag"], f'"{o["etag"]}"')
            headers["Last-Modified"] = "Mon, 01 Jan 2024 00:00:00 GMT"
        if headers.get("ETag") and request.headers.get("if-none-match") == headers["ETag"]:
            return await self.send(writer, request, 304, headers, b"")
        start, stop, status = 0, content.size, 200
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if o.get("range", "yes") != "no" and "chunked" not in o and "gzip" not in o:
            headers["Accept-Ranges"] = "bytes"
            if asked and request.headers.get("if-range") in (None, headers.get("ETag")):
                first, last = asked.groups()
                start = int(first) if first else max(0, content.size - int(last))
                stop = min(content.size, int(last) + 1) if first and last else content.size
                if start >= content.size:
                    return await self.send(
                        writer, request, 416, headers | {"Content-Range": f"bytes */{content.size}"}, b""
                    )
                status = 206
                shift = request.number("shift_range", 0)
                headers["Content-Range"] = f"bytes {start + shift}-{stop - 1 + shift}/{content.size}"
        if "gzip" in o:
            # gzip=1: the bytes compressed; gzip=bomb: `size` zeros compressed, in a body about 1000 times smaller
            plain = bytes(content.size) if o["gzip"] == "bomb" else b"".join(content.pieces(0, content.size))
            content.whole = gzip.compress(plain, 6, mtime=0)
            headers["Content-Encoding"], start, stop = "gzip", 0, len(content.whole)
            content.size = len(content.whole)
        headers.update(self.digests(o, content, start, stop))
        if "infinite" in o:
            stop = MAX_SIZE if "length" not in o else request.number("length")
        return await self.send_pieces(request, writer, status, headers, content, start, stop)

    @staticmethod
    def digests(o, content, start, stop):
        """Repr-Digest is of the whole representation (RFC 9530), Content-MD5 of the body that is sent; or a wrong one."""
        asked = {"repr_digest": ("Repr-Digest", "sha-256=:%s:", "sha256", 0, content.size)}
        asked["content_md5"] = ("Content-MD5", "%s", "md5", start, stop)
        headers = {}
        for option, (name, form, algorithm, first, last) in asked.items():
            if option in o:
                wrong = hashlib.new(algorithm, b"not these bytes").digest()
                digest = wrong if o[option] == "wrong" else content.digest(algorithm, first, last)
                headers[name] = form % base64.b64encode(digest).decode()
        return headers

    async def send_pieces(self, request, writer, status, headers, content, start, stop):
        o = request.options
        chunked, until_close = "chunked" in o, "nolength" in o or "infinite" in o and "length" not in o
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif not until_close:
            headers["Content-Length"] = str(request.number("length", stop - start))
        self.write_head(writer, request, status, headers, close=until_close)
        announced = stop - start if chunked or until_close else int(headers["Content-Length"])
        if request.method == "HEAD":
            request.entry["whole"] = True
            return not until_close
        await asyncio.sleep(request.number("first_byte_delay", 0, float))
        truncate, rate, sent = request.number("truncate"), request.number("rate"), 0
        if request.count > request.number("breaks", MAX_SIZE):
            truncate = None
        step = BLOCK if not rate else max(1, min(BLOCK, rate // 10))
        for piece in content.pieces(start, stop):
            for i in range(0, len(piece), step):
                part = piece[i : i + step]
                if truncate is not None:
                    part = part[: truncate - sent]
                if part:
                    writer.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
                    await writer.drain()
                sent += len(part)
                request.entry["sent"] = sent
                if truncate is not None and sent >= truncate:
                    raise Hangup(rst="rst" in o)
                if rate:
                    await asyncio.sleep(len(part) / rate)
        if chunked:
            writer.write(b"zz\r\n" if o["chunked"] == "bad" else b"0\r\n\r\n")
        await writer.drain()
        request.entry["whole"] = sent == announced and o.get("chunked") != "bad"
        return not until_close and "length" not in o and request.headers.get("connection", "").lower() != "close"

    async def send(self, writer, request, status, headers, body):
        self.write_head(
            writer,
            request,
            status,
            headers | ({} if status == 204 else {"Content-Length": str(len(body)), "Content-Type": "application/json"}),
        )
        body = b"" if request.method == "HEAD" or status in (204, 304) else body
        writer.write(body)
        await writer.drain()
        request.entry.update(sent=len(body), whole=True)
        return request.headers.get("connection", "").lower() != "close"

    @staticmethod
    def write_head(writer, request, status, headers, close=False):
        request.entry["status"] = status
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", *(f"{k}: {v}" for k, v in headers.items())]
        writer.write("\r\n".join(lines + ["Connection: close"] * close).encode("latin-1") + b"\r\n\r\n")

    async def answer_log(self, request, writer):
        prefix = request.options.get("prefix", "")
        entries = [e for e in self.log if e["target"].startswith(prefix)]
        if request.method == "DELETE":
            self.log.clear()
            self.counts.clear()
        return await self.send(writer, request, 200, {}, json.dumps(entries).encode())


def loopback(host):
    """The host as given, if it is a loopback address: an origin that misbehaves is for this machine only."""
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(host)
    return host


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=5800)
    parser.add_argument("--host", type=loopback, action="append", default=[], help="may be repeated; default 127.0.0.1")
    parser.add_argument("--hosts", type=int, default=0, choices=range(255), metavar="N", help="127.0.0.1 to 127.0.0.N")
    parser.add_argument("--tls-port", type=int, help="listen with TLS there too")
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    args = parser.parse_args(given)
    if args.tls_port and not (args.tls_cert and args.tls_key):
        parser.error("--tls-port needs --tls-cert and --tls-key")
    numbered = [f"127.0.0.{n}" for n in range(1, args.hosts + 1)]
    args.host = list(dict.fromkeys(args.host + numbered)) or ["127.0.0.1"]
    return args


async def listen(origin, hosts, port, context=None):
    return await asyncio.start_server(origin.handle, hosts, port, ssl=context, limit=1 << 20, backlog=1024)


async def main():
    args = arguments()
    origin = Origin()
    servers = [await listen(origin, args.host, args.port)]
    if args.tls_port:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(args.tls_cert, args.tls_key)
        servers.append(await listen(origin, args.host, args.tls_port, context))
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
