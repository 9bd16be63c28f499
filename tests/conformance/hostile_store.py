"""Changes what lies in the store behind a running `portcullis dev`, as whoever runs the store could, and reads it through the
gate: nothing that was changed comes back as if it were fine, and no lease is touched by it.

usage: hostile_store.py DATA_DIR
"""

import hashlib
import hmac
import os
import re
import struct
import sys
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

DATA = sys.argv[1]
ENV = dict(line.split("=", 1) for line in open(os.path.join(DATA, "dev.env")).read().split("\n") if line)
HEADER, CHUNK, TAG = 704, 65536, 16


def client(endpoint, access_key, secret):
    config = Config(
        retries={"max_attempts": 0},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=ENV["AWS_REGION"],
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        config=config,
    )


def store():
    text = open(os.path.join(DATA, "portcullis.toml")).read()
    endpoint = re.search(r'^endpoint = "(.*)"', text, re.M).group(1)
    access_key = re.search(r'^access_key_id = "(.*STORE.*)"', text, re.M).group(1)
    return client(endpoint, access_key, open(os.path.join(DATA, "secrets", "store")).read().strip())


def gate(tenant):
    keys = ENV[f"{tenant}_ACCESS_KEY_ID"], ENV[f"{tenant}_SECRET_ACCESS_KEY"]
    return client(ENV["S3_ENDPOINT"], *keys), ENV[f"{tenant}_BUCKET"]


STORE = store()
GATE, BUCKET = gate("ACME")


def read(key, **options):
    """What a client gets: bytes, or the error's code, or that the connection broke and how much came before."""
    try:
        body = GATE.get_object(Bucket=BUCKET, Key=key, **options)["Body"]
    except ClientError as error:
        return error.response["Error"]["Code"]
    except ConnectionClosedError:
        return ("broke", 0)  # before the head and what goes with it had left
    got = b""
    try:
        while piece := body.read(16 * 1024):
            got += piece
    except Exception as error:
        return ("broke", len(got))
    return got


def stored(key, bucket=BUCKET):
    answer = STORE.get_object(Bucket=bucket, Key=key)
    return answer["Body"].read(), answer["Metadata"]


def put(key, body, metadata):
    STORE.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata=metadata)


def refused(name, key="victim", **options):
    got = read(key, **options)
    assert got in ("ObjectTampered", "ObjectNotSealed", "ServiceUnavailable"), (name, got if isinstance(got, (str, tuple)) else "served")
    return got


def whole_reads():
    plain = os.urandom(3 * CHUNK + 100)
    GATE.put_object(Bucket=BUCKET, Key="victim", Body=plain)
    GATE.put_object(Bucket=BUCKET, Key="other", Body=os.urandom(len(plain)))
    body, metadata = stored("victim")
    other, _ = stored("other")

    # Every byte of the header's core, and a sample of the rest: the envelope, where bytes past the wrapped DEK are zeros.
    for offset in list(range(0, 136)) + list(range(136, HEADER, 37)):
        changed = bytearray(body)
        changed[offset] ^= 1
        put("victim", bytes(changed), metadata)
        refused(f"header byte {offset}")

    def chunk(n):
        start = HEADER + n * (CHUNK + TAG)
        return slice(start, start + CHUNK + TAG)

    flipped = bytearray(body)
    flipped[HEADER + 5] ^= 1
    swapped = bytearray(body)
    swapped[chunk(0)], swapped[chunk(1)] = body[chunk(1)], body[chunk(0)]
    spliced = bytearray(body)
    spliced[chunk(0)] = other[chunk(0)]
    cases = {
        "first chunk flipped": bytes(flipped),
        "chunks swapped": bytes(swapped),
        "a chunk of another object": bytes(spliced),
        "a byte short": body[:-1],
        "a byte long": body + b"\0",
        "a chunk short": body[: -(CHUNK + TAG)],
        "the header alone": body[:HEADER],
        "nothing": b"",
        "plaintext": b"just some text",
        "another object under this name": other,
    }
    for name, changed in cases.items():
        put("victim", changed, metadata)
        refused(name)

    # What is wrong further back breaks the answer off before the bytes concerned.
    for name, offset, before in (("third chunk", 2 * (CHUNK + TAG) + HEADER + 9, 2 * CHUNK), ("last tag", len(body) - 1, 3 * CHUNK)):
        changed = bytearray(body)
        changed[offset] ^= 0x80
        put("victim", bytes(changed), metadata)
        got = read("victim")
        assert got[0] == "broke" and got[1] <= before, (name, got)

    # Without the metadata, or with another object's, the header decides.
    put("victim", body, {})
    assert read("victim") == plain
    assert read("victim", Range=f"bytes={CHUNK}-{CHUNK + 9}") == plain[CHUNK : CHUNK + 10]
    put("victim", body, {"portcullis-core": stored("other")[1]["portcullis-core"]})
    assert read("victim") == plain
    refused("range under another object's core", Range=f"bytes={CHUNK}-{CHUNK + 9}")
    put("victim", body, {"portcullis-core": "!"})
    assert read("victim", Range=f"bytes={CHUNK}-{CHUNK + 9}") == plain[CHUNK : CHUNK + 10]
    put("victim", body, metadata)
    assert read("victim") == plain


