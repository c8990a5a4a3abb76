"""What lies on this machine: settings, keys, certificate, clock, data folder, disk, memory."""

import platform
import ssl
import tempfile
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from coordinator.settings import Settings as CoordinatorSettings
from participant.settings import Settings as SiteSettings
from participant.shell.control import is_running
from protocol.key_files import read_registrar_key
from protocol.rings import OpenRing, SignRing
from protocol.signing import SigningKey
from protocol.tls.files import AUTHORITY, HOW, KEY, certificate_in, read_private
from protocol.tls.renewal import WARNED_DAYS
from protocol.tls.requests import subject_of
from runtime.disk import in_words
from runtime.settings import load_settings, strange_variables
from runtime.units import human_bytes
from schemas.errors import LocalError
from transport.dialing import choice_of
from transport.settings import PLAINTEXT, KafkaSettings
from wardround.doctor.case import Case, Who
from wardround.doctor.finding import KAFKA, MACHINE, NOBODY, REGISTRAR, Check, Said, Skip, ok, warning, wrong
from wardround.doctor.machine import SYNC_BYTES, existing

FREE_LEAST_BYTES, FREE_BYTES = 1024**3, 5 * 1024**3
SYNC_S = 2.0  # a receipt, an update, a decision: each waits for the disk once
MEMORY_LEAST_BYTES, MEMORY_BYTES = 512 * 1024**2, 1024**3  # a service of 200 MB, a trainer of 300 MB with its libraries
COORDINATOR_LEAST_BYTES = 256 * 1024**2


def software(case: Case) -> Said:
    try:
        own = version("wardround")
    except PackageNotFoundError:
        own = "from a checkout"
    return ok(f"wardround {own}, Python {platform.python_version()}, {platform.system()} {platform.release()}")


def settings_file(case: Case) -> Said:
    if case.who is Who.FEDERATION:
        return ok(f"the registrar's, at {case.reached.bootstrap}")
    assert case.config is not None
    cls: type[SiteSettings | CoordinatorSettings] = SiteSettings if case.who is Who.SITE else CoordinatorSettings
    settings = load_settings(cls, case.config, case.machine.environ)
    kafka = settings.kafka
    case.kafka = KafkaSettings(
        kafka.bootstrap, settings.name, security=kafka.security, tls=kafka.tls, backoff_max_s=1.0, fetch_wait_ms=100
    )
    case.settings = settings
    try:
        case.choice = choice_of(kafka.proxy, kafka.proxy_user, kafka.proxy_password_file)
    except LocalError as error:
        case.unproxied = f"{error}; {error.hint}" if error.hint else str(error)
    if strange := strange_variables(cls, case.machine.environ):
        near = [f"{name} (is {other} meant?)" if other else name for name, other in strange]
        return warning(f"{case.config} is read; no setting is called {', '.join(near)} in the environment")
    return ok(f"{case.config}: {settings.name}")


def encryption(case: Case) -> Said:
    if case.reached.security == PLAINTEXT:
        return warning("connections go without TLS: whoever is on the way reads and changes what is sent")
    return ok("TLS with certificates both ways")


def keys(case: Case) -> Said:
    if case.who is Who.FEDERATION:
        assert case.registrar_sign is not None
        case.registrar = SigningKey.load(case.registrar_sign, case.passphrase).public
        return ok(f"{case.registrar_sign} is there and closed to others")
    assert case.settings is not None
    named = case.settings.keys
    case.signing, case.opening = SignRing.load(named.signing).key_ids, OpenRing.load(named.opening).key_ids
    case.registrar = read_registrar_key(named.registrar)
    return ok(f"{named.signing.name}, {named.opening.name} and {named.registrar.name} are there and closed to others")


