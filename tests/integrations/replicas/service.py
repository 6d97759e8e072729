"""A small service for tests, with nothing but the standard library.

    python -I -S service.py PORT WORD

`/` answers WORD and its process; `/health` 200, or 503 where WORD is `ill`; `/slow/SECONDS` a line each tenth of a
second; `/secret` what the variable KEY holds; `/hang` makes it answer nothing any more. WORD `broken` ends at once.
"""

import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, WORD = int(sys.argv[1]), sys.argv[2]
hanging = threading.Event()


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if hanging.is_set():
            time.sleep(600)
        if self.path.startswith("/slow/"):
            self.slow(float(self.path.removeprefix("/slow/")))
            return
        if self.path == "/hang":
            hanging.set()
        status = 503 if WORD == "ill" and self.path == "/health" else 200
        text = os.environ.get("KEY", "") if self.path == "/secret" else f"{WORD} {os.getpid()}\n"
        self.answer(status, text.encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def slow(self, seconds):
        lines = round(seconds * 10)
        self.send_response(200)
        self.send_header("Content-Length", str(lines * 5))
        self.end_headers()
        for _ in range(lines):
            time.sleep(0.1)
            self.wfile.write(b"line\n")

    def log_message(self, format, *args):
        print(self.path, flush=True)


class Service(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if WORD == "broken":
    sys.exit("it cannot work")
print(f"{WORD} serves {PORT}", flush=True)
Service(("127.0.0.1", PORT), Answers).serve_forever()
