"""A hospital's own PKI issues its site's certificates: what the registrar answers instead of a certificate.

Never:    lets another authority speak for more than one member's name.
"""

from datetime import datetime
from pathlib import Path

from cryptography import x509

from protocol.tls.files import pem
from registry.joining.answer import Answer
from registry.pki.authority import Authority
from schemas.errors import LocalError


def vouch(authority: Authority, certificate: Path, member: str, bootstrap: str, now: datetime) -> Answer:
    """The answer that vouches for the authority in a file (PEM). Raises LocalError."""
    try:
        theirs = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except (OSError, ValueError):
        raise LocalError(
            f"{certificate} holds no certificate in PEM", hint="ask the hospital's PKI for its authority's certificate"
        ) from None
    cross = authority.vouch_for(theirs, member, now)
    return Answer(member, bootstrap, pem((cross,)), pem(authority.roots))
