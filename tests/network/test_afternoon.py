"""A hospital joins through squid and one port, by the guides' own words, and loses nothing when ways and brokers do.

The hospital reaches its proxy and nothing else, and knows no name. The federation's machine has three real brokers.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ops.kafka.config import logging_properties
from ops.kafka.install import ensure
from ops.kafka.process import has_started
from participant.shell.ledger import Update, read_ledger
from registry.plans.authoring import read_signed_plan
from schemas.errors import LocalError
from tests.network.net import FED, FED_IP, HOSP, HOSP_IP, PROX_OUT_IP, ROOT, Net
from tests.network.servers import PASSWORD, USER, Squid, start_squid
from tests.network.tools import needed
from tests.network.typed import House, blocks, exchanged, lines_of, programs_in

pytestmark = [pytest.mark.broker, pytest.mark.timeout(420)]

TYPED_MAX, PATIENCE_S, CUT_S = 6, 60.0, 10.0
GUIDE, FEDERATION = "site-in-an-afternoon.md", "federation.md"
NODES = (1, 2, 3)
HOSTS = ("kafka.fed.test", "b1.fed.test", "b2.fed.test", "b3.fed.test")
SITE, OTHERS = "clinic-north", ("clinic-east", "clinic-west")
FINGERPRINT = re.compile(r"^ +((?:[A-Z2-7]{4}-){3}[A-Z2-7]{4})$", re.MULTILINE)
NAMES = {  # what stands in the documents -> what it is here; nothing else is changed
    "example.org": "fed.test",
    "10.0.0.": "127.0.0.",
    "-Xms1g -Xmx1g": "-Xms64m -Xmx256m",
    "pip install wardround": "wardround --version",  # it is installed
    "port = 9464": "port = 0",  # several services on one machine
}
SMALL = (ROOT / "tests" / "wardround" / "tasks" / "small.py").read_text()
TASK = SMALL.replace("        return np.ones(", "        time.sleep(0.5)\n        return np.ones(").replace(
    "from typing", "import time\nfrom typing"
)
PLAN = f"""\
[study]
id = "lung"
[members]
sites = {[SITE, *OTHERS]}
[task]
entry = "lung.task:task"
[aggregation]
preset = "fedavg"
cohort_min = 3
[evaluation]
every = 10
alone = false
[stop]
versions = 5000
"""


def until(holds: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s, f"{what}: not within {PATIENCE_S:g} s"
        time.sleep(0.1)


@dataclass(slots=True)
class Cluster:
    """The brokers' three machines, which are one here."""

    nodes: dict[int, House]
    running: dict[int, subprocess.Popen[bytes]]

    def begin(self, lines: list[str]) -> None:
        """The lines that are typed in the folder of each node; the last one starts it."""
        for number, house in self.nodes.items():
            (house.folder / "log4j2.properties").write_text(logging_properties())
            for line in lines[:-1]:
                house.type(line)
            self.running[number] = house.start(lines[-1])
        for number in self.nodes:
            self.wait(number)

    def kill(self, number: int) -> None:
        process = self.running.pop(number)
        process.kill()
        self.nodes[number].net.end(process)

    def again(self, number: int, line: str) -> None:
        log = self.nodes[number].folder / "broker.log"
        since = log.stat().st_size
        self.running[number] = self.nodes[number].start(line)
        until(lambda: has_started(log, since), f"node {number} again")

    def wait(self, number: int) -> None:
        until(lambda: has_started(self.nodes[number].folder / "broker.log", 0), f"node {number}")


