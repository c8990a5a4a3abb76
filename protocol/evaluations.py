"""What a site measured, on its way: sealed to those who may read it, and opened by them.

Knows:    which of a plan's members read measurements: the coordinator and the auditors that the plan names.
Never:    lets the length of what is sealed tell more than how many kilobytes it is.
Source:   docs/decisions/0043.
"""

from collections.abc import Mapping

from protocol.digests import evaluation_subject
from protocol.sealing import OpeningKeys, open_content, seal_content, sealed_among
from protocol.signing import verify
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import Evaluation, Measurements, OpenEvaluation, Signed, version_of

MILLION = 1_000_000
PADDED_BYTES = 1024
_LENGTH_BYTES = 4

AnyEvaluation = Evaluation | OpenEvaluation


def evaluation_of(
    study: str, site: str, version: int, model: bytes, values: Mapping[str, float], readers: Mapping[str, bytes]
) -> Evaluation:
    """What was measured, sealed to `readers` (name -> opening public key).

    Raises ValueError for a name that is no id, more than VALUES_MAX of them, or a value that is no finite number or
    beyond VALUE_MAX.
    """
    payload = Measurements(tuple(sorted((name, float(value) + 0.0) for name, value in values.items()))).to_bytes()
    content = len(payload).to_bytes(_LENGTH_BYTES, "big") + payload
    content += bytes(-len(content) % PADDED_BYTES)
    subject = evaluation_subject(study, site, version, model)
    return Evaluation(study, site, version, model, seal_content(readers, subject, content))


def read_evaluation(payload: bytes) -> AnyEvaluation:
    """Parse one payload of either schema version. Raises PeerError."""
    of_version_1 = version_of(payload) == OpenEvaluation.VERSION
    return OpenEvaluation.from_bytes(payload) if of_version_1 else Evaluation.from_bytes(payload)


def verify_evaluation(signed: Signed, public: bytes) -> AnyEvaluation:
    """Check the signature under `public`, then parse. Raises PeerError."""
    if version_of(signed.payload) == OpenEvaluation.VERSION:
        return verify(signed, OpenEvaluation, public)
    return verify(signed, Evaluation, public)


def sealed_to(evaluation: AnyEvaluation, keys: OpeningKeys | None) -> bool:
    """Whether one of these keys opens it; what stands in clear needs none."""
    if isinstance(evaluation, OpenEvaluation):
        return True
    return keys is not None and sealed_among(keys, evaluation.measured.boxes)


def measured_values(evaluation: AnyEvaluation, keys: OpeningKeys, plan: Plan) -> dict[str, float]:
    """What was measured, by name. Raises PeerError where it does not open, or names what the plan does not."""
    if isinstance(evaluation, OpenEvaluation):  # its names were agreed on in no plan
        named = plan.evaluation.named
        return {name: value / MILLION for name, value in evaluation.values if name in named}
    subject = evaluation_subject(evaluation.study, evaluation.site, evaluation.version, evaluation.model)
    content = open_content(keys, evaluation.measured, subject)
    length = int.from_bytes(content[:_LENGTH_BYTES], "big")
    values = dict(Measurements.from_bytes(content[_LENGTH_BYTES : _LENGTH_BYTES + length]).values)
    strange = values.keys() - plan.evaluation.named
    if strange:
        raise PeerError(f"an Evaluation of {evaluation.site} holds {len(strange)} names that the plan does not let out")
    return values
