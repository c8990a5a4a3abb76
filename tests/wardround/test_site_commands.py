"""What a hospital and a registrar type before any broker is there: mistakes are told before anything is made."""

from pathlib import Path

import pytest

from wardround.cli import main

ONE = ["--of", "1@10.0.0.1=b1.example.org:443"]


@pytest.fixture
def invitation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.chdir(tmp_path)
    assert main(["registrar", "keys"]) == 0
    assert main(["registrar", "invite", "--broker", "kafka.example.org:443"]) == 0
    capsys.readouterr()
    return ["site", "init", "clinic", "--invitation", "invitation.txt"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--name", "Clinic North"], "clinic-north"),
        (["--data", "nowhere"], "the data folder nowhere is not there"),
        (["--proxy", "proxy.example:3128"], "names no HTTP proxy"),
        (["--proxy", "http://p.example:3128", "--proxy-user", "me"], "has no password"),
        (
            ["--proxy", "http://p.example:3128", "--proxy-user", "me", "--proxy-password-file", "no"],
            "cannot be read",
        ),
    ],
)
def test_a_mistake_makes_no_folder(
    invitation: list[str], more: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*invitation, *more]) == 2
    assert told in capsys.readouterr().err
    assert not Path("clinic").exists()


def test_a_folder_in_use_is_told_before_the_invitation_is_read(
    invitation: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(invitation) == 0
    assert main(["site", "init", "clinic", "--invitation", "gone.txt"]) == 2
    assert "is a site's folder already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["broker", "b1"], "the broker has no name"),
        (["broker", "b1", *ONE], "--node does not say which is this one"),
        (["broker", "b1", "--host", "b1.example.org", "--node", "2", *ONE], "--node 2 is none of those"),
        (["sni", "b1.example.org"], "names no broker"),
        (["sni", "b1.example.org=10.0.0.1:1", "b1.example.org=10.0.0.2:1"], "is named twice"),
        (["sni", "b1.example.org=10.0.0.1:1", "--out", "none/haproxy.cfg"], "none is no folder"),
    ],
)
def test_a_mistake_about_brokers_writes_nothing(
    invitation: list[str], words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["registrar", *words]) == 2
    assert told in capsys.readouterr().err
    assert not Path("b1").exists()


def test_a_nodes_certificate_names_it_for_clients_and_for_the_other_nodes(
    invitation: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["registrar", "broker", "b1", "--host", "kafka.example.org", "--node", "1", *ONE]) == 0
    assert "kafka.example.org, b1.example.org, 10.0.0.1" in capsys.readouterr().out
    assert sorted(path.name for path in Path("b1").iterdir()) == [
        "cluster.id", "compiler.json", "keystore.pem", "server.properties", "truststore.pem",
    ]  # fmt: skip
