#!/usr/bin/env python3
"""Delivery to S3, against a stand-in that checks each request's signature by itself.

    s3.py PUT_S3 RUN_S3

The first part of an object's name says what the stand-in does with it: `fail-503-SlowDown/x` answers so, `drop/x`
closes the connection in the middle, `raw-N/x` answers with the Nth of RAW, `moved-N/x` redirects the first N requests,
anything else is stored.
"""

import hashlib
import hmac
import http.server
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from urllib.parse import unquote

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a/token+="
PUT_S3, RUN_S3 = sys.argv.pop(1), sys.argv.pop(1)

# What is no answer of the service, or only a part of one: HTTP/0.9, noise, a proxy's words, an answer that ends early.
RAW = (b"hello\r\n", b"\x16\x03\x01\x00\xff" * 9, b"HTTP/1.1 200 OK\r\nContent-Len", b"HTTP/1.1 abc\r\n\r\n",
       b"HTTP/1.1 403 Forbidden\r\nContent-Length: 17\r\n\r\n<html>go</html>\r\n", b"",
       b"HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\n<?xml version",
       b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\n\r\n",
       b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://bucke.s3.eu-west-3.example/x\r\nContent-Length: 46\r\n"
       b"\r\n<Error><Code>TemporaryRedirect</Code></Error>\n",
       b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n<html>log in</html>\n", b"HTTP/1.1 204 No Content\r\n\r\n",
       b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n")


def hmac_of(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def why_not_signed(handler, content):
    """None, or what is wrong with the request's signature."""
    headers = {name.lower(): value for name, value in handler.headers.items()}
    claim = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, "
                         r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})", headers.get("authorization", ""))
    if not claim:
        return "no authorization"
    key_id, day, region, names, signature = claim.groups()
    if key_id != KEY or not {"host", "x-amz-date", "x-amz-content-sha256", "if-none-match"} <= set(names.split(";")):
        return "wrong key, or not enough is signed"
    if hashlib.sha256(content).hexdigest() != headers["x-amz-content-sha256"]:
        return "the content is not what was signed"
    when = time.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    if abs(time.mktime(when) - time.mktime(time.gmtime()) - handler.server.ahead) > 300:
        return "the time is another"
    canonical = "\n".join([handler.command, handler.path, ""] + ["%s:%s" % (name, headers[name])
                          for name in names.split(";")] + ["", names, headers["x-amz-content-sha256"]])
    scope = "%s/%s/s3/aws4_request" % (day, region)
    to_sign = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope,
                         hashlib.sha256(canonical.encode()).hexdigest()])
    signing = ("AWS4" + SECRET).encode()
    for part in scope.split("/"):
        signing = hmac_of(signing, part)
    return None if hmac_of(signing, to_sign).hex() == signature else "the signature does not match"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def mark(self, content):
        self.send_header("ETag", '"%s"' % hashlib.md5(content).hexdigest())

    def answer(self, status, code="", content=None):
        body = b"" if not code else (b"<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>It is %s &amp; more"
                                     b"</Message></Error>" % (code.encode(), code.encode()))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if content is not None:
            self.mark(content)
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp=None):
        return super().date_time_string((timestamp or time.time()) + self.server.ahead)

    def handle_expect_100(self):
        server = self.server
        server.asked.append(unquote(self.path))
        if server.is_mute:
            return True
        if unquote(self.path).split("/")[2] == "refused":
            server.requests.append((self.client_address, self.headers.get("host"), self.path, dict(self.headers)))
            self.answer(412, "PreconditionFailed")
            self.close_connection = True
            return False
        return super().handle_expect_100()

    def do_PUT(self):
        server = self.server
        name = unquote(self.path)
        server.requests.append((self.client_address, self.headers.get("host"), self.path, dict(self.headers)))
        first = name.split("/")[2] if name.startswith("/bucket/") else ""
        if first == "drop":
            self.rfile.read(10)
            self.close_connection = True
            self.connection.close()
            return
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if server.hangs.is_set():
            server.over.wait(50)
            self.close_connection = True
            return
        if first.startswith("raw-"):
            self.wfile.write(RAW[int(first[4:])])
            self.close_connection = True
            return
        wrong = why_not_signed(self, content)
        if wrong == "the time is another" and not server.is_silent:
            server.late.append(self.path)
            self.answer(403, "RequestTimeTooSkewed")
        elif wrong:
            server.wrong.append((self.path, wrong))
            self.answer(403, "SignatureDoesNotMatch")
        elif server.slow_bytes:
            server.objects[name] = content
            self.send_response(200)
            self.send_header("Content-Length", str(server.slow_bytes))
            self.mark(content)
            self.end_headers()
            for _ in range(server.slow_bytes):
                time.sleep(0.1)
                self.wfile.write(b" ")
        elif first.startswith("moved-") and len(server.moved) < int(first[6:]):
            server.moved.append(self.headers["Host"])
            self.send_response(307)
            self.send_header("Location", "http://localhost:%d%s" % (server.server_port, self.path))
            self.send_header("x-amz-bucket-region", "eu-west-3")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif first.startswith("fail-"):
            self.answer(int(first.split("-")[1]), first.split("-")[2])
        elif name in server.objects and self.headers.get("If-None-Match") == "*":
            self.answer(412, "PreconditionFailed")
        else:
            server.objects[name] = content
            self.answer(200, content=content)

    def log_message(self, *_):
        pass