@dataclass(slots=True)
class Clinic:
    """A hospital, and the afternoon of its IT."""

    house: House
    name: str
    way_out: list[tuple[str, str]]
    lines: list[str]

    @property
    def folder(self) -> Path:
        return self.house.folder / self.name

    def asks(self, office: House) -> str:
        """The request goes to the registrar by mail; the fingerprint is what the clinic reads out."""
        install, init, enrol, *_ = self.lines
        shutil.copy(office.folder / "invitation.txt", self.house.folder)
        self.house.type(install)
        asked = [
            ("the site's name", ""),
            ("institution", f"The {self.name}"),
            ("folder with the tables", "tables"),
            *self.way_out,
        ]
        self.house.type(init, asked)
        [fingerprint] = FINGERPRINT.findall(self.house.type(enrol))
        shutil.copy(self.folder / "request.txt", office.folder / f"{self.name}.txt")
        return str(fingerprint)

    def joins(self, office: House) -> None:
        shutil.copy(office.folder / f"{self.name}.answer.txt", self.house.folder)
        said = self.house.type(self.lines[3])
        assert f"{self.name} belongs" in said

    def runs(self, digest: str) -> None:
        """Approve the study in the settings, and start the service."""
        [block] = blocks(GUIDE, "toml")
        names = {
            "64 hexadecimal digits": digest,
            "/srv/wardround/lung": str(self.house.folder / "lung"),
            "/srv/wardround/tables": str(self.house.folder / "tables"),
        }
        settings = self.folder / "participant.toml"
        settings.write_text(exchanged(settings.read_text(), NAMES) + "\n" + exchanged(block, names))
        self.house.start(self.lines[4])

    def ledger(self) -> tuple[Update, ...]:
        try:
            return read_ledger(self.folder / "data").updates
        except LocalError:  # the service makes it just now
            return ()

    def counted(self) -> int:
        return sum(one.outcome == "counted" for one in self.ledger())


@dataclass(slots=True)
class Federation:
    """Everything of the test; `lines` are those of its document that were not typed yet."""

    net: Net
    programs: Path
    office: House
    lines: list[str]
    cluster: Cluster
    squid: Squid

    def next(self, begins: str) -> str:
        """The next line of the document, which begins so: nothing is left out, nothing comes in between."""
        line = self.lines.pop(0)
        assert line.startswith(begins), f"{begins}: the document goes on with {line}"
        return line

    def clinic(self, where: str, name: str) -> Clinic:
        folder = self.office.folder.parent / name
        for path in (folder, folder / "tables", folder / "lung"):
            path.mkdir()
        (folder / "lung" / "task.py").write_text(TASK)
        hosts = self.office.hosts if where == FED else None
        house = House(self.net, where, folder, self.programs, NAMES | {SITE: name}, hosts)
        way_out = [("the way out", "none")]
        if where == HOSP:
            password = folder / "proxy.password"
            password.touch(mode=0o600)
            password.write_text(f"{PASSWORD}\n")
            way_out = [("the way out", f"http://{self.squid.address}"), ("the user", USER)]
            way_out.append(("the file with its password", "proxy.password"))
        return Clinic(house, name, way_out, lines_of(GUIDE))


@pytest.fixture
def federation(net: Net, tmp_path: Path) -> Iterator[Federation]:
    """The registrar's keys, three brokers, the one port, a coordinator: by the document's words."""
    squid_at, _, _ = needed("squid", "haproxy", "openssl")
    folder, hosts = tmp_path / "federation", tmp_path / "hosts"
    folder.mkdir()
    hosts.write_text(f"127.0.0.1 localhost\n{FED_IP} {' '.join(HOSTS)}\n")
    programs = programs_in(tmp_path / "programs", ensure())
    office = House(net, FED, folder, programs, NAMES, hosts)
    nodes = {number: House(net, FED, folder / "brokers" / str(number), programs, NAMES, hosts) for number in NODES}
    squid = start_squid(net, squid_at, HOSTS)
    made = Federation(net, programs, office, lines_of(FEDERATION), Cluster(nodes, {}), squid)
    for begins in ("(umask", "export", "wardround registrar keys", "OF=", *["wardround registrar broker"] * 3):
        office.type(made.next(begins))
    made.cluster.begin([made.next(begins) for begins in ("kafka-storage", "export", "export", "kafka-server-start")])
    office.type(made.next("wardround registrar sni"))
    office.start(made.next("haproxy"), port=443)
    for begins in ("export", "wardround keys new", "wardround registrar approve", "wardround registrar acl check"):
        office.type(made.next(begins))
    [settings] = blocks(FEDERATION, "toml")
    (folder / "coordinator.toml").write_text(exchanged(settings, NAMES))
    for begins in ("wardround coordinator", "wardround registrar renew"):
        office.start(made.next(begins))
    office.type(made.next("wardround registrar invite"))
    yield made
    shutil.copytree(
        net.folder, tmp_path / "said", ignore=shutil.ignore_patterns("squid")
    )  # it is gone with the network
    for number in list(made.cluster.running):  # at once: in order they would wait for each other
        made.cluster.kill(number)


