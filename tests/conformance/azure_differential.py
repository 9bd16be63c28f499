"""One list of requests (azure_table.py), to an Azurite as it is and to the gate before it: the answers are the same, but for what
azure_differential.allowed publishes.

    azure_differential.py PORTCULLIS DATA [NAME …]

DATA is that of a running `portcullis dev --azure-port`; the bare side is another account of the same Azurite. With names, only
the requests whose name begins with one are compared; all are sent. Each difference is a line, `request | what | bare | gate`, and each
line of the published list a pattern for such lines and its reason. A pattern that nothing matches any more fails the run too.
"""

import base64
import datetime
import difflib
import re
import sys
import time
import xml.etree.ElementTree
from pathlib import Path
from urllib.parse import quote

import azure_table
from azure.storage.blob import generate_account_sas, generate_blob_sas, generate_container_sas
from azure_raw import Side

HERE, DATA, NAMES = Path(__file__).resolve().parent, Path(sys.argv[2]), tuple(sys.argv[3:])
# Of the connection, not of the answer.
CONNECTION = {"connection", "keep-alive", "transfer-encoding", "date"}
# Of any date, whatever it is; and what no two answers share.
GENERATED = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "DATE"),
    (re.compile(r'"?0x[0-9A-F]{15,16}"?'), "ETAG"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
]
GIVEN = {azure_table.NO_LEASE, azure_table.PAST, azure_table.FUTURE, *azure_table.LEASES}


def plain(side, text):
    """The text without what differs between any two answers of any two accounts."""
    text = text.replace(side.endpoint, "ENDPOINT").replace(side.account, "ACCOUNT").replace(side.address, "ADDRESS")
    for pattern, kind in GENERATED:
        text = pattern.sub(lambda found: found[0] if found[0] in GIVEN else kind, text)
    return text


def sas(side, target, kind, options):
    options = dict(options)
    expiry, start, wrong = options.pop("expiry", 3600), options.pop("start", None), options.pop("wrong", False)
    now = datetime.datetime.now(datetime.timezone.utc)
    moment = lambda seconds: None if seconds is None else now + datetime.timedelta(seconds=seconds)  # noqa: E731
    options |= {"expiry": moment(expiry), "start": moment(start)}
    key = base64.b64encode(side.key).decode()
    if kind == "account":
        types, services = options.pop("types", "sco"), options.pop("services", "b")
        token = generate_account_sas(side.account, key, types, options.pop("permission"), services=services, **options)
    elif kind == "container":
        token = generate_container_sas(side.account, "files", account_key=key, **options)
    else:
        token = generate_blob_sas(side.account, "files", options.pop("blob"), account_key=key, **options)
    if wrong:
        token = re.sub("sig=[^&]*", "sig=AAAA", token)
    return f"{target}{'&' if '?' in target else '?'}{token}"


def batch(side, inner):
    parts = []
    for number, (method, target, headers) in enumerate(inner):
        head = side.signed(method, f"/{side.account}{target}", dict(headers) | {"Content-Length": "0"})
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        parts.append(f"--batch_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {number}\r\n\r\n{method} /{side.account}{target} HTTP/1.1\r\n{lines}\r\n")
    return ("".join(parts) + "--batch_1--\r\n").encode()


def ask(side, method, target, headers=(), body=b"", options=None):
    options = options or {}

    def fill(text, how=str):
        return re.sub(r"\{(\w+)\}", lambda name: how(side.variables.get(name[1], f"no-{name[1]}")), text)

    target, headers = fill(target, quote), {name: value if value is None else fill(value) for name, value in dict(headers).items()}
    if "sas" in options:
        target = sas(side, target, *options["sas"])
    if "batch" in options:
        headers, body = {"Content-Type": "multipart/mixed; boundary=batch_1"} | headers, batch(side, options["batch"])
    status, head, answer = side.ask(method, target, headers, body, signed="sas" not in options and not options.get("raw"))
    for variable, what in options.get("save", {}).items():
        side.variables[variable] = what(answer) if callable(what) else head.get(what, side.variables.get(variable, "none"))
    return status, head, answer


def tree(root, path=""):
    """An XML document as lines: path, attributes and text of each element, in their order."""
    here = f"{path}/{root.tag}"
    yield f"{here} {' '.join(f'{name}={value}' for name, value in sorted(root.attrib.items()))} {(root.text or '').strip() if not len(root) else ''}".strip()
    for child in root:
        yield from tree(child, here)


