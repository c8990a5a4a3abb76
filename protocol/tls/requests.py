"""A request for a certificate: made beside a private key that stays where it is, and what is read of one.

Source:   RFC 2986 (PKCS #10).
"""

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from schemas.errors import PeerError

ORGANISATION = "federation"  # in every subject: brokers read a member's name beside it, and from nowhere else
REQUEST_BYTES_MAX = 1024


def new_tls_key() -> ec.EllipticCurvePrivateKey:
    """A key of curve P-256, which every TLS library knows."""
    return ec.generate_private_key(ec.SECP256R1())


def subject_of(name: str) -> x509.Name:
    """O=federation, then CN=name."""
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def request_for(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """The request (DER) for a key: its signature shows that whoever asks holds it."""
    request = x509.CertificateSigningRequestBuilder().subject_name(subject_of(name)).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """The public key of a request (DER); what else stands in it is of no account.

    Raises PeerError for what is no request, is not signed by its own key, or has a key that is not of curve P-256.
    """
    try:
        parsed = x509.load_der_x509_csr(request)
        public, valid = parsed.public_key(), parsed.is_signature_valid
    except (ValueError, InvalidSignature):
        raise PeerError("what should be a request for a certificate is none") from None
    if not valid:
        raise PeerError("a request for a certificate is not signed by its own key")
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise PeerError("a request for a certificate has a key that is not of curve P-256")
    return public
