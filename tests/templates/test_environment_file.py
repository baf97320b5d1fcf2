r"""The application's environment, as systemd will read it from the file.

systemd.exec(5), EnvironmentFile=: inside double quotes a backslash followed by one of `"\$ and ` stands
for that character, any other backslash and everything else, %, #, ' and new lines included, for itself.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from render import render

# name: (value, the line that says so by the rules above)
VALUES = {
    "BACKQUOTE": ("`id`", r'BACKQUOTE="\`id\`"'),
    "BACKSLASH": (r"C:\new\table", r'BACKSLASH="C:\\new\\table"'),
    "BACKSLASH_LAST": ("end\\", r'BACKSLASH_LAST="end\\"'),
    "DOLLAR": ("$HOME ${HOME} $$", r'DOLLAR="\$HOME \${HOME} \$\$"'),
    "DOUBLE": ('say "hello"', r'DOUBLE="say \"hello\""'),
    "EMPTY": ("", 'EMPTY=""'),
    "HASH": ("#a # b", 'HASH="#a # b"'),
    "LINES": ("one\ntwo", 'LINES="one\ntwo"'),
    "NUMBER": (8081, 'NUMBER="8081"'),
    "PERCENT": ("100%n %%", 'PERCENT="100%n %%"'),
    "SEMICOLON": ("; not a comment", 'SEMICOLON="; not a comment"'),
    "SINGLE": ("it's", 'SINGLE="it\'s"'),
    "SPACES": ("  a  b  ", 'SPACES="  a  b  "'),
    "UNICODE": ("Grüße ✓ 日本", 'UNICODE="Grüße ✓ 日本"'),
    "URL": ("postgresql://a:p%2Fw@h/d?x=1&y=2", 'URL="postgresql://a:p%2Fw@h/d?x=1&y=2"'),
}


def rendered() -> str:
    environment = {name: value for name, (value, _) in VALUES.items()}
    return render("app_server", "environment.j2", app_env=environment)


def read_by_systemd(path: Path) -> dict[str, str]:
    """Return what systemd's own parser makes of the file."""
    found = sorted(Path("/usr/lib").glob("*/systemd/libsystemd-shared-*.so"))
    if not found:
        pytest.skip("no libsystemd-shared here, so its parser cannot be asked")
    systemd, libc = ctypes.CDLL(str(found[-1])), ctypes.CDLL(None)
    if not hasattr(systemd, "load_env_file"):
        pytest.skip(f"{found[-1]} has no load_env_file, so its parser cannot be asked")
    libc.fopen.restype = ctypes.c_void_p
    libc.fclose.argtypes = [ctypes.c_void_p]
    systemd.load_env_file.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    stream = libc.fopen(str(path).encode(), b"r")
    words = ctypes.POINTER(ctypes.c_char_p)()
    result = systemd.load_env_file(stream, None, ctypes.byref(words))
    libc.fclose(stream)
    assert result >= 0, f"systemd refuses the file, error {-result}"
    pairs = []
    while (word := words[len(pairs)]) is not None:
        pairs.append(word.decode())
    return dict(pair.split("=", 1) for pair in pairs)


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_quoted_by_systemds_rules(name: str) -> None:
    assert f"\n{VALUES[name][1]}\n" in rendered()


def test_there_is_a_line_for_each_value_and_no_other() -> None:
    comment, *rest = rendered().splitlines()
    assert comment.startswith("# ")
    assert "\n".join(rest) == "\n".join(line for _, line in VALUES.values())


def test_systemd_reads_every_value_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "demo.env"
    path.write_text(rendered(), encoding="utf-8")
    assert read_by_systemd(path) == {name: str(value) for name, (value, _) in VALUES.items()}
