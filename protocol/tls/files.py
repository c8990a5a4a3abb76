"""Keys and certificates on disk, as the two sides of a connection read them: PEM, private keys of their owner alone.

Knows:    a client's folder holds ca.pem (whom it believes), cert.pem (leaf first) and key.pem.
Never:    overwrites a private key, or leaves half a file.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.files import write_whole
from protocol.key_files import read_text_key, write_key
from schemas.errors import LocalError, PeerError

KEY, CERTIFICATE, AUTHORITY = "key.pem", "cert.pem", "ca.pem"
HOW = (
    "it comes of `wardround site join`, or of `wardround keys new` and the registrar's answer; the folder is named "
    "with --tls, or under [kafka] tls"
)
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class TlsKey:
    """A private key with its certificate (`chain`, leaf first) and the roots that its holder believes."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]
    roots: tuple[x509.Certificate, ...]

    def save_for_client(self, folder: Path) -> None:
        """Write a client's folder. Raises LocalError where a key lies there already."""
        folder.mkdir(parents=True, exist_ok=True)
        write_private(folder / KEY, self.key)
        install(folder, pem(self.chain), pem(self.roots))


def install(folder: Path, chain: bytes, roots: bytes) -> None:
    """Put a certificate beside the key it was asked for; each file is replaced as a whole, the roots first."""
    write_whole(folder / AUTHORITY, roots)
    write_whole(folder / CERTIFICATE, chain)


def roots_in(folder: Path) -> list[x509.Certificate]:
    """The roots of a client's ca.pem. Raises LocalError."""
    try:
        return x509.load_pem_x509_certificates((folder / AUTHORITY).read_bytes())
    except (OSError, ValueError):
        raise LocalError(f"{folder / AUTHORITY} holds no certificates in PEM", hint=HOW) from None


def roots_of(text: bytes) -> list[x509.Certificate]:
    """The certificates of a text in PEM. Raises PeerError."""
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        raise PeerError("what should be certificates in PEM are none") from None


def certificate_in(folder: Path) -> x509.Certificate:
    """The leaf of a client's cert.pem. Raises LocalError."""
    path = folder / CERTIFICATE
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise LocalError(f"cannot read the certificate {path}: {error.strerror}", hint=HOW) from None
    except ValueError:
        raise LocalError(f"{path} holds no certificate in PEM", hint=HOW) from None


def issuer_of(certificate: bytes) -> tuple[str, datetime]:
    """Who issued a certificate (DER), as people write it, and when it runs out."""
    parsed = x509.load_der_x509_certificate(certificate)
    return parsed.issuer.rfc4514_string() or "nobody by name", parsed.not_valid_after_utc


def public_of(folder: Path) -> ec.EllipticCurvePublicKey | None:
    """The public half of the key that lies in a client's folder; None where there is none that can be read."""
    try:
        return read_private(folder / KEY).public_key()
    except LocalError:
        return None


def tls_beside(*keys: Path | None) -> Path | None:
    """The first folder for TLS that lies beside one of these key files: NAME.tls beside NAME.sign, NAME.open, NAME.pub.

    None where there is none.
    """
    folders = (key.with_suffix(".tls") for key in keys if key is not None)
    return next((folder for folder in folders if folder.is_dir()), None)


def pem(certificates: tuple[x509.Certificate, ...]) -> bytes:
    """One after the other, as files and answers hold them."""
    return b"".join(one.public_bytes(_PEM) for one in certificates)


def write_private(path: Path, key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> None:
    """PKCS #8 in PEM, mode 0600, encrypted where there is a passphrase. Raises LocalError rather than overwrite."""
    write_key(path, private_pem(key, passphrase), "TLS")


def read_private(path: Path, passphrase: bytes | None = None) -> ec.EllipticCurvePrivateKey:
    """Raises LocalError for a file that is missing, open to others, encrypted with another passphrase, or no key."""
    text = read_text_key(path, "TLS")
    try:
        key = serialization.load_pem_private_key(text, passphrase)
    except TypeError:  # a passphrase where none is needed, or none where one is
        said = "is not encrypted: no passphrase belongs to it" if passphrase else "is encrypted"
        raise LocalError(f"{path} {said}", hint="--passphrase-file FILE names what opens it") from None
    except ValueError:
        raise LocalError(
            f"{path} cannot be read: another passphrase, or no private key in PEM",
            hint="name the passphrase that it was made with",
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise LocalError(f"{path} is no key of an elliptic curve", hint="keys are made by wardround itself")
    return key


def private_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> bytes:
    """PKCS #8 in PEM, encrypted where there is a passphrase."""
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        how = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, how)
