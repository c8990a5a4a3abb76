"""A hospital joins through squid and HAProxy, by the guides' own commands, to brokers it can reach in no other way."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ops.kafka.config import command, format_command, logging_properties
from ops.kafka.install import ensure
from ops.kafka.process import environment, has_started
from registry.plans.authoring import read_signed_plan
from tests.broker.test_linear_regression import authored
from tests.network.guides import commands_of, words
from tests.network.net import FED, FED_IP, HOSP, ROOT, Net
from tests.network.servers import PASSWORD, USER, Squid, start_squid
from tests.network.tools import needed

pytestmark = [pytest.mark.broker, pytest.mark.timeout(420)]
SITE, STUDY = "site-010", "linear-regression"  # the task has a site of this name
NODES = {1: "127.0.0.1", 2: "127.0.0.2", 3: "127.0.0.3"}
HOSTS = ["kafka.fed.test", *(f"b{number}.fed.test" for number in NODES)]
CLUSTER = "d2FyZHJvdW5kLWFmdGVybm"
VERSIONS, PATIENCE_S, TYPED_MAX = 400, 150.0, 6
NAMES = {  # what stands in the guides -> what it is here
    "kafka.example.org": "kafka.fed.test",
    **{f"b{number}.example.org": f"b{number}.fed.test" for number in NODES},
    **{f"10.0.0.{number}": address for number, address in NODES.items()},
    "clinic-north": SITE,
    "--proxy-user wardround": f"--proxy-user {USER}",
}


@dataclass(slots=True)
class House:
    """One side's machine: its folder, and who types there."""

    net: Net
    where: str
    folder: Path
    typed: list[str] = field(default_factory=list)

    def line(self, given: list[str]) -> list[str]:
        assert given[0] == "wardround"
        path = f"PYTHONPATH={ROOT}"
        inside = ["env", "-C", str(self.folder), path, sys.executable, "-m", *given]
        return self.net.within(self.where, *inside)

    def type(self, line: str, names: dict[str, str] | None = None, *, more: list[str] | None = None) -> str:
        """Do one line of a guide; what it says. Raises AssertionError with its error where it fails."""
        self.typed.append(line)
        given = [*words(line, NAMES | (names or {})), *(more or [])]
        done = subprocess.run(self.line(given), capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{given}: {done.stdout}{done.stderr}"
        return done.stdout

    def run(self, line: str, log: str) -> subprocess.Popen[bytes]:
        """Start a service by a line of a guide."""
        self.typed.append(line)
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                self.line(words(line, NAMES)), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )


