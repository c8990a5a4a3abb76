"""What a TLS handshake with a broker tells: who answers, who opens the line in between, why our certificate is refused.

Knows:    in TLS 1.3 a server's word on the client's certificate comes after the handshake, as an alert.
Never:    sends anything to whom it did not verify, but its hello.
Source:   RFC 8446 sections 4.4.2.4 and 6.2.
"""

import asyncio
import ssl
from datetime import UTC, datetime

from protocol.tls.files import issuer_of
from transport.staying.trouble import Trouble

LOOK_S = 5.0  # for each step: a broker behind a proxy and a satellite answers within seconds
ALERT_S = 1.0  # a server that has not refused us by then has taken us
_REFUSALS = {
    "CERTIFICATE_REQUIRED": "it wants a certificate, and none was shown",
    "CERTIFICATE_EXPIRED": "our certificate has run out there: is a clock wrong?",
    "UNKNOWN_CA": "it does not know the authority that our certificate is from: is it of another federation, or older?",
    "CERTIFICATE_UNKNOWN": "it does not take our certificate: run out, or of an authority that it does not know",
    "BAD_CERTIFICATE": "it does not take our certificate: run out, or of an authority that it does not know",
    "ACCESS_DENIED": "our certificate is known, and not let in",
    "PROTOCOL_VERSION": "it does not speak TLS 1.3",
}


async def tls_trouble(host: str, port: int, context: ssl.SSLContext, *, connect_s: float = LOOK_S) -> Trouble | None:
    """What is wrong between us and host:port; None where TLS is well both ways.

    Raises OSError and TimeoutError where there is no connection at all.
    """
    at = f"{host}:{port}"
    try:
        async with asyncio.timeout(connect_s):
            reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        return Trouble(await _unverified(host, port, error), patience_s=0.0, kind="tls")
    except ssl.SSLError as error:
        return _alert(at, error)
    except ConnectionResetError:
        return Trouble(
            f"{at} ends the connection while TLS begins: a firewall on the way, or no broker's TLS port", kind="tls"
        )
    try:
        async with asyncio.timeout(ALERT_S):
            if not await reader.read(1):
                said = f"{at} takes TLS and then ends the connection: our certificate is not of its federation"
                return Trouble(said, patience_s=0.0, kind="certificate")
    except TimeoutError:
        return None
    except ssl.SSLError as error:
        return _alert(at, error)
    except OSError:
        return Trouble(f"{at} ends the connection once it has seen our certificate", kind="certificate")
    finally:
        writer.close()
    return None


def _alert(at: str, error: ssl.SSLError) -> Trouble:
    reason = str(error.reason or error)
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason:
        return Trouble(f"{at} does not speak TLS: name the broker's TLS listener", patience_s=0.0, kind="tls")
    said = next((text for name, text in _REFUSALS.items() if name in reason), f"it refuses TLS ({reason})")
    return Trouble(f"{at} answers, and {said}", patience_s=0.0, kind="certificate")


async def _unverified(host: str, port: int, error: ssl.SSLCertVerificationError) -> str:
    """Somebody answered with a certificate that is not to be believed: say whose."""
    shown, at = await _shown(host, port), f"{host}:{port}"
    if shown is None:
        return f"{at} shows a certificate that is not believed here: {error.verify_message}"
    issuer, until = issuer_of(shown)
    if "ostname" in error.verify_message or "IP address" in error.verify_message:
        return (
            f"the certificate at {at} is for other names than {host}: is the address right? A broker's certificate "
            "has to carry every name that it is reached under"
        )
    if until < datetime.now(UTC):
        return f"the certificate at {at} has run out on {until:%Y-%m-%d %H:%M} UTC: whoever runs the broker renews it"
    if "not yet valid" in error.verify_message:
        return f"the certificate at {at} is not valid yet: the clock of this machine is behind"
    return (
        f"the certificate at {at} is not of this federation but issued by {issuer}: something on the way opens TLS; "
        f"ask for an exception for {at} (no TLS inspection). If nothing does, address or ca.pem is another federation's"
    )


async def _shown(host: str, port: int) -> bytes | None:
    """The certificate that is shown there (DER); whoever it is, nothing is sent to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(LOOK_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except (OSError, TimeoutError):
        return None
    try:
        certificate: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return certificate
    finally:
        writer.close()
