"""Another client writes to a blob while the gate is at it: between two of the requests that it makes of the store for one of its own
client's.

    azure_races.py PORTCULLIS DATA
"""

import contextlib
import datetime
import os

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, generate_blob_sas
from azure_between import AZURITE, MIB, before, gate, seen


@contextlib.contextmanager
def meanwhile(number, fits, what):
    """Does something once, before the store sees the request of this number, from 1, among those that fit."""
    count, done = 0, []

    def told(request):
        nonlocal count
        count += fits(request)
        if count == number and not done:
            done.append(True)
            what()

    before.append(told)
    try:
        yield
    finally:
        before.remove(told)
    assert done, "nobody came between"


def row(files, name, *parts):
    """An append blob of these blocks."""
    blob = files.get_blob_client(name)
    blob.create_append_blob()
    for part in parts:
        blob.append_block(part)
    return blob


def refused(what, *expected):
    try:
        what()
    except HttpResponseError as error:
        assert (error.status_code, error.error_code) == expected, (error.status_code, error.error_code, expected)
    else:
        raise AssertionError(f"not refused as {expected}")


def copies(files):
    """A copy of an append blob is of that blob alone, whoever comes between two of its steps: theirs stays their own."""
    size = 9 * MIB
    one, other = os.urandom(size), os.urandom(size)
    source = row(files, "source", *(one[at : at + 4 * MIB] for at in range(0, size, 4 * MIB)))
    second = row(files, "second", *(other[at : at + 4 * MIB] for at in range(0, size, 4 * MIB)))
    copy = files.get_blob_client("copy")
    steps = [("appendblock", 1), ("appendblock", 2), ("appendblock", 3), ("metadata", 1)]
    overtaken = (412, "TargetConditionNotMet")

    def of(step):
        return lambda request: request.command == "PUT" and "/copy?" in request.path and f"comp={step}" in request.path

    for step, number in steps:
        # As long as the copy is by then, or nobody would take the one for the other.
        begun = other[: min((number - 1) * 4 * MIB, size) if step == "appendblock" else size]
        parts = [begun[at : at + 4 * MIB] for at in range(0, len(begun), 4 * MIB)]
        with meanwhile(number, of(step), lambda: row(files, "copy", *parts)):
            refused(lambda: copy.start_copy_from_url(source.url), *overtaken)
        assert copy.download_blob().readall() == begun, (step, number)
        # Another copy, begun later and done earlier.
        with meanwhile(number, of(step), lambda: copy.start_copy_from_url(second.url)):
            refused(lambda: copy.start_copy_from_url(source.url), *overtaken)
        assert copy.download_blob().readall() == other, (step, number)
        with meanwhile(number, of(step), copy.delete_blob):
            refused(lambda: copy.start_copy_from_url(source.url), *overtaken)
        assert not copy.exists(), (step, number)
        with meanwhile(number, of(step), lambda: copy.upload_blob(b"whole", overwrite=True)):
            refused(lambda: copy.start_copy_from_url(source.url), *overtaken)
        assert copy.download_blob().readall() == b"whole", (step, number)
    # And where nobody does, it is made.
    copy.start_copy_from_url(source.url)
    assert copy.download_blob().readall() == one


def reads(files):
    """A range of a blob that is being appended to: looks are not disturbed by that, and what they found is not looked for again."""
    data = os.urandom(24 * MIB)
    parts = [data[at : at + MIB] for at in range(0, len(data), MIB)]
    log = row(files, "log", *parts)
    start = 20 * MIB + 5

    def pinned(request):
        return request.command == "GET" and request.headers.get("If-Match") is not None

    def look(request):
        return request.command == "GET" and request.headers.get("If-Match") is None

    def append():
        log.append_block(b"more")

    def read(expected=data, **conditions):
        seen.clear()
        assert log.download_blob(offset=start, length=100, **conditions).readall() == expected[start : start + 100]
        return [("pinned" if one["if-match"] else "free", one["status"]) for one in seen]

    calm = read()
    assert calm == [("free", 206)] * (len(calm) - 1) + [("pinned", 206)] and len(calm) > 2, calm
    # Before a look, or before the last read.
    for number, fits in ((2, look), (1, pinned)):
        with meanwhile(number, fits, append):
            asked = read()
        assert asked == calm[:-1] + [("pinned", 412), ("free", 206), ("pinned", 206)], asked
    # Twice in a row.
    with meanwhile(1, pinned, append), meanwhile(2, pinned, append):
        assert read() == calm[:-1] + [("pinned", 412), ("free", 206)] * 2 + [("pinned", 206)]
    # A condition that holds throughout is none that fails, and one that does no more is.
    with meanwhile(1, pinned, append):
        read(etag='"0x1"', match_condition=MatchConditions.IfModified)
    with meanwhile(1, pinned, append):
        refused(lambda: read(etag=log.get_blob_properties().etag, match_condition=MatchConditions.IfNotModified), 412, "ConditionNotMet")
    # Another blob in its place: what was found in the first is not taken for a place in it.
    other = os.urandom(24 * MIB)
    edges = [0, *range(MIB // 2, len(other), MIB), len(other)]
    with meanwhile(1, pinned, lambda: row(files, "log", *(other[at:end] for at, end in zip(edges, edges[1:])))):
        asked = read(other)
        assert asked.count(("pinned", 206)) == 2, asked
    with meanwhile(2, look, lambda: row(files, "log", data[:100])):
        refused(lambda: read(other), 416, "InvalidRange")


# The upstream account of `acme` once more, under other names.
AGAIN = f"""
[store.acme-again]
kind = "azure"
endpoint = "http://{AZURITE}/acme"
account = "acme"
account_key = {{ file = "secrets/acme-azurite" }}

[account.again]
store = "acme-again"
sealed_as = "acme"
keys = [{{ file = "secrets/acme-azure" }}]

[account.again.container."*"]
tenant = "acme"
"""


def itself(files):
    """A copy onto itself would be emptied before it is read, by whichever of its account's names."""
    log = row(files, "to itself", b"row ", b"by row")
    key = log.credential.account_key
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    sas = generate_blob_sas("acme", files.container_name, log.blob_name, account_key=key, permission="r", expiry=soon)
    url = log.url.replace("/acme/", "/again/")
    same = BlobClient.from_blob_url(url, {"account_name": "again", "account_key": key}, retry_total=0)
    refused(lambda: same.start_copy_from_url(f"{log.url}?{sas}"), 400, "UnsupportedHeader")
    assert log.download_blob().readall() == b"row by row"


with gate("races", AGAIN) as service:
    files = service.create_container("races")
    for step in (copies, reads, itself):
        step(files)
        print(step.__name__)
print("done")
