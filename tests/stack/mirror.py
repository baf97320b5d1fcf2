"""An application that shows what it was asked, and answers what it is asked for."""

import time
from hashlib import sha256

from flask import Flask, Response, redirect, request

app = Flask(__name__)


@app.get("/healthz")
def healthz():
    """Alive."""
    return "alive"


@app.post("/read")
def read():
    """Return the length and the digest of what was sent."""
    sent = request.get_data()
    return {"length": len(sent), "sha256": sha256(sent).hexdigest()}


@app.post("/unread")
def unread():
    """Send the client away, whatever it sends."""
    return redirect("/healthz")


@app.post("/unread/streamed")
def streamed():
    """Answer in pieces, whatever the client sends, and do not say how many."""
    return Response(piece for piece in ("no ", "matter", "\n"))


@app.post("/form")
def form():
    """Return what a form said, and the length of its file."""
    return {**request.form, "file": len(request.files["file"].read())}


@app.get("/seen/<path:path>")
def seen(path):
    """Return what was asked for, and how."""
    arguments = request.args.to_dict(flat=False)
    headers = list(request.headers)
    return {"path": path, "arguments": arguments, "url": request.base_url, "headers": headers}


@app.get("/cookies/<int:number>")
def cookies(number):
    """Return so many cookies, each as large as browsers take."""
    answer = Response("")
    for one in range(number):
        answer.set_cookie(f"c{one}", "x" * 4000)
    return answer


@app.get("/slowly")
def slowly():
    """Return three lines, a second after each other."""

    def lines():
        for line in ("first\n", "second\n", "third\n"):
            yield line
            time.sleep(1)

    return Response(lines(), headers={"X-Accel-Buffering": "no"})


@app.get("/large/<int:megabytes>")
def large(megabytes):
    """Return so much."""
    return Response(bytes(1_000_000) for _ in range(megabytes))
