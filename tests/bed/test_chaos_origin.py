"""Checks of what our tests believe of chaos_origin.py: python3 -m unittest discover tests/bed"""

import base64
import contextlib
import hashlib
import http.client
import io
import json
import socket
import subprocess
import sys
import time
import unittest
import urllib.parse

import chaos_origin


class Ground(unittest.TestCase):
    """An origin of its own, on two loopback addresses and a port that was free."""

    @classmethod
    def setUpClass(cls):
        with socket.create_server(("127.0.0.1", 0)) as free:
            cls.port = free.getsockname()[1]
        hosts = ["--host", "127.0.0.1", "--host", "127.0.0.7"]
        origin = subprocess.Popen([sys.executable, chaos_origin.__file__, *hosts, "--port", str(cls.port)])
        cls.addClassCleanup(lambda: (origin.terminate(), origin.wait(10)))
        for _ in range(100):
            with contextlib.suppress(ConnectionError):
                return socket.create_connection(("127.0.0.7", cls.port), timeout=10).close()
            time.sleep(0.1)
        raise TimeoutError("the origin does not listen")

    def ask(self, target, headers=None, host="127.0.0.1", method="GET"):
        connection = http.client.HTTPConnection(host, self.port, timeout=10)
        self.addCleanup(connection.close)
        connection.request(method, target, headers=headers or {})
        answer = connection.getresponse()
        try:
            body = answer.read()
        except http.client.IncompleteRead as cut:
            body = cut.partial
        return answer.status, answer.headers, body

    def log(self, prefix):
        return json.loads(self.ask("/_log?prefix=" + urllib.parse.quote(prefix))[2])

    def test_every_second_status_is_a_404(self):
        found = [self.ask("/blob/a?alternate=status")[0] for _ in range(4)]
        self.assertEqual(found, [200, 404, 200, 404])
        self.assertEqual(self.ask("/blob/a?alternate=status&x=1")[0], 200, "another URL has a count of its own")

    def test_the_first_bodies_break_and_the_next_is_whole(self):
        target = "/blob/k?size=5000&truncate=700&breaks=2"
        self.assertEqual([len(self.ask(target)[2]) for _ in range(3)], [700, 700, 5000])

    def test_every_second_body_has_other_bytes_of_the_same_size(self):
        for kind in ("size=70000", "kind=png", "kind=text", "kind=text&text=Hello"):
            with self.subTest(kind):
                answers = [self.ask(f"/blob/b?alternate=bytes&etag=&{kind}") for _ in range(4)]
                bodies, tags = [a[2] for a in answers], [a[1]["ETag"] for a in answers]
                self.assertEqual(bodies[:2], bodies[2:])
                self.assertNotEqual(bodies[0], bodies[1])
                if "png" not in kind:  # compressed, so its size follows its content
                    self.assertEqual(len(bodies[0]), len(bodies[1]))
                self.assertNotEqual(tags[0], tags[1], "a validator must not hide the change")

    def test_without_alternate_the_bytes_stay(self):
        self.assertEqual(self.ask("/blob/c?size=5000")[2], self.ask("/blob/c?size=5000")[2])

    def test_digests_are_right_when_asked(self):
        _, headers, body = self.ask("/blob/d?size=200000&repr_digest=1&content_md5=1")
        sha256, md5 = hashlib.sha256(body).digest(), hashlib.md5(body).digest()
        self.assertEqual(headers["Repr-Digest"], f"sha-256=:{base64.b64encode(sha256).decode()}:")
        self.assertEqual(headers["Content-MD5"], base64.b64encode(md5).decode())

    def test_digests_are_wrong_when_asked(self):
        _, right, _ = self.ask("/blob/d?size=200&repr_digest=1&content_md5=1")
        _, wrong, _ = self.ask("/blob/d?size=200&repr_digest=wrong&content_md5=wrong")
        for name in ("Repr-Digest", "Content-MD5"):
            self.assertEqual(len(wrong[name]), len(right[name]))
            self.assertNotEqual(wrong[name], right[name])
        self.assertNotIn("Repr-Digest", self.ask("/blob/d?size=200")[1])

    def test_a_range_has_the_digest_of_the_whole_and_the_md5_of_the_part(self):
        whole = self.ask("/blob/e?size=1000")[2]
        status, headers, body = self.ask("/blob/e?size=1000&repr_digest=1&content_md5=1", {"Range": "bytes=100-199"})
        self.assertEqual((status, body), (206, whole[100:200]))
        self.assertIn(base64.b64encode(hashlib.sha256(whole).digest()).decode(), headers["Repr-Digest"])
        self.assertEqual(headers["Content-MD5"], base64.b64encode(hashlib.md5(body).digest()).decode())

    def test_a_compressed_body_has_the_digest_of_what_is_sent(self):
        _, headers, body = self.ask("/blob/f?size=100000&gzip=1&repr_digest=1")
        self.assertEqual(headers["Content-Encoding"], "gzip")
        self.assertIn(base64.b64encode(hashlib.sha256(body).digest()).decode(), headers["Repr-Digest"])

    def test_the_log_tells_what_was_sent(self):
        cases = {
            "/blob/g?size=100000": (200, 100000, True),
            "/blob/g?size=100000&truncate=70000": (200, 70000, False),
            "/blob/g?size=3000&chunked=1": (200, 3000, True),
            "/blob/g?size=3000&chunked=bad": (200, 3000, False),
            "/blob/g?size=3000&length=4000": (200, 3000, False),
            "/blob/g?size=3000&nolength=1": (200, 3000, True),
            "/blob/g?status=503": (503, len(b'{"error":"as asked"}'), True),
        }
        for target, (status, sent, whole) in cases.items():
            with self.subTest(target):
                with contextlib.suppress(http.client.HTTPException, TimeoutError, ValueError):
                    self.ask(target, {"Connection": "close"})
                entry = self.log(target)[0]
                self.assertEqual((entry["status"], entry["sent"], entry["whole"]), (status, sent, whole))

    def test_a_head_request_sends_nothing_and_is_whole(self):
        self.ask("/blob/h?size=1000", method="HEAD")
        entry = self.log("/blob/h")[0]
        self.assertEqual((entry["sent"], entry["whole"]), (0, True))

    def test_a_client_that_leaves_is_not_whole(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/blob/i?size=1000000000&rate=100000")
        connection.getresponse().read(1000)
        connection.close()
        time.sleep(0.5)
        entry = self.log("/blob/i")[0]
        self.assertFalse(entry["whole"])
        self.assertGreaterEqual(entry["sent"], 1000)

    def test_the_log_tells_the_address(self):
        self.ask("/blob/j", host="127.0.0.7")
        self.assertEqual(self.log("/blob/j")[0]["address"], f"127.0.0.7:{self.port}")


class Arguments(unittest.TestCase):
    def test_hosts_are_numbered_and_named_ones_added_once(self):
        args = chaos_origin.arguments(["--hosts", "3", "--host", "127.0.0.2", "--host", "127.1.2.3"])
        self.assertEqual(sorted(args.host), ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.1.2.3"])
        self.assertEqual(chaos_origin.arguments([]).host, ["127.0.0.1"])

    def test_only_loopback_is_listened_on(self):
        for host in ("0.0.0.0", "::", "10.0.0.1", "localhost"):
            with self.subTest(host), contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
                chaos_origin.arguments(["--host", host])


if __name__ == "__main__":
    unittest.main()