def certificate(case: Case) -> Said:
    folder = _tls(case)
    key, leaf = read_private(folder / KEY), certificate_in(folder)
    if leaf.public_key() != key.public_key():
        return wrong(f"cert.pem and key.pem of {folder} do not belong together")
    if leaf.subject.rfc4514_string() != subject_of(case.name).rfc4514_string():
        return wrong(f"the certificate is for {leaf.subject.rfc4514_string()}, and this is {case.name}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(folder / AUTHORITY)
    except OSError as error:
        return wrong(f"{folder / AUTHORITY} holds no root certificate: {error.strerror or error}")
    return ok(f"{folder}: key and certificate belong together, for {case.name}")


def certificate_dates(case: Case) -> Said:
    until = certificate_in(_tls(case)).not_valid_after_utc
    left, (early, late, last) = until - case.machine.now(), sorted(WARNED_DAYS, reverse=True)
    said = f"valid until {until:%Y-%m-%d %H:%M} UTC"
    if left <= timedelta(0):
        return wrong(f"the certificate has run out on {until:%Y-%m-%d %H:%M} UTC")
    if left <= timedelta(days=last):
        return wrong(f"{said}: less than {last} day is left")
    for days in (late, early):
        if left <= timedelta(days=days):
            return warning(f"{said}: less than {days} days are left, and it was not renewed")
    return ok(said)


def clock(case: Case) -> Said:
    if case.reached.security != PLAINTEXT and case.reached.tls is not None:
        try:
            begins = certificate_in(case.reached.tls).not_valid_before_utc
        except LocalError:
            begins = case.machine.now()  # `certificate` says what is wrong with it
        if case.machine.now() < begins:
            return wrong(f"it is {case.machine.now():%Y-%m-%d %H:%M} UTC here, before the certificate was made")
    known = case.machine.synchronised()
    if known is False:
        return warning("the kernel says that its clock is not synchronised")
    return ok("the kernel's clock is synchronised" if known else "the kernel does not say; it is not known to be wrong")


def data_folder(case: Case) -> Said:
    folder, there = case.data_dir, existing(case.data_dir)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return wrong(f"{folder} cannot be written: {in_words(error, there)}")
    if there != folder:
        return ok(f"{folder} is not there yet: the service makes it")
    if is_running(folder):
        return ok(f"{folder} can be written, and the service that runs here uses it: that is as it should be")
    return ok(f"{folder} can be written, no service uses it now")


def disk_free(case: Case) -> Said:
    free = case.machine.free_bytes(case.data_dir)
    said = f"{human_bytes(free)} are free where {case.data_dir} lies"
    if free < FREE_LEAST_BYTES:
        return wrong(f"{said}; {human_bytes(FREE_LEAST_BYTES)} is the least")
    return warning(f"{said}; models and updates soon take more") if free < FREE_BYTES else ok(said)


def disk_speed(case: Case) -> Said:
    took_s = case.machine.sync_s(case.data_dir)
    said = f"{human_bytes(SYNC_BYTES)} were on the disk for good after {took_s:.2f} s"
    return warning(f"{said}; more than {SYNC_S:g} s is slow") if took_s > SYNC_S else ok(said)


def memory(case: Case) -> Said:
    free = case.machine.memory_bytes()
    if free is None:
        return ok("the system does not say")
    least = MEMORY_LEAST_BYTES if case.who is Who.SITE else COORDINATOR_LEAST_BYTES
    said = f"{human_bytes(free)} can be taken"
    if free < least:
        return wrong(f"{said}, {human_bytes(least)} are needed")
    return warning(f"{said}; {human_bytes(MEMORY_BYTES)} are comfortable") if free < MEMORY_BYTES else ok(said)


def _tls(case: Case) -> Path:
    if case.reached.security == PLAINTEXT:
        raise Skip("not needed: `encryption` is left out on purpose")
    if case.reached.tls is None:
        raise LocalError("no keys for TLS are named", hint=HOW)
    return case.reached.tls


_RENEW = (
    "a service renews it by itself as long as `wardround registrar renew` runs; by hand: `wardround site enrol`, send "
    "the request to the registrar, `wardround site join` the answer; any command of the registrar renews its own"
)

MEMBER = (
    Check(
        "data-folder",
        "a file is written into the data folder",
        "The data folder cannot be written.",
        "give the folder to the user that runs the service (chown), or name another data_dir",
        MACHINE,
        data_folder,
        ("settings-file",),
    ),
    Check(
        "disk-free",
        "free space of the disk",
        "The disk is nearly full. A full disk stops training; nothing is lost by it.",
        "free space on the disk on which the data folder lies",
        MACHINE,
        disk_free,
        ("settings-file",),
    ),
    Check(
        "disk-speed",
        "a few MB are written and flushed",
        "The disk is slow. Everything works, and waits.",
        "put data_dir on a local disk, not on a network share",
        MACHINE,
        disk_speed,
        ("data-folder",),
    ),
    Check(
        "memory",
        "memory that can be taken",
        "There is too little memory for the service and what it starts.",
        "give the machine or the container more memory, or end what else runs there",
        MACHINE,
        memory,
        ("settings-file",),
    ),
)
ALL = (
    Check(
        "software",
        "this installation",
        "The installation does not say what it is.",
        "install it anew",
        NOBODY,
        software,
    ),
    Check(
        "settings-file",
        "the settings are read",
        "The settings cannot be read, or hold a key that is unknown.",
        "mend the file as it says; the annotated sample shows every key",
        NOBODY,
        settings_file,
    ),
    Check(
        "encryption",
        "whether connections are encrypted",
        "Connections go without TLS, as the settings ask for.",
        'leave security = "plaintext-on-purpose" out, unless this is a test on one machine',
        KAFKA,
        encryption,
        ("settings-file",),
    ),
    Check(
        "keys",
        "the key files are read",
        "A key is missing, is open to others, or is another kind of key.",
        "mend the file as it says; keys are made by `wardround keys new` or `wardround site init`",
        NOBODY,
        keys,
        ("settings-file",),
    ),
    Check(
        "certificate",
        "key and certificate for TLS are read",
        "The certificate for TLS is missing, is not for this key, or is not for this member.",
        "run `wardround site enrol`, send the request to the registrar, and `wardround site join` the answer",
        REGISTRAR,
        certificate,
        ("settings-file",),
    ),
    Check(
        "clock",
        "the clock of this machine",
        "The clock of this machine is wrong, or nobody keeps it right.",
        "have the time synchronised (chrony, systemd-timesyncd), then look at `timedatectl`",
        MACHINE,
        clock,
        ("settings-file",),
    ),
    Check(
        "certificate-dates",
        "how long the certificate is valid",
        "The certificate has run out, or soon will.",
        _RENEW,
        REGISTRAR,
        certificate_dates,
        ("certificate", "clock"),
    ),
)
