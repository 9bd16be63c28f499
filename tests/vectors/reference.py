"""A reading of README.md in Python (package `cryptography`): slow, plain, whole objects in memory.

    python3 reference.py check          opens every vector here with the secrets it names
    python3 reference.py make <folder>  writes the vectors anew into an empty folder; they must equal the ones here

The vectors themselves are never regenerated: a change that would need it is a new version of the format.
"""

import base64
import hashlib
import hmac
import pathlib
import sys
import tomllib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

MIB = 1 << 20
CHUNK = 65_536
KINDS = {"whole": 1, "part": 2, "block": 3, "append": 4, "footer": 5}
HEADER = [("magic", 8), ("version", 1), ("kind", 1), ("zero", 2), ("segments", 4), ("plaintext_length", 8), ("dek_id", 16),
          ("salt", 32), ("binding", 32), ("commitment", 32), ("wrap_algorithm", 1), ("cmk_reference", 16), ("key_version", 16),
          ("wrapped_length", 2), ("wrapped", 512), ("origin", 16), ("end", 5)]


# The format.

def be(number, size):
    return number.to_bytes(size, "big")


def sha256(data):
    return hashlib.sha256(data).digest()


def prefixed(data):
    return be(len(data), 4) + data


def extract(salt, secret):
    return hmac.digest(salt or bytes(32), secret, "sha256")


def expand(prk, info, length):
    return HKDFExpand(hashes.SHA256(), length, info).derive(prk)