def by_age(root):
    """Puts a listed blob behind its snapshots, as Azure lists them: Azurite does so in the order of its own writing."""
    for blobs in root.iter("Blobs"):
        # A stable sort, within one name: the order of names is compared.
        names = {name: place for place, name in reversed(list(enumerate(blob.findtext("Name") for blob in blobs)))}
        blobs[:] = sorted(blobs, key=lambda blob: (names[blob.findtext("Name")], blob.findtext("Snapshot") or "~"))


def parts(side, answer, method):
    """What of an answer is compared, by name."""
    status, head, body = answer
    found = {"status": str(status)}
    for name, value in head.items():
        if name in CONNECTION:
            continue
        # Azurite sends most documents in chunks, the gate with their length.
        if name == "content-length" and (method != "HEAD" and status != 206 and head.get("content-type", "").startswith(("application/xml", "multipart"))):
            continue
        found[f"header {name}"] = "there" if name == "x-ms-request-id" else plain(side, value)
    if head.get("content-type", "").startswith("application/xml") and body.lstrip(b"\xef\xbb\xbf").startswith(b"<?xml"):
        root = xml.etree.ElementTree.fromstring(body.lstrip(b"\xef\xbb\xbf"))
        by_age(root)
        if root.tag == "Error":
            found["error code"] = root.findtext("Code") or ""
            found["error message"] = (root.findtext("Message") or "").splitlines()[0] if root.findtext("Message") else ""
        else:
            found["document"] = plain(side, "\n".join(tree(root)))
    elif head.get("content-type", "").startswith("multipart/mixed"):
        codes = [f"{found[1]}" for found in re.finditer(rb"HTTP/1.1 (\d+)", body)]
        ids = re.findall(rb"Content-ID: *(\d+)", body)
        errors = re.findall(rb"x-ms-error-code: *(\w+)", body)
        found["batch"] = f"{codes} {ids} {errors}"
    else:
        found["body"] = f"{len(body)} bytes, {body[:200]!r}"
    return found


def differences(name, bare, gate):
    # Answers of two kinds share nothing else.
    for what in sorted(bare.keys() | gate.keys()) if bare["status"] == gate["status"] else ["status", "error code"]:
        one, other = bare.get(what, "-"), gate.get(what, "-")
        if one == other:
            continue
        if what == "document":
            lines = list(difflib.ndiff(one.splitlines(), other.splitlines()))
            one, other = ("; ".join(line[2:] for line in lines if line.startswith(sign)) or "-" for sign in "-+")
        yield f"{name} | {what} | {one} | {other}"


def main():
    began = time.monotonic()
    environment = dict(line.split("=", 1) for line in (DATA / "dev.env").read_text().splitlines() if line)
    bare, gate = (Side(environment[name].strip("'")) for name in ("GLOBEX_AZURITE_CONNECTION_STRING", "ACME_AZURE_CONNECTION_STRING"))
    for side in (bare, gate):
        side.variables |= {"endpoint": side.endpoint, "account": side.account}
    lines = (HERE / "azure_differential.allowed").read_text().splitlines()
    allowed = {}
    for line in lines:
        if line and not line.startswith("#"):
            pattern, separator, reason = line.partition("   # ")
            assert separator and reason, f"no reason: {line}"
            allowed[re.compile(pattern.strip())] = 0
    unexplained, count, names = [], 0, set()
    for name, method, target, *rest in azure_table.requests():
        assert name not in names, f"twice: {name}"
        names.add(name)
        answers = [parts(side, ask(side, method, target, *rest), method) for side in (bare, gate)]
        if NAMES and not name.startswith(NAMES):
            continue
        count += 1
        for line in differences(name, *answers):
            reasons = [pattern for pattern in allowed if pattern.fullmatch(line)]
            for pattern in reasons:
                allowed[pattern] += 1
            if not reasons:
                unexplained.append(line)
    print("\n".join(unexplained))
    stale = [] if NAMES else [pattern.pattern for pattern, used in allowed.items() if not used]
    for pattern in stale:
        print(f"nothing is like this any more: {pattern}")
    print(f"{count} requests in {time.monotonic() - began:.0f} s, {len(unexplained)} differences that nobody explained, {sum(allowed.values())} that are published")
    if unexplained or stale:
        sys.exit(1)
    print("done")


main()
