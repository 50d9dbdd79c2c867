"""The hub of a small WebDriver grid: new sessions go to the node that has the fewest, everything else to the session's node.

hub.py                          serves on $PORT, and is complete with $NODES nodes
hub.py --register HUB NODE      tells a hub of a node
hub.py --complete HUB           succeeds once all nodes have registered
"""

import json
import os
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lock = threading.Lock()
nodes = {}  # where a node is -> its sessions
wanted = int(os.environ.get("NODES", "1"))


def ask(method, url, body=None, timeout=120):
    """Status and body of an answer, an error's as well."""
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/status":
            with lock:
                sessions = {node: len(of) for node, of in nodes.items()}
            message = f"{len(sessions)} of {wanted} nodes"
            value = {"ready": len(sessions) == wanted, "message": message, "sessions": sessions}
            self.answer(200, json.dumps({"value": value}).encode())
        else:
            self.forward()

    def do_POST(self):
        if self.path == "/nodes":
            with lock:
                nodes.setdefault(json.loads(self.body())["url"], set())
            self.answer(200, b"{}")
        elif self.path == "/session":
            self.begin()
        else:
            self.forward()

    def do_DELETE(self):
        self.forward()

    def begin(self):
        with lock:
            node = min(nodes, key=lambda node: len(nodes[node]), default=None)
            if node is None:
                return self.refuse(500, "session not created", "no node has registered")
            claim = object()
            nodes[node].add(claim)
        status, body = ask("POST", node + "/session", self.body())
        with lock:
            nodes[node].discard(claim)
            if status == 200:
                nodes[node].add(json.loads(body)["value"]["sessionId"])
        self.answer(status, body)

    def forward(self):
        session = (self.path.split("/") + ["", ""])[2]
        with lock:
            node = next((node for node in nodes if session in nodes[node]), None)
        if node is None:
            return self.refuse(404, "invalid session id", session)
        status, body = ask(self.command, node + self.path, self.body() or None)
        if self.command == "DELETE" and self.path == f"/session/{session}":
            with lock:
                nodes[node].discard(session)
        self.answer(status, body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def refuse(self, status, error, message):
        self.answer(status, json.dumps({"value": {"error": error, "message": message, "stacktrace": ""}}).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if sys.argv[1:2] == ["--register"]:
    ask("POST", sys.argv[2] + "/nodes", json.dumps({"url": sys.argv[3]}).encode())
elif sys.argv[1:2] == ["--complete"]:
    state = json.loads(ask("GET", sys.argv[2] + "/status")[1])["value"]
    print(state["message"])
    sys.exit(not state["ready"])
else:
    ThreadingHTTPServer(("", int(os.environ["PORT"])), Hub).serve_forever()
