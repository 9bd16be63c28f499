"""How little of the store is asked for to read a range: through a proxy that counts, between a gate and the Azurite of a running
`portcullis dev --azure-port`.

    azure_reads.py PORTCULLIS DATA
"""

import os

from azure.storage.blob import BlobBlock
from azure_between import MIB, after, gate, seen


def reads(blob, start, count, expected, **options):
    """Reads a range and compares; what the store was asked for it."""
    seen.clear()
    got = blob.download_blob(offset=start, length=count, **options).readall()
    assert got == expected[start : start + count], (start, count)
    return list(seen)


def blocks(files):
    """A footer is read once, and then never again while the blob stays; a range costs itself and its block's header."""
    blob, data = files.get_blob_client("blocks"), os.urandom(5 * MIB)
    for number in range(5):
        blob.stage_block(f"{number}", data[number * MIB : (number + 1) * MIB])
    blob.commit_block_list([BlobBlock(f"{number}") for number in range(5)])
    first = reads(blob, 100, 10, data)
    assert len(first) >= 3, first  # as for a whole blob, the footer, the range
    for start, count, most in ((0, 10, 1), (100, 10, 1), (2 * MIB + 200_000, 10, 2), (MIB - 5, 10, 2), (0, 5 * MIB, 1)):
        asked = reads(blob, start, count, data)
        assert len(asked) <= most, (start, asked)
        assert sum(one["taken"] for one in asked) <= count * 1.01 + 2 * 65_552 + 6 * 704, (start, asked)
    # Another blob under the name: one question too many, and its own bytes.
    data = os.urandom(2 * MIB)
    for number in range(2):
        blob.stage_block(f"{number}", data[number * MIB : (number + 1) * MIB])
    blob.commit_block_list([BlobBlock(f"{number}") for number in range(2)])
    asked = reads(blob, MIB + 200_000, 10, data)
    assert 412 in [one["status"] for one in asked], asked
    assert len(reads(blob, MIB + 200_000, 10, data)) == 2
    whole = os.urandom(100_000)
    blob.upload_blob(whole, overwrite=True)
    assert reads(blob, 70_000, 10, whole)[0]["status"] == 412
    assert len(reads(blob, 70_000, 10, whole)) == 1
    # Metadata written changes the ETag, and nothing else.
    blob.upload_blob(data, overwrite=True)
    blob.set_blob_metadata({"a": "b"})
    assert reads(blob, 70_000, 10, data) and blob.get_blob_properties().metadata == {"a": "b"}


def rows(files):
    """A range near the end of an append blob does not cost all that lies before it."""
    blob, data = files.get_blob_client("row"), os.urandom(40 * MIB)
    blob.create_append_blob()
    for start in range(0, len(data), MIB):
        blob.append_block(data[start : start + MIB])
    for start, count in ((0, 10), (MIB, 10), (20 * MIB + 5, 100), (39 * MIB - 10, 20), (40 * MIB - 1, 1), (30 * MIB, 2 * MIB)):
        asked = reads(blob, start, count, data)
        taken = sum(one["taken"] for one in asked)
        # What the two systems hold of answers that were let go counts too.
        assert taken < 12 * MIB + count, (start, taken, asked)
    uneven = [1 + (number * number * 7919) % 200_000 for number in range(300)]
    data, blob = os.urandom(sum(uneven)), files.get_blob_client("uneven")
    blob.create_append_blob()
    at = 0
    for size in uneven:
        blob.append_block(data[at : at + size])
        at += size
    for start in range(0, len(data) - 1000, len(data) // 7):
        taken = sum(one["taken"] for one in reads(blob, start, 1000, data))
        assert taken < 14 * MIB, (start, taken)
    assert blob.download_blob().readall() == data


def looks(files):
    """A store that sends more than a look asks for is not listened to any longer."""
    blob, data = files.get_blob_client("looked for"), os.urandom(24 * MIB)
    blob.create_append_blob()
    for start in range(0, len(data), MIB):
        blob.append_block(data[start : start + MIB])
    zeros = bytes(96 * MIB)

    def endless(request, status, content):
        # Not the first read, which begins where a whole blob's would, nor the last, which is held to an ETag.
        is_look = request.command == "GET" and status == 206 and request.headers.get("If-Match") is None and seen
        return zeros if is_look else content

    after.append(endless)
    try:
        asked = reads(blob, 20 * MIB + 5, 100, data)
    finally:
        after.remove(endless)
    lied = [one for one in asked[1:] if one["if-match"] is None]
    assert lied, asked
    # A look is of 4 MiB and a header; what the two systems hold of answers that were let go counts too.
    assert all(one["taken"] < 12 * MIB for one in lied), lied


with gate("reads") as service:
    files = service.create_container("reads")
    for step in (blocks, rows, looks):
        step(files)
        print(step.__name__)
print("done")
