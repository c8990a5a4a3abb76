"""Make seals.json: boxes and chunks that must open, with HPKE's key schedule written out by hand.

The KEM's answer is not computed here: it is the first vector of draft-connolly-cfrg-xwing-kem-08, appendix C. A box
built on its ciphertext and shared secret opens only where ML-KEM-768 + X25519 is X-Wing to the letter.

Run once, from the repository's root: python -m tests.vectors.make_seals
"""

import hashlib
import hmac
import json
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.vectors import FOLDER

OUT = FOLDER / "seals.json"
LABEL = b"wardround/secagg/1"
XWING_SEED = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
XWING_SHARED_SECRET = bytes.fromhex("d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384")
XWING_CIPHERTEXT = bytes.fromhex("""
    b83aa828d4d62b9a83ceffe1d3d3bb1ef31264643c070c5798927e41fb07914a273f8f96
    e7826cd5375a283d7da885304c5de0516a0f0654243dc5b97f8bfeb831f68251219aabdd
    723bc6512041acbaef8af44265524942b902e68ffd23221cda70b1b55d776a92d1143ea3
    a0c475f63ee6890157c7116dae3f62bf72f60acd2bb8cc31ce2ba0de364f52b8ed38c79d
    719715963a5dd3842d8e8b43ab704e4759b5327bf027c63c8fa857c4908d5a8a7b88ac7f
    2be394d93c3706ddd4e698cc6ce370101f4d0213254238b4a2e8821b6e414a1cf20f6c12
    44b699046f5a01caa0a1a55516300b40d2048c77cc73afba79afeea9d2c0118bdf2adb88
    70dc328c5516cc45b1a2058141039e2c90a110a9e16b318dfb53bd49a126d6b73f215787
    517b8917cc01cabd107d06859854ee8b4f9861c226d3764c87339ab16c3667d2f49384e5
    5456dd40414b70a6af841585f4c90c68725d57704ee8ee7ce6e2f9be582dbee985e038ff
    c346ebfb4e22158b6c84374a9ab4a44e1f91de5aac5197f89bc5e5442f51f9a5937b102b
    a3beaebf6e1c58380a4a5fedce4a4e5026f88f528f59ffd2db41752b3a3d90efabe46389
    9b7d40870c530c8841e8712b733668ed033adbfafb2d49d37a44d4064e5863eb0af0a08d
    47b3cc888373bc05f7a33b841bc2587c57eb69554e8a3767b7506917b6b70498727f16ea
    c1a36ec8d8cfaf751549f2277db277e8a55a9a5106b23a0206b4721fa9b3048552c5bd5b
    594d6e247f38c18c591aea7f56249c72ce7b117afcc3a8621582f9cf71787e183dee0936
    7976e98409ad9217a497df888042384d7707a6b78f5f7fb8409e3b535175373461b77600
    2d799cbad62860be70573ecbe13b246e0da7e93a52168e0fb6a9756b895ef7f0147a0dc8
    1bfa644b088a9228160c0f9acf1379a2941cd28c06ebc80e44e17aa2f8177010afd78a97
    ce0868d1629ebb294c5151812c583daeb88685220f4da9118112e07041fcc24d5564a99f
    dbde28869fe0722387d7a9a4d16e1cc8555917e09944aa5ebaaaec2cf62693afad42a3f5
    18fce67d273cc6c9fb5472b380e8573ec7de06a3ba2fd5f931d725b493026cb0acbd3fe6
    2d00e4c790d965d7a03a3c0b4222ba8c2a9a16e2ac658f572ae0e746eafc4feba023576f
    08942278a041fb82a70a595d5bacbf297ce2029898a71e5c3b0d1c6228b485b1ade509b3
    5fbca7eca97b2132e7cb6bc465375146b7dceac969308ac0c2ac89e7863eb8943015b243
    14cafb9c7c0e85fe543d56658c213632599efabfc1ec49dd8c88547bb2cc40c9d38cbd30
    99b4547840560531d0188cd1e9c23a0ebee0a03d5577d66b1d2bcb4baaf21cc7fef1e038
    06ca96299df0dfbc56e1b2b43e4fc20c37f834c4af62127e7dae86c3c25a2f696ac8b589
    dec71d595bfbe94b5ed4bc07d800b330796fda89edb77be0294136139354eb8cd3759157
    8f9c600dd9be8ec6219fdd507adf3397ed4d68707b8d13b24ce4cd8fb22851bfe9d63240
    7f31ed6f7cb1600de56f17576740ce2a32fc5145030145cfb97e63e0e41d354274a079d3
    e6fb2e15""")