@dataclass(slots=True)
class Brokers:
    """Three nodes on addresses of the federation's own machine."""

    net: Net
    folder: Path
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def begin(self) -> None:
        kafka = ensure()
        for number in NODES:
            folder = self.folder / str(number)
            (folder / "log4j2.properties").write_text(logging_properties())
            line = format_command(kafka.java, kafka.jars, folder, CLUSTER)
            subprocess.run(line, cwd=folder, check=True, capture_output=True, timeout=120, env=environment())
        for number in NODES:
            self.start(number)

    def start(self, number: int) -> None:
        folder, kafka = self.folder / str(number), ensure()
        line = self.net.within(FED, *command(kafka.java, kafka.jars, folder))
        with (folder / "output.log").open("ab") as output:
            self.running[number] = subprocess.Popen(line, cwd=folder, stdout=output, stderr=output, env=environment())

    def wait(self) -> None:
        until(
            lambda: all(has_started(self.folder / str(number) / "broker.log", 0) for number in NODES), "three brokers"
        )

    def end(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()


def until(holds: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s, f"{what} did not come"
        time.sleep(0.2)


@pytest.fixture
def names_known(net: Net) -> Iterator[None]:
    """What the federation's machine knows by name; the hospital's knows nothing."""
    folders = []
    for where, text in ((FED, f"{FED_IP} {' '.join(HOSTS)}\n"), (HOSP, "")):
        folder = Path("/etc/netns") / net.within(where)[3]
        folder.mkdir(parents=True)
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{text}")
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        folders.append(folder)
    yield
    for folder in folders:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_from_an_empty_folder_to_counted_updates_by_the_guides_words(
    net: Net, names_known: None, tmp_path: Path
) -> None:
    squid_at, haproxy, _ = needed("squid", "haproxy", "openssl")
    fed, hosp = House(net, FED, tmp_path / "fed"), House(net, HOSP, tmp_path / "hosp")
    for house in (fed, hosp):
        house.folder.mkdir()
    guide = iter(commands_of("federation.md"))
    fed.type(next(guide))
    for _ in NODES:
        fed.type(next(guide))
    brokers, services = Brokers(net, fed.folder / "brokers"), list[subprocess.Popen[bytes]]()
    try:
        brokers.begin()
        fed.type(next(guide), more=["--bind", FED_IP])
        net.start(FED, [haproxy, "-db", "-f", str(fed.folder / "haproxy.cfg")], port=443)
        squid = start_squid(net, squid_at, HOSTS)
        brokers.wait()
        for _ in range(3):
            fed.type(next(guide))
        coordinator = settings_of_the_coordinator(fed)
        services.append(fed.run(next(guide), "coordinator.log"))
        assert coordinator.exists()
        fed.type(next(guide))
        services += join(fed, hosp, next(guide), squid)
        ledger = ledger_of(hosp, commands_of("site-in-an-afternoon.md")[4])
        until(lambda: counted(hosp, ledger) > 0, "the first counted update")
        assert len(hosp.typed) <= TYPED_MAX, hosp.typed
        a_cut_and_a_lost_broker_lose_nothing(net, hosp, ledger, brokers)
        check_the_way(net, squid)
        assert (fed.folder / "coordinator.log").read_text().count('"event": "version announced"') > 1
    finally:
        for process in services:
            process.terminate()
        for process in services:
            process.wait(20)
        brokers.end()


def join(fed: House, hosp: House, approve: str, squid: Squid) -> list[subprocess.Popen[bytes]]:
    """What the hospital does, and what the registrar does between."""
    (hosp.folder / "invitation.txt").write_bytes((fed.folder / "invitation.txt").read_bytes())
    password = hosp.folder / "proxy.password"
    password.touch(mode=0o600)
    password.write_text(PASSWORD)
    init, enrol, answer, run, _ = commands_of("site-in-an-afternoon.md")
    hosp.type(init, {"http://proxy.clinic.example:3128": f"http://{squid.address}"})
    said = hosp.type(enrol)
    [fingerprint] = re.findall(r"^ +((?:[A-Z2-7]{4}-){3}[A-Z2-7]{4})$", said, re.MULTILINE)
    (fed.folder / f"{SITE}.txt").write_bytes((hosp.folder / SITE / "request.txt").read_bytes())
    fed.type(approve, more=["--fingerprint", fingerprint])
    (hosp.folder / f"{SITE}.answer.txt").write_bytes((fed.folder / f"{SITE}.answer.txt").read_bytes())
    hosp.type(answer)
    digest = begin_study(fed)
    settings = hosp.folder / SITE / "participant.toml"
    text = settings.read_text().replace("cohort_min = 3", "cohort_min = 1")
    settings.write_text(f'{text}\n[[studies]]\nplan = "{digest}"\n')
    return [hosp.run(run, "participant.log")]


def begin_study(fed: House) -> str:
    """A study of one site with many short versions; the digest of its plan."""
    at = "--broker kafka.example.org:443"
    authored("plain", fed.folder, sites=[SITE], versions=VERSIONS)  # its plan.toml is what counts here
    fed.type("wardround plan sign plan.toml")
    [signed] = fed.folder.glob("*.plan")
    fed.type(f"wardround study create {signed.name} {at}")
    public = (fed.folder / "keys" / "registrar.pub").read_bytes()
    return read_signed_plan(signed, public).digest.hex()


def settings_of_the_coordinator(fed: House) -> Path:
    path = fed.folder / "coordinator.toml"
    text = (ROOT / "coordinator" / "coordinator.sample.toml").read_text()
    path.write_text(text.replace("127.0.0.1:9092", "kafka.fed.test:443").replace("port = 9464", "port = 0"))
    return path


def ledger_of(hosp: House, line: str) -> list[str]:
    hosp.typed.append(line)
    return [*words(line, NAMES), "--json"]


def counted(hosp: House, line: list[str]) -> int:
    if not (hosp.folder / SITE / "data" / "site.db").exists():
        return 0  # the service makes it when it first runs
    done = subprocess.run(hosp.line(line), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return sum(one["outcome"] == "counted" for one in json.loads(done.stdout)["updates"])


def a_cut_and_a_lost_broker_lose_nothing(net: Net, hosp: House, ledger: list[str], brokers: Brokers) -> None:
    before = counted(hosp, ledger)
    net.cut()
    time.sleep(10)
    net.mend()
    until(lambda: counted(hosp, ledger) > before, "an update after the cut")
    before = counted(hosp, ledger)
    brokers.running[2].kill()
    brokers.running[2].wait()
    until(lambda: counted(hosp, ledger) > before, "an update with two brokers")
    brokers.start(2)
    decided = subprocess.run(hosp.line(ledger), capture_output=True, text=True, timeout=60).stdout
    outcomes = {one["outcome"] for one in json.loads(decided)["updates"]}
    assert outcomes <= {"counted", "waiting"}, outcomes


def check_the_way(net: Net, squid: Squid) -> None:
    """Nothing but CONNECT to port 443 went out, and directly there is no way."""
    lines = squid.log().splitlines()
    assert lines
    asked = {line.split()[6] for line in lines if "CONNECT" in line}
    assert asked <= {f"{host}:443" for host in HOSTS}
    assert len(asked) > 1, "each broker is dialled by its own name"
    code = f"import socket; socket.create_connection(('{FED_IP}', 443), 3)"
    done = subprocess.run(net.within(HOSP, sys.executable, "-c", code), capture_output=True, timeout=30)
    assert done.returncode != 0