def padding_and_ranges():
    plain = os.urandom(5 * 1024 * 1024 + 1)
    GATE.put_object(Bucket=BUCKET, Key="padded", Body=plain)
    body, metadata = stored("padded")
    changed = bytearray(body)
    changed[-1] = 1
    put("padded", bytes(changed), metadata)
    got = read("padded")
    assert got[0] == "broke" and got[1] < len(plain), "padding was altered and the whole object came"
    changed = bytearray(body)
    changed[HEADER + 20 * (CHUNK + TAG)] ^= 1
    put("padded", bytes(changed), metadata)
    got = read("padded", Range=f"bytes={20 * CHUNK + 5}-{20 * CHUNK + 9}")
    assert got == "ObjectTampered", got
    assert read("padded", Range=f"bytes={21 * CHUNK}-{21 * CHUNK + 9}") == plain[21 * CHUNK : 21 * CHUNK + 10]


def another_tenants_object():
    globex, other_bucket = gate("GLOBEX")
    globex.put_object(Bucket=other_bucket, Key="theirs", Body=b"globex's words")
    body, metadata = stored("theirs", other_bucket)
    put("theirs", body, metadata)
    refused("another tenant's object", "theirs")


def field(data):
    return struct.pack(">I", len(data)) + data


def forged():
    """An object made with nothing but the public half of the CMK, as docs/FORMAT.md describes: only the origin gives it away."""
    GATE.put_object(Bucket=BUCKET, Key="template", Body=b"x")
    body, _ = stored("template")
    public = rsa.RSAPublicNumbers(*public_key(body[136 + 17 : 136 + 33].hex())).public_key()
    dek = os.urandom(32)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    wrapped = public.encrypt(dek, oaep)
    dek_id = HKDF(hashes.SHA256(), 16, None, b"portcullis v1 dek id").derive(dek)
    plain, name, tenant = b"forged words", b"forged", b"acme"
    binding = hashlib.sha256(field(b"portcullis s3 whole") + field(BUCKET.encode()) + field(name)).digest()
    # The binding's label is learnt from a real object, if this guess is wrong: the origin is checked before it anyway.
    core = body[:8] + bytes([1, 1]) + bytes(6) + struct.pack(">Q", len(plain)) + dek_id + os.urandom(32) + binding
    prk = hmac.new(core[40:72], dek, hashlib.sha256).digest()
    info = b"portcullis v1" + field(tenant) + hashlib.sha256(core).digest()
    keys = HKDFExpand(hashes.SHA256(), 128, info).derive(prk)
    envelope = body[136:169] + struct.pack(">H", len(wrapped)) + wrapped.ljust(512, b"\0") + bytes(16)
    header = core + keys[32:64] + envelope.ljust(568, b"\0")
    chunk = AESGCM(keys[:32]).encrypt(bytes(11) + b"\1", plain, None)
    before = refusals()
    put("forged", header + chunk, {})
    assert refused("forged with the public key", "forged") == "ObjectTampered"
    assert refusals() == before, "a forged envelope was sent to the vault"


def public_key(version):
    """The key as anyone may read it who can see the vault's certificates; here from the stand-in's own folder."""
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    for folder, _, files in os.walk(os.path.join(DATA, "vault")):
        for file in files:
            if version in os.path.join(folder, file):
                data = open(os.path.join(folder, file), "rb").read()
                try:
                    numbers = load_der_private_key(data, None).public_key().public_numbers()
                    return numbers.e, numbers.n
                except ValueError:
                    continue
    # Any modulus serves: what is wrapped is never unwrapped.
    numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    return numbers.e, numbers.n


def refusals():
    """The vault's answers that were no yes."""
    return [line for line in counted("portcullis_vault_proofs_total") if '"yes"' not in line]


def counted(name):
    text = urllib.request.urlopen(ENV["ADMIN_ENDPOINT"] + "/metrics").read().decode()
    return [line for line in text.split("\n") if line.startswith(name)]


def leases_are_untouched():
    assert counted("portcullis_streams_cut_total") == CUT, "a lease was ended by an object"
    GATE.put_object(Bucket=BUCKET, Key="after", Body=b"still served")
    assert read("after") == b"still served"


CUT = counted("portcullis_streams_cut_total")
whole_reads()
padding_and_ranges()
another_tenants_object()
forged()
leases_are_untouched()
for key in ("victim", "other", "padded", "theirs", "template", "forged", "after"):
    STORE.delete_object(Bucket=BUCKET, Key=key)
print("done")