def test_an_afternoon_by_the_guides_words_to_updates_that_outlast_a_cut_and_a_lost_broker(
    federation: Federation,
) -> None:
    noted = federation.office.folder / "seen.txt"
    federation.net.start(FED, [sys.executable, "-m", "tests.network.seen", "f0", str(noted)])
    north = federation.clinic(HOSP, SITE)
    clinics = [north, *(federation.clinic(FED, name) for name in OTHERS)]
    approve = federation.next("wardround registrar approve")
    for clinic in clinics:
        join(federation.office, approve, clinic)
    digest = begin_study(federation)
    for clinic in clinics:
        clinic.runs(digest)
    until(lambda: north.counted() > 0, "the first counted update")
    assert "counted in version 1" in north.house.type(north.lines[5])
    assert len(north.house.typed) <= TYPED_MAX, north.house.typed
    assert north.house.typed == [exchanged(line, NAMES) for line in lines_of(GUIDE)]

    federation.net.cut()
    time.sleep(CUT_S)
    federation.net.mend()
    more(north, "after the cut")
    federation.cluster.kill(2)
    more(north, "with two brokers of three")
    federation.cluster.again(2, "kafka-server-start.sh server.properties")
    more(north, "with three again")
    nothing_is_lost(north)
    only_through_the_proxy(federation, noted)

    federation.office.type(federation.next("wardround registrar revoke"))
    federation.office.type(federation.next("wardround registrar acl check"))
    assert federation.lines == []


def join(office: House, approve: str, clinic: Clinic) -> None:
    """What both sides do, the mails and the telephone call between."""
    heard = clinic.asks(office)
    shown = office.type(exchanged(approve, {SITE: clinic.name}), [("[y/N]", "y")])
    assert heard in shown.partition("[y/N]")[0]
    clinic.joins(office)


def begin_study(federation: Federation) -> str:
    """Sign and publish the plan; its digest."""
    office = federation.office
    (office.folder / "lung").mkdir()
    (office.folder / "lung" / "task.py").write_text(TASK)
    (office.folder / "plan.toml").write_text(PLAN)
    for begins in ("wardround plan sign", "wardround study create", "wardround registrar acl check"):
        office.type(federation.next(begins))
    public = (office.folder / "keys" / "registrar.pub").read_bytes()
    return read_signed_plan(office.folder / "lung.plan", public).digest.hex()


def more(clinic: Clinic, when: str) -> None:
    """Three more updates are counted: one may have been on its way before."""
    before = clinic.counted()
    until(lambda: clinic.counted() >= before + 3, f"updates of {clinic.name} {when}")


def nothing_is_lost(clinic: Clinic) -> None:
    """Each update that was finished was counted once, in a version of its own; the last may still be on its way."""
    updates = sorted(clinic.ledger(), key=lambda one: one.sequence)
    first = updates[0].sequence
    assert [one.sequence for one in updates] == list(range(first, first + len(updates)))
    counted = [one for one in updates if one.outcome == "counted"]
    assert counted == updates[: len(counted)]
    assert [one.version for one in counted] == list(range(1, len(counted) + 1))
    assert {one.outcome for one in updates[len(counted) :]} <= {"waiting"}
    assert len(updates) - len(counted) <= 1


def only_through_the_proxy(federation: Federation, noted: Path) -> None:
    lines = [line.split() for line in federation.squid.log().splitlines()]
    asked = [words for words in lines if words[5] != "-"]  # what was closed before it asked for anything went nowhere
    assert {(words[5], words[6]) for words in asked} <= {("CONNECT", f"{host}:443") for host in HOSTS}
    assert {words[7] for words in asked} == {USER}
    for target in (FED_IP, "b1.fed.test"):
        code = f"import socket; socket.create_connection(({target!r}, 443), 3)"
        direct = subprocess.run(
            federation.net.within(HOSP, sys.executable, "-c", code), cwd=ROOT, capture_output=True, timeout=30
        )
        assert direct.returncode != 0
    looking, *seen = noted.read_text().splitlines()
    assert looking == "looking"
    assert set(seen) == {f"{PROX_OUT_IP} {FED_IP}:443"}, "and nothing from the hospital's host itself"
    assert not any(line.startswith(HOSP_IP) for line in seen)
