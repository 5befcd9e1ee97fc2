"""A node that says what a test wants it to say, and keeps what it was asked. For tests of the client."""

import email.parser
import email.policy
import http.server
import json
import threading
import urllib.parse


def module(passed=0, failed=0, errors=0, skipped=0, status="done", outcome=None, blame=None, time=0.1):
    counted = passed + failed + errors
    if outcome is None and status == "done":
        outcome = "error" if errors else "failed" if failed else "passed" if passed else "no_tests"
    return {"%passed": 100 * passed / counted if counted else 0,
            "%failed": 100 * (failed + errors) / counted if counted else 0,
            "passed": passed, "failed": failed, "errors": errors, "skipped": skipped, "time": time,
            "status": status, "outcome": outcome, "blame": blame, "node": "127.0.0.1:1",
            "attempts": 1, "cached": False}


def document(results, status="done", identity="42", **more):
    """An evaluation's document with marks that follow from the modules' counts."""
    def total(modules, key):
        return sum(value[key] for value in modules)

    projects, every = {}, []
    for name, modules in results.items():
        rows = list(modules.values())
        every += rows
        counted = sum(total(rows, key) for key in ("passed", "failed", "errors"))
        share = 100 * total(rows, "passed") / counted if counted else 0
        projects[name] = {"%passed": share, "%failed": 100 - share if counted else 0,
                          "nota": share / 5, "time": total(rows, "time"),
                          "executed": sum(row["status"] == "done" for row in rows),
                          "executing": 0, "pending": 0, "source": name, "requirements": "none"}
    counted = sum(total(every, key) for key in ("passed", "failed", "errors"))
    share = 100 * total(every, "passed") / counted if counted else 0
    marks = [project["nota"] for project in projects.values()]
    answer = {"id": identity, "status": status,
              "_run_info": {"errors": total(every, "errors"), "%passed": share,
                            "%failed": 100 - share if counted else 0, "nota": share / 5,
                            "mean_nota": sum(marks) / len(marks) if marks else 0, "eval_time": 1.5},
              "executed": sum(row["status"] == "done" for row in every),
              "executing": sum(row["status"] == "running" for row in every),
              "pending": sum(row["status"] == "pending" for row in every),
              "module_results": results, "projects": projects}
    answer.update(more)
    return answer


class FakeNode:
    """Serves `documents` one after the other, the last one for ever. Other paths come from `answers`:
    path without query -> (status, body) with a body of bytes or something for JSON."""

    def __init__(self, documents=(), answers=None, tests=()):
        self.documents = list(documents)
        self.answers = dict(answers or {})
        self.tests = list(tests)
        self.requests = []  # (method, path, query, headers)
        self.parts = {}     # of the last upload
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *unused):
                pass

            def reply(self, status, body, **headers):
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 304:
                    self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                if status != 304:
                    self.wfile.write(raw)

            def handle_any(self):
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query))
                fake.requests.append((self.command, url.path, query, dict(self.headers)))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if url.path in fake.answers:
                    return self.reply(*fake.answers[url.path])
                if self.command == "POST":
                    fake.parts = read_parts(self.headers["Content-Type"], body)
                    return self.reply(202, {"id": "42", "eval_id": "42", "status": "submitted"})
                if url.path.endswith("/tests"):
                    found = [row for row in fake.tests
                             if all(row.get(key) == query[key]
                                    for key in ("project", "module", "outcome") if key in query)]
                    return self.reply(200, {"items": found, "next": None})
                return self.reply_document()

            def reply_document(self):
                step = min(sum(r[1] == "/evaluation/42" for r in fake.requests), len(fake.documents))
                tag = f'"{step}"'
                if self.headers.get("If-None-Match") == tag:
                    return self.reply(304, b"", ETag=tag)
                return self.reply(200, fake.documents[step - 1], ETag=tag)

            do_GET = do_POST = do_DELETE = handle_any

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def read_parts(content_type, body):
    """multipart/form-data into name -> (file name or None, bytes)."""
    head = b"Content-Type: " + content_type.encode() + b"\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    return {part.get_param("name", header="content-disposition"):
            (part.get_filename(), part.get_payload(decode=True)) for part in message.iter_parts()}
