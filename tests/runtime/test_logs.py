"""Logs go to stderr, readable on a terminal and JSON elsewhere, and show no bytes, no vector and no local variable."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.sections import Log

ROOT = Path(__file__).parents[2]
SECRET = "5EC2E7"  # its letters, and its numbers as a vector, must never be seen
PROGRAM = f"""
import logging, sys
import structlog
from runtime import logs
{{imports}}
logs.configure({{level!r}}{{how}})
log = structlog.get_logger()
def work(key):
    patient = "{SECRET}"
    {{statement}}
work(b"{SECRET}")
"""


def _program(statement: str, level: str = "info", how: str = "") -> str:
    return PROGRAM.format(statement=statement, level=level, how=how, imports=NEEDS if "np." in statement else "")


def _run(statement: str, level: str = "info", how: str = "") -> subprocess.CompletedProcess[str]:
    program = _program(statement, level, how)
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)


def _on_a_terminal(statement: str) -> str:
    ours, theirs = pty.openpty()
    program = _program(statement)
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:  # Linux says so when the other end of a terminal is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(timeout=60) == 0
    return shown.decode()


NEEDS = "import numpy as np; from schemas.records import KeyBox"
LEAKS = {
    "bytes": "log.info('event', value=key)",
    "a bytearray": "log.info('event', value=bytearray(key))",
    "a view": "log.info('event', value=memoryview(key))",
    "bytes in a list": "log.info('event', value=[key])",
    "bytes in a dict": "log.info('event', value=dict(inner=(1, key)))",
    "bytes bound before": "log.bind(value=key).info('event')",
    "bytes bound as context": "structlog.contextvars.bind_contextvars(value=[key]); log.info('event')",
    "a record": f"log.info('event', value=KeyBox('a', bytes(16), b'{SECRET}'))",
    "a vector": "log.info('event', value=np.array([0.123456]))",
    "a vector in a list": "log.info('event', value=[np.array([0.123456])])",
    "numbers in a long list": "log.info('event', value=[0.123456] * 1000)",
}


SAYS = {
    "a long text": "log.info('event', value='x' * 5000)",
    "values": "log.warning('refused', update='lung/aachen/7', code='stale')",
    "a library": "logging.getLogger('aiokafka').warning('lost %s', 'it')",
    "an error of a library": "logging.getLogger('aiokafka').info('chatter'); logging.getLogger('x').error('y')",
}


@pytest.fixture(scope="module")
def ended() -> subprocess.CompletedProcess[str]:
    """A process that has logged all of SAYS and LEAKS."""
    ended = _run("; ".join([*SAYS.values(), *LEAKS.values()]))  # one of LEAKS leaves its context behind
    assert ended.returncode == 0, ended.stderr
    return ended


@pytest.fixture(scope="module")
def shown(ended: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What each of SAYS and LEAKS logs: name -> its line."""
    return dict(zip([*SAYS, *LEAKS], ended.stderr.splitlines(), strict=True))


@pytest.mark.parametrize("name", LEAKS)
def test_bytes_vectors_and_records_are_never_shown(shown: dict[str, str], name: str) -> None:
    assert json.loads(shown[name])["event"] == "event"
    assert SECRET not in shown[name]
    assert "0.123456" not in shown[name]


def test_the_length_of_bytes_is_shown(shown: dict[str, str]) -> None:
    assert json.loads(shown["bytes"])["value"] == f"<{len(SECRET)} bytes>"


def test_nor_is_any_of_it_on_a_terminal() -> None:
    text = _on_a_terminal("; ".join(LEAKS.values()))
    assert text.count("event") == len(LEAKS)
    assert SECRET not in text
    assert "0.123456" not in text


RAISES = "\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        log.exception('event', study='lung')"


def test_a_traceback_shows_lines_of_the_program_and_no_local_variable() -> None:
    line = json.loads(_run(RAISES).stderr)
    assert "ZeroDivisionError" in line["exception"]
    assert SECRET not in line["exception"]


def test_nor_does_a_traceback_on_a_terminal() -> None:
    shown = _on_a_terminal(RAISES)
    assert "ZeroDivisionError" in shown
    assert SECRET not in shown


def test_nor_does_a_traceback_of_a_library() -> None:
    statement = RAISES.replace(
        "log.exception('event', study='lung')", "logging.getLogger('aiokafka').exception('event')"
    )
    assert SECRET not in _on_a_terminal(statement)
    line = json.loads(_run(statement).stderr)
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert "ZeroDivisionError: division by zero" in line["exception"]
    assert "exc_info" not in line
    assert SECRET not in str(line)


def test_a_long_text_is_cut(shown: dict[str, str]) -> None:
    assert len(json.loads(shown["a long text"])["value"]) < 500


def test_off_a_terminal_every_line_is_one_json_object_with_time_level_and_values(shown: dict[str, str]) -> None:
    line = json.loads(shown["values"])
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "refused", "level": "warning", "update": "lung/aachen/7", "code": "stale"}


def test_libraries_speak_in_the_same_format_and_only_when_it_matters(shown: dict[str, str]) -> None:
    assert json.loads(shown["a library"])["event"] == "lost it"
    assert json.loads(shown["an error of a library"])["event"] == "y"  # and there is no line of its chatter


def test_nothing_goes_to_stdout(ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.stdout == ""


def test_a_command_writes_plain_lines_and_none_that_only_tells_of_waiting() -> None:
    says = 'log.warning("broker away", away_s=0.0); log.warning("topic differs", topic="t", wanted=1)'
    libraries = 'logging.getLogger("aiokafka").warning("odd %s", "thing")'
    done = _run(f"{says}; {libraries}", how=", command=True")
    assert done.stderr == "warning: topic differs (topic=t, wanted=1)\nwarning: odd thing\n"
    assert done.stdout == ""


def test_what_is_below_the_level_is_silent() -> None:
    assert _run("log.info('event')", level="warning").stderr == ""
    assert "event" in _run("log.debug('event')", level="debug").stderr


def test_a_level_that_does_not_exist_is_refused_by_the_settings() -> None:
    with pytest.raises(ValueError, match="`loud` is none of debug, info, warning, error"):
        Log(level="loud")


def test_a_text_of_somebody_else_forges_no_line_and_moves_no_cursor() -> None:
    hostile = "log.info('plan not approved', title='a\\x1b[2J\\nerror: forged', items=['\\u202eb'])"
    for shown in (_run(hostile).stderr, _on_a_terminal(hostile)):
        assert len(shown.strip().splitlines()) == 1
        assert "forged" in shown
        assert not {"\x1b[2J", "\u202e"} & {shown[at : at + size] for at in range(len(shown)) for size in (1, 4)}


LIBRARY = """
import structlog
from pathlib import Path
{before}
from wardround import Federation
Federation("127.0.0.1:1", registrar_key=bytes(32))
structlog.get_logger().warning("record left out", topic="t")
structlog.get_logger().info("chatter")
print("result")
"""


def test_warnings_of_the_python_interface_leave_stdout_to_results() -> None:
    line = [sys.executable, "-c", LIBRARY.format(before="")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("result\n", "warning: record left out (topic=t)\n")


def test_a_program_that_has_configured_its_logs_keeps_them() -> None:
    own = "structlog.configure(processors=[lambda *_: 'mine'])"
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY.format(before=own)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "mine\nmine\nresult\n"
