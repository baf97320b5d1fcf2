"""An application that shows what it was asked, and answers what it is asked for."""

import gzip
import subprocess
import tempfile
import time
from hashlib import sha256

from flask import Flask, Response, redirect, request, send_file

app = Flask(__name__)
FILE = b"a line\n" * 5000


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
    return {
        "path": path,
        "arguments": arguments,
        "url": request.base_url,
        "address": request.remote_addr,
        "headers": headers,
    }


@app.get("/headers")
def headers():
    """Answer as one that copies another server's answer, headers and all."""
    copied = {"Connection": "keep-alive", "Keep-Alive": "timeout=5", "Transfer-Encoding": "chunked"}
    return Response("whole", headers={**copied, "Upgrade": "h2c", "Trailer": "X", "X-Own": "kept"})


@app.get("/file/<kind>")
def file(kind):
    """Return the same bytes out of a file of some kind."""
    made = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the answer
    made.write({"packed": gzip.compress(FILE), "second": b"first" + FILE}.get(kind, FILE))
    made.seek({"second": 5}.get(kind, 0))
    if kind == "looked at":
        made.read(5)
        made.seek(0)
    if kind == "pipe":
        made = subprocess.Popen(["cat"], stdin=made, stdout=subprocess.PIPE).stdout
    return send_file(gzip.open(made) if kind == "packed" else made, "text/plain")


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