# KEM 0x647A ML-KEM-768 + X25519, KDF 0x0001 HKDF-SHA256, AEAD 0x0002 AES-256-GCM
SUITE = b"HPKE" + struct.pack(">HHH", 0x647A, 0x0001, 0x0002)


def extract(salt: bytes, label: bytes, material: bytes) -> bytes:
    """LabeledExtract of RFC 9180, section 4."""
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + SUITE + label + material, "sha256")


def expand(secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand of RFC 9180 for one block of output."""
    message = struct.pack(">H", length) + b"HPKE-v1" + SUITE + label + info
    return hmac.digest(secret, message + b"\x01", "sha256")[:length]


def seal(info: bytes, plaintext: bytes) -> bytes:
    """enc || ct of base mode, section 5.1, with the draft's encapsulation."""
    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(XWING_SHARED_SECRET, b"secret", b"")
    key, nonce = expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)
    return XWING_CIPHERTEXT + AESGCM(key).encrypt(nonce, plaintext, b"")


def main() -> None:
    header = b"any bytes of a Header"
    subject = hashlib.sha256(header).digest()
    opening_key = hashlib.shake_256(XWING_SEED).digest(96)  # how the draft makes (d || z, X25519 key) from its seed
    body_key, epoch_key = bytes(range(32)), bytes(range(100, 132))
    key_id = bytes.fromhex(PUBLIC_KEY_ID)
    epoch_id = hashlib.sha256(LABEL + b"/epoch-key\0" + epoch_key).digest()[:16]
    epoch_info = LABEL + b"/epoch" + b"\x00\x04lung" + struct.pack(">Q", 3) + b"\x00\x06inst-1" + key_id
    chunk, nonce = b"the last chunk of two", bytes(11) + b"\x07"
    last = AESGCM(body_key).encrypt(bytes(11) + b"\x01", chunk, subject + struct.pack(">II", 1, 2))
    rows = {
        "comment": "made by make_seals.py; all values hex",
        "opening_key": [opening_key, "ML-KEM seed (64) || X25519 key (32)"],
        "key_id": [key_id, "first 16 bytes of SHA-256 of its public key, which the draft prints"],
        "header": [header, "of an update; its SHA-256 is the subject"],
        "subject": [subject, "what the body's seal and every chunk are bound to"],
        "body_key": [body_key, "AES-256-GCM key of the body"],
        "body_box": [seal(LABEL + b"/body" + key_id + subject, body_key), "info = LABEL /body || key_id || subject"],
        "epoch_key": [epoch_key, "study key of epoch 3"],
        "epoch_key_box": [seal(epoch_info, epoch_key), "for member inst-1 of study lung"],
        "epoch_key_id": [epoch_id, "SHA-256(LABEL /epoch-key 00 || key), 16 bytes"],
        "epoch_box": [nonce + AESGCM(epoch_key).encrypt(nonce, body_key, None), "nonce (12) || sealed body key"],
        "chunk": [chunk, "plain"],
        "sealed_chunk": [last, "nonce = index 1 as 96 bits, AAD = subject || u32 1 || u32 2"],
    }
    content = {name: [row[0].hex(), row[1]] if isinstance(row, list) else row for name, row in rows.items()}
    OUT.write_text(json.dumps(content, indent=1) + "\n")


# SHA-256 of the draft's printed public key e2236b35...ef6534, first half
PUBLIC_KEY_ID = "2e816deebcd76c5c80d0cd2d17447887"

if __name__ == "__main__":
    main()
