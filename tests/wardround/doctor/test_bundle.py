"""A bundle holds what helps, and nothing that must not leave the house."""

import base64
import json
import tarfile
from pathlib import Path

import pytest

from schemas.errors import LocalError
from tests.wardround.doctor.cases import NAME, case_of, site
from wardround.doctor.bundle import write_bundle
from wardround.doctor.case import Case
from wardround.doctor.finding import Finding, State
from wardround.doctor.redaction import OUT, Redaction
from wardround.doctor.run import Round, first_checks

PASSWORD, USER, PROXY, VALUE = "tulip-Garden-77", "svc-ml-proxy", "proxy.clinic.example", "83.4271"


@pytest.fixture
def full(tmp_path: Path) -> Case:
    """A site with a proxy, a study, a state and logs, each of which holds secrets."""
    patients = tmp_path / "patients-of-the-north"
    patients.mkdir()
    (patients / "table.csv").write_text(f"age,creatinine\n71,{VALUE}\n")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "password").chmod(0o600)
    proxy = f'proxy = "http://{PROXY}:3128"\nproxy_user = "{USER}"\nproxy_password_file = "password"'
    studies = f'[[studies]]\nplan = "{"ab" * 32}"\ndata = "{patients}"\n[studies.options]\nfile = "wing-seven.csv"\n'
    path = site(tmp_path, kafka=proxy, more=studies)
    data = tmp_path / "data"
    data.mkdir()
    (data / "task.log").write_text(f"row: 71,{VALUE}\n")
    (data / "task.log.1").write_text(f"row: 71,{VALUE}\n")
    state = {"study": "lung", "state": "held", "held": f"bad value {VALUE}", "undecided": 2, "unsent": 1}
    (data / "state.json").write_text(json.dumps({"pid": 7, "serial": 1, "left": False, "studies": [state]}))
    sign = (tmp_path / f"{NAME}.sign").read_bytes()
    told = [
        {"event": "broker away, trying again", "reason": f"no way to {PROXY}: {USER}:{PASSWORD}"},
        {"event": "study held", "study": "lung", "reason": f"creatinine {VALUE} in {patients}/table.csv"},
        {"event": "odd", "said": [sign.hex(), base64.b64encode(sign).decode()]},
    ]
    lines = [*map(json.dumps, told), f"a line of somebody else: {VALUE}"]
    (data / "participant.log").write_text("\n".join(lines))
    environ = {"HTTPS_PROXY": f"http://{USER}:{PASSWORD}@{PROXY}:3128"}
    return case_of(path, environ=environ)


async def bundled(case: Case, path: Path) -> dict[str, bytes]:
    round_ = Round(case, lambda check: None, lambda finding: None)
    await round_.go(first_checks(case.who))
    seen = f"lung: value {VALUE} of 812 patients"
    write_bundle(path, case, [*round_.findings, Finding("task", State.WRONG, "tried", seen)])
    with tarfile.open(path) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive.getmembers()}  # type: ignore[union-attr]  # all are files


async def test_nothing_that_is_secret_is_in_it(full: Case, tmp_path: Path) -> None:
    whole = b"\n".join((await bundled(full, tmp_path / "b.tar.gz")).values())
    for kind in ("sign", "open"):
        key = (tmp_path / f"{NAME}.{kind}").read_bytes()
        assert key not in whole
        assert key.hex().encode() not in whole.lower()
        assert base64.b64encode(key).rstrip(b"=") not in whole
    pem = (tmp_path / f"{NAME}.tls" / "key.pem").read_bytes().splitlines()
    assert [line for line in pem[1:-1] if len(line) > 32 and line in whole] == []
    for secret in (PASSWORD, USER, PROXY, VALUE, "patients-of-the-north", "wing-seven", "812 patients"):
        assert secret.encode() not in whole, secret
    assert base64.b64encode(f"{USER}:{PASSWORD}".encode()) not in whole


async def test_what_helps_is_in_it(full: Case, tmp_path: Path) -> None:
    files = await bundled(full, tmp_path / "b.tar.gz")
    names = {name.removeprefix("wardround-doctor/") for name in files}
    assert names == {"findings.json", "versions.json", "settings.json", "state.json", "logs/participant.log"}
    findings = json.loads(files["wardround-doctor/findings.json"])["findings"]
    assert {"name": "keys", "state": "ok"}.items() <= next(one for one in findings if one["name"] == "keys").items()
    state = json.loads(files["wardround-doctor/state.json"])
    assert (state["studies"][0]["undecided"], state["studies"][0]["held"]) == (2, OUT)
    settings = json.loads(files["wardround-doctor/settings.json"])
    assert settings["kafka"]["bootstrap"] == "127.0.0.1:9"
    assert b"broker away" in files["wardround-doctor/logs/participant.log"]


async def test_it_is_closed_to_others_and_overwrites_nothing(full: Case, tmp_path: Path) -> None:
    await bundled(full, tmp_path / "b.tar.gz")
    assert (tmp_path / "b.tar.gz").stat().st_mode & 0o777 == 0o600
    with pytest.raises(LocalError, match="exists already"):
        write_bundle(tmp_path / "b.tar.gz", full, [])


def test_settings_that_cannot_be_read_make_a_bundle_all_the_same(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b.tar.gz", case_of(tmp_path / "none.toml"), [])
    assert (tmp_path / "b.tar.gz").exists()


def test_a_redaction_shows_none_of_what_it_looks_for() -> None:
    redacted = Redaction(["hunter-22", "x"])
    assert "hunter" not in repr(redacted)
    assert redacted("x hunter-22 http://me:word@host/") == f"x {OUT} http://{OUT}@host/"
