"""`python -m tests.faults.demos`: every demo, with each of its processes killed once; does it end well all the same?

After version 2 one process gets SIGKILL: the broker, the coordinator, a participant, a trainer or the fork server. The
services are started again by their line in processes.json; trainers and fork server by those who use them. The demo has
to end with 0, and its summary has to account for every offer.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.broker.demo import Demo
from tests.broker.services import trainers

STUDIES = ("lung", "breast", "linear-regression", "heart")
BROKER, COORDINATOR, PARTICIPANT, TRAINER, FORK_SERVER = (
    "broker",
    "coordinator",
    "participant",
    "trainer",
    "fork server",
)
ROLES = (BROKER, COORDINATOR, PARTICIPANT, TRAINER, FORK_SERVER)


@dataclass(frozen=True, slots=True)
class Ended:
    """How one demo ended; `wrong` is empty when all is well."""

    study: str
    role: str
    offers: int
    counted: int
    refused: int
    seconds: float
    wrong: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.demos", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the data of the study heart")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--study", choices=STUDIES, action="append", help="these alone; may be repeated")
    parser.add_argument("--role", choices=ROLES, action="append", help="these alone; may be repeated")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    ended = []
    for study in chosen.study or STUDIES:
        for role in chosen.role or ROLES:
            moments = random.Random(f"{chosen.seed}/{study}/{role}")
            ended.append(_play(study, role, chosen.data, moments))
            print(_sentence(ended[-1]), flush=True)
    wrong = sum(bool(one.wrong) for one in ended)
    print(f"{len(ended)} demos with one process killed, {wrong} of them wrong")
    return 1 if wrong else 0


def _play(study: str, role: str, data: Path, moments: random.Random) -> Ended:
    with tempfile.TemporaryDirectory() as folder:
        began_s = time.monotonic()
        demo = Demo(Path(folder), "--study", study, *(["--data", str(data)] if study == "heart" else []))
        again: list[subprocess.Popen[bytes]] = []
        try:
            demo.until(r"version ([2-9]|\d\d+) of")
            time.sleep(moments.random())
            again = _kill(demo, study, role, moments)
            code = demo.wait()
            for service in again:
                service.wait(20)
        except AssertionError as error:
            return Ended(study, role, 0, 0, 0, time.monotonic() - began_s, str(error)[-2000:])
        finally:
            processes: list[subprocess.Popen[Any]] = [demo.process, *again]
            for process in processes:
                if process.poll() is None:
                    process.kill()
        return _judge(demo, study, role, code, time.monotonic() - began_s)


def _kill(demo: Demo, study: str, role: str, moments: random.Random) -> list[subprocess.Popen[bytes]]:
    """SIGKILL one process of this role; what nobody else starts again is started here."""
    if role in (TRAINER, FORK_SERVER):
        found = trainers(demo.folder(study), fork_server=role == FORK_SERVER)
        assert found, f"no {role} runs"
        os.kill(moments.choice(found), signal.SIGKILL)
        return []
    rows = json.loads((demo.out / study / "processes.json").read_text())
    sites = [row for row in rows if "participant" in row["argv"]]
    row = moments.choice(sites) if role == PARTICIPANT else demo.row(study, role)
    os.kill(row["pid"], signal.SIGKILL)
    demo.until(f"{row['name']} .* is gone")
    quiet = subprocess.DEVNULL
    return [subprocess.Popen(row["argv"], cwd=row["cwd"], env=row["env"], stdout=quiet, stderr=quiet)]


def _judge(demo: Demo, study: str, role: str, code: int, seconds: float) -> Ended:
    summaries = [json.loads(path.read_text()) for path in demo.out.rglob("summary.json")]
    offers, counted = (sum(one[name] for one in summaries) for name in ("offers", "counted"))
    refused = sum(sum(one["refused"].values()) for one in summaries)
    wrong = []
    if code:
        wrong.append(f"ended with {code}: {demo.text[-1000:]}")
    if not summaries or not counted:
        wrong.append("no summary")
    if offers != counted + refused:
        wrong.append(f"{offers} offers are not {counted} counted and {refused} refused")
    return Ended(study, role, offers, counted, refused, seconds, "; ".join(wrong))


def _sentence(one: Ended) -> str:
    said = f"{one.study}, {one.role} killed: {one.seconds:.0f} s, {one.offers} offers, {one.counted} counted, "
    return said + f"{one.refused} refused" + (f"\n  WRONG: {one.wrong}" if one.wrong else "")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
