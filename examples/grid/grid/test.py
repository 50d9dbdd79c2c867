"""Clicks the site's button in every browser of the grid at the same time; writes report.xml, and a picture of each."""

import base64
import json
import os
import threading
import urllib.request
from xml.sax.saxutils import quoteattr

grid = "http://127.0.0.1:" + os.environ["PORT"]
together = threading.Barrier(int(os.environ["NODES"]))
failures = {}


def webdriver(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(grid + path, data=data, method=method, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["value"]


def browse(name):
    # A container has no name spaces to give to the browser's own sandbox.
    options = {"goog:chromeOptions": {"args": ["--headless=new", "--no-sandbox", "--disable-gpu"]}}
    opened = webdriver("POST", "/session", {"capabilities": {"alwaysMatch": {"browserName": "chrome", **options}}})
    session = "/session/" + opened["sessionId"]
    try:
        # All are open at once: each node has one of them.
        together.wait(timeout=120)
        sessions = webdriver("GET", "/status")["sessions"]
        assert set(sessions.values()) == {1}, sessions
        together.wait(timeout=120)
        webdriver("POST", session + "/url", {"url": os.environ["SITE"]})
        assert webdriver("GET", session + "/title") == "before"
        button = webdriver("POST", session + "/element", {"using": "css selector", "value": "#go"})
        webdriver("POST", f"{session}/element/{next(iter(button.values()))}/click", {})
        title = webdriver("GET", session + "/title")
        assert title.startswith("clicked in Chromium"), title
        with open(name + ".png", "wb") as picture:
            picture.write(base64.b64decode(webdriver("GET", session + "/screenshot")))
        print(name, title)
    finally:
        webdriver("DELETE", session)


def test(name):
    try:
        browse(name)
    except Exception as error:  # whatever it is, it is this test's failure
        together.abort()
        failures[name] = repr(error)


names = [f"browser-{number}" for number in range(together.parties)]
threads = [threading.Thread(target=test, args=[name]) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with open("report.xml", "w") as report:
    report.write(f"<testsuite name='grid' tests='{len(names)}' failures='{len(failures)}'>")
    for name in names:
        verdict = f"<failure message={quoteattr(failures[name])}/>" if name in failures else ""
        report.write(f"<testcase classname='grid' name='{name}'>{verdict}</testcase>")
    report.write("</testsuite>")
for name, why in failures.items():
    print(name, "failed:", why)
raise SystemExit(bool(failures))
