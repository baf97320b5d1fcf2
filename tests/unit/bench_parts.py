"""What the script `load` leaves of a run, made by hand."""

import json

USED = {
    "host": "load1",
    "began": 0.0,
    "seconds": 1.0,
    "cpu_seconds": 0.1,
    "run_delay_seconds": 0.01,
    "busy": 0.5,
    "syn_resent": 0,
    "ended": None,
    "lag": None,
    "rates": None,
    "best_rate": None,
}


def left(folder, command, stdout, log=b"", **used):
    """Write the three files into the folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stdout").write_bytes(stdout)
    (folder / "log").write_bytes(log)
    (folder / "used.json").write_text(json.dumps(USED | {"command": command} | used))
    return folder