def law(plain):
    k = min(plain // (5 * MIB), 10_000)
    return plain + 16 * max(1, -(-plain // CHUNK)) + 704 + (896 * (k + 1) if k else 0)


def segment_size(plain):
    return 704 + plain + 16 * max(1, -(-plain // CHUNK))


def dek_id(dek):
    return expand(extract(b"", dek), b"portcullis v1 dek id", 16)


def binding(context):
    return sha256(b"".join(prefixed(field) for field in context))


def cmk_reference(url):
    return sha256(url.lower().rstrip("/").replace(":443/", "/").encode())[:16]


def envelope(secret, tenant, dek, algorithm, url, version, wrapped):
    body = be(algorithm, 1) + cmk_reference(url) + bytes.fromhex(version) + be(len(wrapped), 2) + wrapped.ljust(512, b"\0")
    key = expand(extract(b"", secret), b"portcullis v1 origin", 32)
    message = b"portcullis v1 origin" + prefixed(tenant.encode()) + dek_id(dek) + body
    return body + hmac.digest(key, message, "sha256")[:16] + bytes(5)


def keys(dek, tenant, core):
    prk = extract(core[40:72], dek)
    okm = expand(prk, b"portcullis v1" + prefixed(tenant.encode()) + sha256(core[:104]), 128)
    return okm[:32], okm[32:64], okm[64:96], okm[96:]


def pieces(data, size):
    return [data[at:at + size] for at in range(0, max(1, len(data)), size)]


def nonce(index, last):
    return be(index, 11) + be(int(last), 1)


def seal(dek, tenant, kind, count, plain_len, salt, context, env, content):
    core = b"\x8ePORTCUL" + be(1, 1) + be(KINDS[kind], 1) + bytes(2) + be(count, 4) + be(plain_len, 8)
    core += dek_id(dek) + salt + binding(context)
    key, commitment, _, _ = keys(dek, tenant, core)
    parts = pieces(content, CHUNK)
    chunks = b"".join(AESGCM(key).encrypt(nonce(i, i + 1 == len(parts)), part, None) for i, part in enumerate(parts))
    return core + commitment + env, chunks


def open_chunks(dek, tenant, header, chunks):
    key, commitment, _, _ = keys(dek, tenant, header)
    if header[24:40] != dek_id(dek) or not hmac.compare_digest(commitment, header[104:136]):
        raise InvalidTag
    parts = pieces(chunks, CHUNK + 16)
    return b"".join(AESGCM(key).decrypt(nonce(i, i + 1 == len(parts)), part, None) for i, part in enumerate(parts))


def table(upload, entries, fields):
    head = bytes(32) if upload is None else sha256(upload.encode())
    rows = b"".join(bound + be(length, 8) + be(number, 4) + bytes(4) for bound, length, number in entries)
    return head + rows + fields.ljust(224, b"\0")


def block_id(client, footer, time_ms, salt):
    return client + be((64 if footer else 0) + len(client), 1) + be(time_ms, 6) + salt[:9]


def metadata(key, given_nonce, label, value):
    return given_nonce + AESGCM(key).encrypt(given_nonce, value, label.encode())


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# The vectors.

DEK = bytes(range(32))
SECRET = bytes(range(64, 96))
URL = "https://acme.vault.azure.net/keys/gate"
VERSION = "0123456789abcdef0123456789abcdef"
WRAPPED = {1: lambda size: bytes(i * 7 % 256 for i in range(size)), 2: lambda size: bytes(range(200, 200 + size))}


def counter(length):
    return b"".join(be(i, 8) for i in range(length // 8 + 1))[:length]


def body(content):
    return bytes.fromhex(content["hex"]) if "hex" in content else counter(content["counter"])


def bytes_or_hash(data):
    return {"hex": data.hex()} if len(data) <= 1024 else {"sha256": sha256(data).hex(), "length": len(data)}


class Vector:
    def __init__(self, name, tenant="acme", algorithm=1, wrapped=256):
        self.name, self.tenant = name, tenant
        self.envelope = envelope(SECRET, tenant, DEK, algorithm, URL, VERSION, WRAPPED[algorithm](wrapped))
        self.stored, self.rows = b"", []

    def salt(self):
        return sha256(f"{self.name} {len(self.rows)}".encode())

    def segment(self, kind, context, content, count=0, plain_len=None, before=0, after=0):
        data = body(content)
        plain_len = len(data) if plain_len is None else plain_len
        header, chunks = seal(DEK, self.tenant, kind, count, plain_len, self.salt(), context, self.envelope, data)
        halves = [chunks, header] if kind == "footer" else [header, chunks]
        self.stored += bytes(before) + b"".join(halves) + bytes(after)
        self.rows.append((kind, context, content, header, chunks, before, after))
        return binding(context), len(data)

    def whole(self, domain, container, name, content):
        length = len(body(content))
        self.segment("whole", [f"{domain} object".encode(), container.encode(), name.encode()], content,
                     after=law(length) - segment_size(length))
        return self

    def footer(self, domain, container, name, upload, entries, fields=b""):
        plain = sum(length for _, length, _ in entries)
        content = table(upload, entries, fields)
        used = len(self.stored) + segment_size(len(content))
        self.segment("footer", [f"{domain} object".encode(), container.encode(), name.encode()], {"hex": content.hex()},
                     count=len(entries), plain_len=plain, before=law(plain) - used if domain == "s3" else 0)
        return self

    def toml(self):
        lines = ["[[vector]]", f'name = "{self.name}"', f'tenant = "{self.tenant}"', f'dek = "{DEK.hex()}"',
                 f'origin_secret = "{SECRET.hex()}"', f"stored_length = {len(self.stored)}",
                 f'stored_sha256 = "{sha256(self.stored).hex()}"', ""]
        for kind, context, content, header, chunks, before, after in self.rows:
            fields = ", ".join(f'"{field.hex()}"' for field in context)
            lines += ["[[vector.segment]]", f'kind = "{kind}"', f"context = [{fields}]", f"content = {inline(content)}",
                      f"zeros_before = {before}", f"zeros_after = {after}", f"chunks = {inline(bytes_or_hash(chunks))}", "",
                      "[vector.segment.header]"]
            at = 0
            for name, size in HEADER:
                lines.append(f'{name} = "{header[at:at + size].hex()}"')
                at += size
            lines.append("")
        return "\n".join(lines)


def inline(row):
    return "{ " + ", ".join(f'{k} = "{v}"' if isinstance(v, str) else f"{k} = {v}" for k, v in row.items()) + " }"


def file(comment, vectors):
    return "".join(f"# {line}\n" for line in comment) + "\n" + "\n".join(vector.toml() for vector in vectors)


def whole():
    for length in (0, 1, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 5 * MIB - 1, 5 * MIB, 10 * MIB):
        content = {"hex": "2a" * length} if length < 2 else {"counter": length}
        yield Vector(f"whole of {length} bytes").whole("s3", "photos", "2026/cat.jpg", content)
    yield Vector("on Azure, wrapped by RSA-4096", wrapped=512).whole("azure", "photos", "2026/cat.jpg", {"counter": 40})
    yield Vector("wrapped by A256KW, in Unicode", "größe-42", 2, 40).whole("s3", "büro", "übersicht/ä b?.pdf", {"counter": 3})


def part():
    for number, length in ((1, 5 * MIB), (2, 0), (9_999, 5 * MIB + 65_537), (10_000, 1)):
        vector = Vector(f"part {number} of {length} bytes")
        vector.segment("part", [b"s3 part", b"photos", b"big.bin", b"upload-id.1", be(number, 4)], {"counter": length})
        yield vector


def block():
    for client, length in ((b"\0", 1), (b"000001", 65_537), (bytes(range(48)), 0)):
        vector = Vector(f"block of {length} bytes under an id of {len(client)}")
        name = block_id(client, False, 1_790_000_000_000, vector.salt())
        vector.segment("block", [b"azure block", b"photos", b"big.bin", name], {"counter": length})
        yield vector


def append():
    for index, offset, length in ((0, 0, 1), (1, 1, 0), (2, 1, 65_537), (49_999, 1 << 40, 4 * MIB)):
        vector = Vector(f"append {index} at {offset} of {length} bytes")
        vector.segment("append", [b"azure append", b"logs", b"today", be(index, 8), be(offset, 8)], {"counter": length},
                       after=length + 1728 - segment_size(length))
        yield vector


def multipart():
    sha512 = be(7, 1) + be(64, 2) + sha256(b"a") + sha256(b"b")
    composite = be(0x82, 1) + be(8, 2) + b"\1\2\3\4" + be(2, 4)
    for name, parts, fields in (
        ("S3, one part of 5 MiB", [(1, 5 * MIB)], b""),
        ("S3, 5 MiB and 3 bytes, with checksums", [(1, 5 * MIB), (2, 3)], sha512 + composite),
        ("S3, two parts with an odd byte each: the law's tightest case", [(1, 5 * MIB + 1), (2, 1)], b""),
        ("S3, parts 3, 7 and 10,000", [(3, 5 * MIB), (7, 6 * MIB + 5), (10_000, 0)], b""),
    ):
        vector, entries = Vector(name), []
        for number, length in parts:
            context = [b"s3 part", b"photos", b"big.bin", b"upload-id.1", be(number, 4)]
            entries.append((*vector.segment("part", context, {"counter": length}), number))
        yield vector.footer("s3", "photos", "big.bin", "upload-id.1", entries, fields)
    for name, lengths in (("Azure, no blocks", []), ("Azure, three blocks", [65_537, 1, 65_536])):
        vector, entries = Vector(name), []
        for number, length in enumerate(lengths, 1):
            context = [b"azure block", b"photos", b"big.bin", block_id(b"%06d" % number, False, 1_790_000_000_000 + number, vector.salt())]
            entries.append((*vector.segment("block", context, {"counter": length}), number))
        yield vector.footer("azure", "photos", "big.bin", None, entries)


def small():
    """The law and the small functions, each with its inputs."""
    lines = ["# The size law, and what is derived besides segments.", ""]
    for plain in (0, 1, 65_535, 65_536, 65_537, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB - 1, 10 * MIB, 50_000 * MIB - 1,
                  50_000 * MIB, 50_005 * MIB, 1 << 48):
        lines.append(f"[[law]]\nplain = {plain}\nstored = {law(plain)}\n")
    lines.append(f'[[dek_id]]\ndek = "{DEK.hex()}"\nid = "{dek_id(DEK).hex()}"\n')
    for url in (URL, "https://ACME.vault.azure.net:443/keys/Gate/", "https://hsm.managedhsm.azure.net/keys/gate"):
        lines.append(f'[[cmk_reference]]\nurl = "{url}"\nreference = "{cmk_reference(url).hex()}"\n')
    vector = Vector("small").whole("s3", "photos", "2026/cat.jpg", {"counter": 0})
    core = vector.stored[:136]
    segment, commitment, meta, alias = keys(DEK, "acme", core)
    context = [b"s3 object", b"photos", b"copies/cat.jpg"]
    md5 = be(1, 1) + be(16, 2) + hashlib.md5(b"").digest()
    sealed = metadata(meta, bytes(range(12)), "checksums", md5)
    lines.append(f'[core]\ntenant = "acme"\ndek = "{DEK.hex()}"\nbytes = "{core.hex()}"\ntext = "{text(core)}"\n'
                 f'segment_key = "{segment.hex()}"\ncommitment = "{commitment.hex()}"\nmetadata_key = "{meta.hex()}"\n'
                 f'alias_key = "{alias.hex()}"\n')
    lines.append('[alias]\ncontainer = "photos"\nname = "copies/cat.jpg"\n'
                 f'text = "{text(hmac.digest(alias, binding(context), "sha256"))}"\n')
    lines.append(f'[checksums]\nnonce = "{bytes(range(12)).hex()}"\nfields = "{md5.hex()}"\ntext = "{text(sealed)}"\n')
    salt = sha256(b"block id")
    for client, footer in ((b"\0", False), (b"000001", False), (bytes(range(48)), False), (bytes(6), True)):
        name = block_id(client, footer, 1_790_000_000_000, salt)
        lines.append(f'[[block_id]]\nclient = "{client.hex()}"\nfooter = {str(footer).lower()}\ntime_ms = 1790000000000\n'
                     f'salt = "{salt.hex()}"\nid = "{name.hex()}"\n')
    return "\n".join(lines)


FILES = {
    "whole.toml": lambda: file(["Whole objects: one segment and its padding."], list(whole())),
    "part.toml": lambda: file(["Parts of an S3 upload, each alone."], list(part())),
    "block.toml": lambda: file(["Azure blocks, each alone; the last field of the context is the upstream block id."], list(block())),
    "append.toml": lambda: file(["Append Blocks, each alone, with the padding to 1,728 bytes over the plaintext."], list(append())),
    "multipart.toml": lambda: file(["Multipart objects: segments, padding, footer. A footer's content is the table."], list(multipart())),
    "small.toml": small,
}


def make(folder):
    for name, write in FILES.items():
        with open(pathlib.Path(folder) / name, "x") as out:
            out.write(write())


def check(folder):
    for name in FILES:
        for vector in tomllib.loads((folder / name).read_text()).get("vector", []):
            dek, stored = bytes.fromhex(vector["dek"]), b""
            for row in vector["segment"]:
                header = b"".join(bytes.fromhex(row["header"][field]) for field, _ in HEADER)
                content, count = body(row["content"]), int(row["header"]["segments"], 16)
                context = [bytes.fromhex(field) for field in row["context"]]
                plain = int(row["header"]["plaintext_length"], 16)
                made, chunks = seal(dek, vector["tenant"], row["kind"], count, plain, header[40:72], context, header[136:], content)
                assert made == header and bytes_or_hash(chunks) == row["chunks"], (name, vector["name"])
                assert open_chunks(dek, vector["tenant"], header, chunks) == content
                halves = [chunks, header] if row["kind"] == "footer" else [header, chunks]
                stored += bytes(row["zeros_before"]) + b"".join(halves) + bytes(row["zeros_after"])
            assert len(stored) == vector["stored_length"] and sha256(stored).hex() == vector["stored_sha256"]
            print(f"{name}: {vector['name']}: ok")


if __name__ == "__main__":
    make(sys.argv[2]) if sys.argv[1] == "make" else check(pathlib.Path(__file__).parent)