class S3(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.objects, self.server.requests, self.server.wrong = {}, [], []
        self.server.ahead, self.server.late, self.server.is_silent, self.server.moved = 0, [], False, []
        self.server.asked, self.server.is_mute = [], False
        self.server.hangs, self.server.over, self.server.slow_bytes = threading.Event(), threading.Event(), 0
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL": "http://127.0.0.1:%d/" % self.server.server_port,
            "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "NO_PROXY": "*"}

    def tearDown(self):
        self.server.over.set()
        self.server.shutdown()
        self.server.server_close()

    def put(self, *objects, bucket="bucket", **environment):
        """One line of answer for each (name, size)."""
        result = subprocess.run([PUT_S3, bucket], env={**self.environment, **environment}, text=True,
                                input="".join("%s %d\n" % each for each in objects), capture_output=True, timeout=60)
        self.assertEqual(result.stderr, "")
        return result.stdout.splitlines()

    def test_objects_arrive_whole_under_their_names(self):
        names = ["2018/08/27/10/clicks-1-x", "a=b/c*d/~(e)'f'!", "%2E%2E/100%", "z\u00fcrich/+&?#;:@,$", "a//b/../c/."]
        sizes = [0, 1, 4096, 3000000, 77]
        said = self.put(*zip(names, sizes))
        self.assertEqual(said, ["LS_OK - "] * 5, self.server.wrong)
        for name, size in zip(names, sizes):
            repeated = name.encode() * (size // len(name.encode()) + 1)
            self.assertEqual(self.server.objects["/bucket/" + name], repeated[:size], name)
        self.assertEqual(len({client for client, *_ in self.server.requests}), 1)  # one connection

    def test_a_large_object_is_announced_until_a_service_does_not_care(self):
        large, names = 1200000, ["a", "b", "c", "d"]
        self.assertEqual(self.put(("small", 1000000), *((name, large) for name in names)), ["LS_OK - "] * 5)
        self.assertEqual(self.server.asked, ["/bucket/" + name for name in names])
        self.server.asked.clear()
        self.server.objects.clear()
        # What is refused is not sent, and says nothing of whether the next one is waited for.
        self.assertEqual(self.put(("a", large), ("refused/x", large), ("b", large)), ["LS_OK - "] * 3)
        self.assertEqual(self.server.asked, ["/bucket/a", "/bucket/refused/x", "/bucket/b"])
        self.assertEqual(sorted(self.server.objects), ["/bucket/a", "/bucket/b"])
        self.server.asked.clear()
        self.server.objects.clear()
        self.server.is_mute = True
        self.assertEqual(self.put(("small", 9), *((name, large) for name in names)), ["LS_OK - "] * 5)
        self.assertEqual(self.server.asked, ["/bucket/a"])
        self.assertEqual([len(self.server.objects["/bucket/" + name]) for name in names], [large] * 4)

    def test_an_object_that_is_there_is_its_twin(self):
        self.server.objects["/bucket/there"] = b"before"
        self.assertEqual(self.put(("there", 5), ("new", 5), ("new", 9)), ["LS_OK - "] * 3)
        self.assertEqual(self.server.objects, {"/bucket/there": b"before", "/bucket/new": b"newne"})

    def test_errors_have_the_services_words_and_whether_it_helps_to_wait(self):
        cases = [(503, "SlowDown", "later"), (500, "InternalError", "later"), (429, "TooMany", "later"),
                 (409, "ConditionalRequestConflict", "later"), (400, "RequestTimeout", "later"),
                 (403, "AccessDenied", "-"), (404, "NoSuchBucket", "-"), (400, "ExpiredToken", "-"),
                 (301, "PermanentRedirect", "-"), (409, "BucketNotThere", "-"), (501, "NotImplemented", "-")]
        said = self.put(*[("fail-%d-%s/x" % case[:2], 10) for case in cases])
        host = "127.0.0.1:%d" % self.server.server_port
        for (status, code, wait), line in zip(cases, said):
            self.assertEqual(line, "LS_ERR_IO %s bucket 'bucket' of %s: it refuses 'fail-%d-%s/x': %d %s: It is %s "
                                   "&amp; more" % (wait, host, status, code, status, code, code))
        self.assertEqual(self.server.objects, {})

    def test_after_a_failure_the_next_object_arrives(self):
        said = self.put(("fail-503-SlowDown/x", 10), ("drop/x", 500000), ("x", 10))
        self.assertTrue(said[1].startswith("LS_ERR_IO later bucket 'bucket' of 127.0.0.1:"), said)
        self.assertIn("'drop/x' cannot be sent: ", said[1])
        self.assertEqual(said[2], "LS_OK - ")

    def test_what_is_no_answer_of_the_service_is_tried_again(self):
        for i in range(len(RAW)):
            with self.subTest(answer=RAW[i]):
                said = self.put(("raw-%d/x" % i, 10), ("after-%d" % i, 10))
                self.assertTrue(said[0].startswith("LS_ERR_IO later bucket 'bucket' of 127.0.0.1:"), said)
                self.assertEqual(said[1], "LS_OK - ")
        self.assertIn("it refuses 'raw-8/x': 307 TemporaryRedirect: it is said to be at http://bucke.s3.eu-west-3."
                      "example/x", self.put(("raw-8/x", 1))[0])

    def test_a_redirect_that_passes_is_followed_for_one_object(self):
        here, there = ("%s:%d" % (host, self.server.server_port) for host in ("127.0.0.1", "localhost"))
        self.assertEqual(self.put(("moved-1/a=b", 70000), ("x", 1)), ["LS_OK - "] * 2, self.server.wrong)
        self.assertEqual(len(self.server.objects["/bucket/moved-1/a=b"]), 70000)
        self.assertEqual([host for _, host, *_ in self.server.requests], [here, there, here])
        regions = [headers["Authorization"].split("/")[2] for *_, headers in self.server.requests]
        self.assertEqual(regions, ["us-east-1", "eu-west-3", "us-east-1"])
        self.server.moved.clear()
        self.server.ahead = 3600  # Two reasons to send it again.
        self.assertEqual(self.put(("moved-3/x", 1)), ["LS_OK - "], self.server.wrong)
        self.assertEqual(self.server.moved, [here, there, there])
        self.server.ahead = 0
        self.server.moved.clear()
        said = self.put(("moved-9/x", 1))[0]
        self.assertTrue(said.startswith("LS_ERR_IO later bucket 'bucket' of %s: it refuses 'moved-9/x': 307" % there),
                        said)
        self.assertEqual(len(self.server.moved), 4)

    def test_a_clock_that_is_off_is_known_from_the_first_refusal_on(self):
        for self.server.ahead in (3600, -86400 * 400):
            self.server.late.clear()
            said = self.put(("a%d" % self.server.ahead, 10), ("b%d" % self.server.ahead, 10))
            self.assertEqual(said, ["LS_OK - "] * 2)
            self.assertEqual(len(self.server.late), 1)
        self.server.is_silent = True  # the signature does not match, since the time is another
        self.assertEqual(self.put(("c", 10)), ["LS_OK - "])
        self.server.ahead = 0
        self.assertIn("403 SignatureDoesNotMatch", self.put(("d", 1), AWS_SECRET_ACCESS_KEY="another")[0])

    def test_nobody_listens(self):
        self.server.server_close()
        said = self.put(("x", 10))[0]
        self.assertTrue(said.startswith("LS_ERR_IO later bucket 'bucket' of 127.0.0.1:"), said)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)  # for tearDown
        self.server.over, self.server.ahead = threading.Event(), 0
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def test_credentials_and_region_are_those_of_the_environment(self):
        self.put(("x", 1), AWS_SESSION_TOKEN=TOKEN, AWS_REGION="eu-west-3")
        headers = self.server.requests[0][3]
        self.assertEqual(headers["x-amz-security-token"], TOKEN)
        self.assertIn("/eu-west-3/s3/aws4_request", headers["Authorization"])
        self.assertIn("x-amz-security-token", headers["Authorization"])
        self.assertEqual(self.server.wrong, [])
        self.put(("y", 1), AWS_SECRET_ACCESS_KEY="another")
        self.assertEqual(self.server.wrong, [("/bucket/y", "the signature does not match")])

    def run_delivery(self, store, count, *limits, **environment):
        return subprocess.run([RUN_S3, store, str(count), *map(str, limits)], text=True, capture_output=True,
                              timeout=60, env={**self.environment, **environment})

    def test_a_delivery_goes_to_a_bucket(self):
        with tempfile.TemporaryDirectory() as folder:
            store = os.path.join(folder, "store")
            for count in (3, 2):
                done = self.run_delivery(store, count)
                self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertEqual(sorted(self.server.objects.values()),
                         [b"record 0\nrecord 1\n", b"record 0\nrecord 1\nrecord 2\n"])
        for name in self.server.objects:
            self.assertRegex(name, r"^/bucket/logs/\d{4}(/\d\d){3}/to-s3-1-\d{4}(-\d\d){5}-[0-9a-f-]{36}$")

    def test_what_the_service_refuses_ends_the_run_with_its_words(self):
        with tempfile.TemporaryDirectory() as folder:
            store = os.path.join(folder, "store")
            done = self.run_delivery(store, 1, AWS_SECRET_ACCESS_KEY="another")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stdout, r"^LS_ERR_IO: bucket 'bucket' of 127\.0\.0\.1:\d+: it refuses 'logs/.*': 403 "
                                          r"SignatureDoesNotMatch: It is SignatureDoesNotMatch")
            done = self.run_delivery(store, 0, AWS_ACCESS_KEY_ID="")
            self.assertRegex(done.stdout, "^LS_ERR_INVALID_ARGUMENT: delivery to S3: there is no access key")
            self.assertEqual(self.server.objects, {})
            done = self.run_delivery(store, 0)  # Nothing was lost.
            self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertEqual(list(self.server.objects.values()), [b"record 0\n"])

    def time_with_a_server_that_hangs(self, store, give_up_ms, stop_ms):
        self.server.hangs.set()
        began = time.monotonic()
        done = self.run_delivery(store, 2, give_up_ms, stop_ms)
        took = time.monotonic() - began
        self.server.hangs.clear()
        self.assertEqual((len(self.server.requests), self.server.objects), (1, {}))
        return done, took

    def deliver_what_is_left(self, store):
        name = self.server.requests[0][2]
        done = self.run_delivery(store, 0)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertEqual(self.server.objects, {unquote(name): b"record 0\nrecord 1\n"})

    def test_a_run_gives_up_a_service_that_does_not_answer(self):
        with tempfile.TemporaryDirectory() as folder:
            store = os.path.join(folder, "store")
            done, took = self.time_with_a_server_that_hangs(store, 1000, 0)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stdout, "^LS_ERR_IO: .*cannot be sent: it was not there when the run was to end")
            self.assertTrue(1 <= took < 15, took)
            self.deliver_what_is_left(store)

    def test_a_run_is_stopped_while_the_service_does_not_answer(self):
        with tempfile.TemporaryDirectory() as folder:
            store = os.path.join(folder, "store")
            done, took = self.time_with_a_server_that_hangs(store, 0, 1000)
            self.assertEqual((done.returncode, done.stdout), (0, ""))
            self.assertTrue(1 <= took < 15, took)
            self.deliver_what_is_left(store)

    def test_what_moves_is_not_given_up(self):
        self.server.slow_bytes = 60
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_delivery(os.path.join(folder, "store"), 2, 2500, 0)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertEqual((len(self.server.requests), len(self.server.objects)), (1, 1))


if __name__ == "__main__":
    unittest.main()
