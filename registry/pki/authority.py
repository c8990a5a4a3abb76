"""The federation's own certificate authority: one key, certificates by profile, and what it refuses to sign.

Knows:    the subject is written here; of a request only the public key counts, once its owner has shown to hold it.
Never:    issues for a name that no member can have, signs a request that is not signed by its own key, or makes an
          authority of somebody else.
Source:   RFC 5280; RFC 2986 (certificate requests).
"""

import ipaddress
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from protocol.files import write_whole
from protocol.tls.files import pem, read_private, roots_of, write_private
from protocol.tls.requests import ORGANISATION, new_tls_key, subject_of
from registry.pki.profiles import Profile
from schemas.codec import ID
from schemas.errors import LocalError
from schemas.records.registrar import BROKER_NAME, REGISTRAR_NAME, RENEWER_NAME

CA_YEARS = 10
SKEW = timedelta(hours=1)  # a member's clock may be behind


class Authority:
    """`certificate` is the root it signs under; `roots` are all that members should believe, it first.

    `between` goes along in every chain: the certificate that the former root gave this one, for whoever believes the
    former alone, because it was away while the authority was rotated.
    """

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        certificate: x509.Certificate,
        others: tuple[x509.Certificate, ...] = (),
        between: tuple[x509.Certificate, ...] = (),
    ) -> None:
        self._key = key
        self.certificate = certificate
        self.roots = (certificate, *others)
        self.between = between

    @classmethod
    def new(cls, federation: str, now: datetime) -> Self:
        """A root of its own; `federation` is a name for people, at most 60 characters."""
        key = new_tls_key()
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
                x509.NameAttribute(NameOID.COMMON_NAME, f"{federation[:40]} root {now:%Y-%m-%d} {os.urandom(3).hex()}"),
            ]
        )
        return cls(key, _root(name, key, now, issuer=name, issued_with=key, path_length=1))

    def successor(self, federation: str, now: datetime) -> Self:
        """The next authority: its root, this one's beside it, and what this one says of it."""
        new = type(self).new(federation, now)
        cross = _root(
            new.certificate.subject,
            new._key,
            now,
            issuer=self.certificate.subject,
            issued_with=self._key,
            path_length=0,
            until=self.certificate.not_valid_after_utc,
        )
        return type(self)(new._key, new.certificate, self.roots, (cross,))

    def vouch_for(self, other: x509.Certificate, name: str, now: datetime) -> x509.Certificate:
        """What this authority says of a hospital's own: it may issue certificates in the name of one member, no other.

        The name is bound by a constraint that whoever verifies a chain checks (RFC 5280 section 4.2.1.10), so that the
        other authority need not be trusted with anybody else's. Raises LocalError for what is no authority's.
        """
        try:
            constraints = other.extensions.get_extension_for_class(x509.BasicConstraints).value
        except x509.ExtensionNotFound:
            constraints = None
        if constraints is None or not constraints.ca:
            raise LocalError(
                f"{other.subject.rfc4514_string()} is no authority's certificate",
                hint="name the certificate of the hospital's authority that issues for this site",
            )
        only = x509.NameConstraints([x509.DirectoryName(subject_of(name))], None)
        until = min(now + timedelta(days=365 * 2), self.certificate.not_valid_after_utc, other.not_valid_after_utc)
        public = other.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(other.subject)
            .issuer_name(self.certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(only, critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def alone(self) -> Self:
        """Without the former roots: nobody needs them once every certificate that they gave has run out."""
        return type(self)(self._key, self.certificate)

    @classmethod
    def load(cls, folder: Path, passphrase: bytes | None = None) -> Self:
        """`ca.key` and `ca.pem` of a folder; roots of before, or of a hospital's own, follow in ca.pem.

        Raises LocalError saying what is missing, or that the passphrase is.
        """
        key = read_private(folder / "ca.key", passphrase)
        try:
            certificate, *others = x509.load_pem_x509_certificates((folder / "ca.pem").read_bytes())
        except (OSError, ValueError):
            raise LocalError(
                f"{folder / 'ca.pem'} is not there, or no certificate",
                hint="the authority's key and certificate belong together: copy both, or `wardround registrar keys`",
            ) from None
        if certificate.public_key() != key.public_key():
            raise LocalError(f"ca.key and ca.pem of {folder} do not belong together", hint="copy both from one place")
        cross = folder / "ca.cross.pem"
        between = roots_of(cross.read_bytes()) if cross.exists() else []
        return cls(key, certificate, tuple(others), tuple(between))

    @classmethod
    def at(cls, folder: Path, federation: str, now: datetime, passphrase: bytes | None = None) -> Self:
        """That of a folder, made where there is none. Raises LocalError as `load` and `save`."""
        if (folder / "ca.key").exists():
            return cls.load(folder, passphrase)
        authority = cls.new(federation, now)
        authority.save(folder, passphrase)
        return authority

    def save(self, folder: Path, passphrase: bytes | None = None) -> None:
        """Write `ca.key` (mode 0600, encrypted where there is a passphrase) and `ca.pem`. Raises LocalError."""
        write_private(folder / "ca.key", self._key, passphrase)
        self.save_certificates(folder)

    def save_certificates(self, folder: Path) -> None:
        """`ca.pem` and, where there is one, `ca.cross.pem`; those of before are replaced."""
        write_whole(folder / "ca.pem", pem(self.roots))
        if self.between:
            write_whole(folder / "ca.cross.pem", pem(self.between))
        else:
            (folder / "ca.cross.pem").unlink(missing_ok=True)

    def issue(
        self,
        profile: Profile,
        name: str,
        public: ec.EllipticCurvePublicKey,
        now: datetime,
        *,
        hosts: Iterable[str] = (),
        lifetime: timedelta | None = None,
    ) -> x509.Certificate:
        """A certificate for a public key under a name. `hosts` are host names and addresses of a broker.

        Raises LocalError for a name that the profile has not, hosts where none belong, or none where some do.
        """
        _check_name(profile, name)
        names = [_host(host) for host in hosts]
        if bool(names) != profile.serves:
            said = "needs the host names that it is reached under" if profile.serves else "carries no host names"
            raise LocalError(
                f"a certificate for a {profile.name} {said}", hint="wardround registrar certificate --help"
            )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject_of(name))
            .issuer_name(self.certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - min(SKEW, (lifetime or profile.lifetime) / 10))
            .not_valid_after(min(now + (lifetime or profile.lifetime), self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(profile.usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _root(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    *,
    issuer: x509.Name,
    issued_with: ec.EllipticCurvePrivateKey,
    path_length: int,
    until: datetime | None = None,
) -> x509.Certificate:
    """A certificate of an authority: its own, or that which another one gives it."""
    end = now + timedelta(days=365 * CA_YEARS)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(min(end, until) if until is not None else end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(issued_with, hashes.SHA256())
    )


def utc_now() -> datetime:
    """The clock of this machine, in whole seconds, as certificates have them."""
    return datetime.now(UTC).replace(microsecond=0)


def _check_name(profile: Profile, name: str) -> None:
    own = {BROKER_NAME: "broker", REGISTRAR_NAME: "registrar", RENEWER_NAME: "renewer"}
    try:
        ID.pack(name)
    except ValueError as error:
        raise LocalError(str(error), hint="lower-case letters, digits and hyphens, e.g. clinic-north") from None
    if own.get(name, profile.name) != profile.name or (profile.name in own.values() and name not in own):
        raise LocalError(f"no {profile.name} is called {name}", hint="a member has a name of its own")


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise LocalError(f"{host} is no host name", hint="write for example kafka-1.example.org") from None


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
