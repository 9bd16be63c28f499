"""The keys that a running `portcullis dev --data DATA_DIR` has wrapped and derived, each in every form it could leak in.

usage: planted.py DATA_DIR MASK      prints lines of `name hex`, the form XORed with MASK (hex, repeated as often as needed)

For a test that looks for these keys in its own memory: masked, so that to be told them is not to hold them. What the keys
are is worked out here from the store's files and the vault's RSA keys, with the format's second reading in tests/vectors.
"""

import base64
import itertools
import json
import pathlib
import sys
import urllib.parse

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "vectors"))
import reference  # noqa: E402

DATA, MASK = pathlib.Path(sys.argv[1]), bytes.fromhex(sys.argv[2])
OBJECTS = DATA / "store" / "objects"
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def tell(name, key):
    text = base64.b64encode(key).rstrip(b"=")
    forms = {"raw": key, "hex": key.hex().encode(), "HEX": key.hex().upper().encode(), "base64": text,
             "base64url": text.replace(b"+", b"-").replace(b"/", b"_")}
    for form, value in forms.items():
        print(f"{name}/{form}", bytes(a ^ b for a, b in zip(value, itertools.cycle(MASK))).hex())


def unwrap(wrapped, dek_id):
    for key in [load_pem_private_key(pem.read_bytes(), None) for pem in (DATA / "vault" / "rsa").glob("*.pem")]:
        try:
            dek = key.decrypt(wrapped, OAEP)
        except ValueError:
            continue
        if reference.dek_id(dek) == dek_id:
            return dek
    raise SystemExit("an envelope that no key of the vault opens")


deks = {}
for record in sorted((OBJECTS / "portcullis-system").iterdir()):
    _, tenant, _, _ = urllib.parse.unquote(record.name).split("/")
    document = json.loads(record.read_bytes())
    envelope, dek_id = base64.b64decode(document["envelope"]), bytes.fromhex(document["dek"])
    wrapped = envelope[35:35 + int.from_bytes(envelope[33:35], "big")]
    deks[dek_id] = dek = unwrap(wrapped, dek_id)
    tell(f"dek/{tenant}/{dek_id.hex()}", dek)

for bucket, tenant in (("acme-files", "acme"), ("globex-files", "globex")):
    for stored in sorted((OBJECTS / bucket).iterdir()):
        header = stored.read_bytes()[:704]
        if header[24:40] not in deks:
            continue  # bears no seal
        segment, commitment, metadata, alias = reference.keys(deks[header[24:40]], tenant, header)
        # What was tampered with on purpose derives other keys than were used.
        if commitment == header[104:136]:
            for name, key in (("segment", segment), ("metadata", metadata), ("alias", alias)):
                tell(f"{name}/{tenant}/{stored.name}", key)
