"""The demo's federation before anything runs: keys, and one settings file a service, in the run's folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.files import write_whole
from protocol.signing import SigningKey
from registry.keyfiles import MemberCard, make_member_keys, make_registrar_keys, tls_folder
from registry.pki.authority import Authority, utc_now
from registry.pki.issuing import certify, install_beside, registrar_tls
from schemas.plan import Plan
from schemas.records import Role
from transport.settings import TLS, KafkaSettings

COORDINATOR = "coordinator"
PRESENCE_PERIOD_S = 0.75  # away after two missed ones: a hospital's link fails for minutes, a demo's for seconds
PRESENCE_INTERVAL_S = 0.5
_SITES_A_SECOND = 20  # that tell of themselves: with many sites each does so less often


def presence_period_s(sites: int) -> float:
    """How often each of `sites` tells of itself, so that one machine is not kept busy by it."""
    return max(PRESENCE_PERIOD_S, sites / _SITES_A_SECOND)


@dataclass(frozen=True, slots=True)
class Stage:
    """Paths below the run's folder, and the keys made there."""

    folder: Path
    registrar: SigningKey
    cards: Mapping[str, MemberCard]
    authority: Authority

    def reach(self, bootstrap: str, client_id: str, *, fetch_wait_ms: int = 500) -> KafkaSettings:
        """How the registrar reaches the broker."""
        tls = tls_folder(self.keys / "registrar.sign")
        return KafkaSettings(bootstrap, client_id, tls=tls, fetch_wait_ms=fetch_wait_ms)

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    def data_folder(self, name: str) -> Path:
        """Where a service keeps what it has to remember."""
        return self.folder / name

    @property
    def socket(self) -> Path:
        return self.folder / "fork.sock"


def make_keys(folder: Path, sites: Sequence[str], authority: Authority | None = None) -> Stage:
    """Keys and certificates of registrar, coordinator and sites; `authority` None: one of its own."""
    keys, now = folder / "keys", utc_now()
    registrar = make_registrar_keys(keys)
    authority = authority or Authority.new("demo", now)
    registrar_tls(authority, keys / "registrar.sign", now)
    cards = {name: make_member_keys(name, keys) for name in (COORDINATOR, *sites)}
    for name, card in cards.items():
        role = Role.COORDINATOR if name == COORDINATOR else Role.SITE
        install_beside(keys / f"{name}.pub", certify(authority, card, [role], now))
    return Stage(folder, registrar, cards, authority)


def coordinator_settings(stage: Stage, bootstrap: str, *, security: str = TLS) -> Path:
    """Write the coordinator's settings file; returns its path."""
    return _write(stage, COORDINATOR, bootstrap, "", security=security)


def participant_settings(
    stage: Stage,
    site: str,
    bootstrap: str,
    plans: Sequence[Plan],
    data: Path | None,
    *,
    period_s: float | None = PRESENCE_PERIOD_S,
    task_folder: Path | None = None,
    security: str = TLS,
) -> Path:
    """Write a participant's settings file, with every plan approved; returns its path.

    period_s      how often the site tells of itself, changes of state at once, for people to watch; None: the default
    task_folder   where the task lies, when it is not installed
    """
    often = f"presence_period_s = {period_s}\npresence_interval_min_s = {PRESENCE_INTERVAL_S}\n"
    first = often if period_s is not None else ""
    rest = f"[trainer]\nfork_server = {_text(stage.socket)}\n"
    for plan in plans:
        rest += f"[[studies]]\nplan = {_text(plan.digest.hex())}\ntask = {_text(plan.task.entry)}\n"
        rest += f"task_folder = {_text(task_folder)}\n" if task_folder else ""
        rest += f"data = {_text(data.resolve())}\n" if data else ""
    return _write(stage, site, bootstrap, first, rest, security=security)


def _write(stage: Stage, name: str, bootstrap: str, first: str, rest: str = "", *, security: str) -> Path:
    keys = stage.keys
    text = (
        f"name = {_text(name)}\ndata_dir = {_text(stage.data_folder(name))}\n{first}"
        f"[kafka]\nbootstrap = {_text(bootstrap)}\ntls = {_text(tls_folder(keys / f'{name}.sign'))}\n"
        f"security = {_text(security)}\n"
        f"[keys]\nsigning = {_text(keys / f'{name}.sign')}\nopening = {_text(keys / f'{name}.open')}\n"
        f"registrar = {_text(keys / 'registrar.pub')}\n"
        f"[metrics]\nport = 0\n{rest}"
    )
    path = stage.folder / f"{name}.toml"
    write_whole(path, text.encode())
    return path


def _text(value: object) -> str:
    """A TOML basic string; JSON's escapes are TOML's."""
    return json.dumps(str(value))
