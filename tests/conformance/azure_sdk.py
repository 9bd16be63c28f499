"""The official Azure SDK, unmodified, against the gate of a running `portcullis dev --azure-port`, before Azurite.

    azure_sdk.py PORTCULLIS DATA
"""

import asyncio
import base64
import datetime
import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import (
    AccessPolicy,
    AccountSasPermissions,
    BlobBlock,
    BlobClient,
    BlobServiceClient,
    ContainerClient,
    ContentSettings,
    ResourceTypes,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)
from azure.storage.blob.aio import BlobServiceClient as AioServiceClient
from requests.exceptions import RequestException

PORTCULLIS, DATA = sys.argv[1], Path(sys.argv[2])
ENV = {}
for line in (DATA / "dev.env").read_text().splitlines():
    name, _, value = line.partition("=")
    ENV[name] = value.strip("'")
ACME = ENV["ACME_AZURE_CONNECTION_STRING"]
SOON = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
MARK = b"a plaintext that must not lie on the store's disk "


def content(size):
    """Bytes that begin with the mark, as far as they go, and that no other call gives."""
    return (MARK + os.urandom(max(0, size - len(MARK))))[:size]


def refused(work, status, code):
    try:
        work()
    except HttpResponseError as error:
        found = error.response.headers.get("x-ms-error-code")
        assert (error.status_code, found) == (status, code), (error.status_code, found)
        return
    raise AssertionError(f"{code}: nothing was refused")


def customer(*words):
    subprocess.run([PORTCULLIS, "dev-customer", "--data", DATA, *words], check=True, capture_output=True)


service = BlobServiceClient.from_connection_string(ACME, retry_total=0)
store = BlobServiceClient.from_connection_string(ENV["ACME_AZURITE_CONNECTION_STRING"], retry_total=0)
KEY = service.credential.account_key
files = service.create_container("files", metadata={"Purpose": "test"})


def whole_blobs():
    for size in (0, 1, 65_535, 65_536, 65_537, 262_144, 262_145, 5_242_880):
        data = content(size)
        blob = files.get_blob_client(f"sizes/{size} ü+%")
        blob.upload_blob(data, metadata={"CamelCase": "kept"}, content_settings=ContentSettings("text/x", content_language="de"))
        assert blob.download_blob().readall() == data, size
        assert blob.download_blob(validate_content=True).readall() == data, size
        seen = blob.get_blob_properties()
        assert (seen.size, seen.metadata) == (size, {"CamelCase": "kept"}), seen
        assert seen.content_settings.content_md5 == hashlib.md5(data).digest(), size
        assert (seen.content_settings.content_type, seen.content_settings.content_language) == ("text/x", "de")
        if size > 10:
            for start, count in ((0, 1), (size - 1, 1), (5, size - 10), (max(0, size - 70_000), 70_000)):
                part = blob.download_blob(offset=start, length=count).readall()
                assert part == data[start : start + count], (size, start, count)
        refused(lambda: blob.upload_blob(b"x"), 409, "BlobAlreadyExists")
    listed = {blob.name: blob for blob in files.list_blobs(name_starts_with="sizes/")}
    for size in (0, 65_537, 5_242_880):
        seen = listed[f"sizes/{size} ü+%"]
        assert seen.size == size and not seen.metadata, (size, seen.size)
    with_metadata = list(files.list_blobs(include=["metadata"]))
    assert all(blob.metadata == {"CamelCase": "kept"} for blob in with_metadata)
    folders = [entry.name for entry in files.walk_blobs()]
    assert folders == ["sizes/"], folders


def wrong_bodies():
    blob = files.get_blob_client("wrong")
    wrong = hashlib.md5(b"other").digest()
    headers = {"Content-MD5": base64.b64encode(wrong).decode()}
    refused(lambda: blob.upload_blob(content(100), headers=headers), 400, "Md5Mismatch")
    refused(lambda: blob.upload_blob(content(900_000), headers=headers), 400, "Md5Mismatch")
    both = headers | {"x-ms-content-crc64": base64.b64encode(bytes(8)).decode()}
    refused(lambda: blob.upload_blob(content(100), headers=both), 400, "BothCrc64AndMd5HeaderPresent")
    crc = {"x-ms-content-crc64": base64.b64encode(bytes(8)).decode()}
    refused(lambda: blob.upload_blob(content(300_000), headers=crc), 400, "Crc64Mismatch")
    refused(lambda: blob.upload_blob(b"x", metadata={"portcullis_core": "x"}), 400, "InvalidMetadata")
    refused(blob.get_blob_properties, 404, "BlobNotFound")
    good = content(9_000_000)
    blob.upload_blob(good, validate_content=True)
    assert blob.download_blob(validate_content=True).readall() == good
    for size in (0, 100, 9_000_000):
        good = content(size)
        blob.upload_blob(good, validate_content="crc64", overwrite=True)
        assert blob.download_blob(validate_content="crc64").readall() == good, size


def long_blobs():
    data = content(20_000_000)
    parallel = files.get_blob_client("parallel")
    parallel.upload_blob(data, max_concurrency=4)
    assert parallel.download_blob(max_concurrency=4).readall() == data
    at_once = BlobServiceClient.from_connection_string(ACME, max_single_put_size=64 << 20)
    blob = at_once.get_blob_client("files", "at once")
    blob.upload_blob(data)
    assert blob.download_blob().readall() == data
    seen = blob.get_blob_properties()
    assert seen.size == len(data) and seen.content_settings.content_md5 == hashlib.md5(data).digest()
    assert blob.get_block_list("all") == ([], []), "a blob in one piece has no blocks"
    # Whatever was put up before is gone, as with the service itself.
    blob.upload_blob(data[:9], overwrite=True)
    assert blob.download_blob().readall() == data[:9]


def blocks():
    blob = files.get_blob_client("blocks")
    parts = [content(size) for size in (10, 70_000, 1, 200_000)]
    ids = [f"{number:06}" for number in range(len(parts))]
    for name, part in zip(ids, parts):
        blob.stage_block(name, b"an attempt before")
        blob.stage_block(name, part, validate_content=True)
    _, waiting = blob.get_block_list("all")
    assert [(block.id, block.size) for block in waiting] == [(i, len(p)) for i, p in zip(ids, parts)], waiting
    order = [2, 0, 1, 3, 1]
    blob.commit_block_list([BlobBlock(ids[i]) for i in order], metadata={"a": "b"})
    whole = b"".join(parts[i] for i in order)
    assert blob.download_blob().readall() == whole
    for start in (0, 1, 11, 69_999, 70_011, len(whole) - 1):
        assert blob.download_blob(offset=start, length=70_000).readall() == whole[start : start + 70_000], start
    done, waiting = blob.get_block_list("all")
    assert [block.size for block in done] == [len(parts[i]) for i in order] and not waiting
    assert blob.get_blob_properties().size == len(whole)
    assert blob.get_blob_properties().content_settings.content_md5 is None, "nobody said one"
    # The next generation: some of this one's blocks, and new ones under the same ids.
    blob.stage_block(ids[0], b"new")
    again = [BlobBlock(ids[1]), BlobBlock(ids[0])]
    blob.commit_block_list(again, content_settings=ContentSettings(content_md5=hashlib.md5(b"claimed").digest()))
    assert blob.download_blob().readall() == parts[1] + b"new"
    assert blob.get_blob_properties().content_settings.content_md5 == hashlib.md5(b"claimed").digest()
    refused(lambda: blob.commit_block_list([BlobBlock(ids[3])]), 400, "InvalidBlockList")
    assert blob.download_blob().readall() == parts[1] + b"new"
    empty = files.get_blob_client("empty list")
    empty.commit_block_list([])
    assert empty.download_blob().readall() == b"" and empty.get_blob_properties().size == 0
    blob.stage_block("x" * 6, b"1")
    one = files.get_blob_client("ids")
    one.stage_block("x" * 48, b"1")
    refused(lambda: files.get_blob_client("long").stage_block("x" * 49, b"1"), 400, "OutOfRangeInput")
    many = files.get_blob_client("many")
    for number in range(300):
        many.stage_block(f"{number:03}", bytes([number % 256]))
    many.commit_block_list([BlobBlock(f"{number:03}") for number in range(300)])
    assert many.download_blob().readall() == bytes(number % 256 for number in range(300))


def as_many_blocks_as_may_be():
    """Azure's 50,000, one of which is the gate's footer."""
    blob = files.get_blob_client("one byte each")
    for name in "ab":
        blob.stage_block(name, name.encode())
    order = [BlobBlock("ab"[number % 3 == 0]) for number in range(49_999)]
    refused(lambda: blob.commit_block_list(order + [BlobBlock("a")]), 400, "BlockListTooLong")
    blob.commit_block_list(order)
    whole = "".join(block.id for block in order).encode()
    assert blob.get_blob_properties().size == len(whole)
    for start, count in ((0, 5), (25_000, 7), (49_990, 9)):
        assert blob.download_blob(offset=start, length=count).readall() == whole[start : start + count], start


def while_it_is_committed():
    """A block that is put up again while a list that names it is committed: the one or the other is taken, and the blob opens. The new
    one is in the blob, waits, or is gone with what was put up and not named."""
    with ThreadPoolExecutor(2) as both:
        for turn in range(20):
            blob = files.get_blob_client(f"raced/{turn}")
            one, two = content(70_000), content(50_000 + turn)
            blob.stage_block("a", one)
            done = [both.submit(blob.commit_block_list, [BlobBlock("a")]), both.submit(blob.stage_block, "a", two)]
            for work in done:
                work.result()
            first = blob.download_blob().readall()
            assert first in (one, two), (turn, len(first))
            waiting = [block.size for block in blob.get_block_list("uncommitted")[1]]
            assert waiting in ([], [len(two)]), (turn, waiting)
            blob.commit_block_list([BlobBlock("a")])
            assert blob.download_blob().readall() == (two if waiting else first), turn


def over_what_was_there():
    """A long Put Blob goes up as a block: what waits under the name, or is there already, must neither hinder it nor be lost to it."""
    long = content(600_000)
    for size in (1, 6, 20, 48):
        blob = files.get_blob_client(f"waiting/{size}")
        blob.stage_block("i" * size, b"waits")
        blob.upload_blob(long)
        assert blob.download_blob().readall() == long, size
        assert blob.get_blob_properties().content_settings.content_md5 == hashlib.md5(long).digest(), size
        assert blob.get_block_list("uncommitted")[1] == [], size
        blob.stage_block("any length", b"x")
        blob.commit_block_list([BlobBlock("any length")])
        assert blob.download_blob().readall() == b"x", size
    # What is refused leaves nothing behind that would refuse the client's own blocks.
    blob = files.get_blob_client("refused")
    blob.upload_blob(b"was there")
    refused(lambda: blob.upload_blob(long), 409, "BlobAlreadyExists")
    other = {"etag": '"0x1"', "match_condition": MatchConditions.IfNotModified}
    refused(lambda: blob.upload_blob(long, overwrite=True, **other), 412, "ConditionNotMet")
    refused(lambda: files.get_blob_client("not there").upload_blob(long, overwrite=True, **other), 412, "ConditionNotMet")
    crc = {"x-ms-content-crc64": base64.b64encode(bytes(8)).decode()}
    refused(lambda: blob.upload_blob(long, overwrite=True, headers=crc), 400, "Crc64Mismatch")
    blob.stage_block("short", b"x")
    assert blob.download_blob().readall() == b"was there"
    etag = blob.get_blob_properties().etag
    blob.upload_blob(long, overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified)
    assert blob.download_blob().readall() == long
    row = files.get_blob_client("was a row")
    row.create_append_blob()
    row.append_block(b"row")
    row.upload_blob(long, overwrite=True)
    assert row.download_blob().readall() == long


def appended():
    blob = files.get_blob_client("append")
    blob.create_append_blob(metadata={"a": "b"})
    assert blob.get_blob_properties().size == 0 and blob.download_blob().readall() == b""
    parts = [content(size) for size in (6, 100_000, 1, 4 << 20)]
    offset = 0
    for number, part in enumerate(parts):
        said = blob.append_block(part, validate_content=True)
        assert (int(said["blob_append_offset"]), said["blob_committed_block_count"]) == (offset, number + 1)
        offset += len(part)
    whole = b"".join(parts)
    assert blob.download_blob().readall() == whole
    for start, count in ((0, 3), (5, 2), (100_005, 2), (100_006, 100_000), (len(whole) - 1, 1)):
        assert blob.download_blob(offset=start, length=count).readall() == whole[start : start + count], start
    assert blob.get_blob_properties().size == len(whole)
    assert [entry.size for entry in files.list_blobs(name_starts_with="append")] == [len(whole)]
    refused(lambda: blob.append_block(b"x", appendpos_condition=3), 412, "AppendPositionConditionNotMet")
    refused(lambda: blob.append_block(b"x", maxsize_condition=len(whole)), 412, "MaxBlobSizeConditionNotMet")
    blob.append_block(b"x", appendpos_condition=len(whole), maxsize_condition=len(whole) + 1)
    refused(lambda: blob.append_block(content((4 << 20) + 1)), 413, "RequestBodyTooLarge")
    assert blob.download_blob().readall() == whole + b"x"


def described():
    blob = files.get_blob_client("described")
    data = content(1000)
    blob.upload_blob(data, metadata={"One": "1"})
    blob.set_blob_metadata({"Two": "2"})
    assert blob.get_blob_properties().metadata == {"Two": "2"} and blob.download_blob().readall() == data
    snapshot = blob.create_snapshot()
    named = blob.create_snapshot(metadata={"Three": "3"})
    blob.upload_blob(b"later", overwrite=True)
    for taken, metadata in ((snapshot, {"Two": "2"}), (named, {"Three": "3"})):
        old = files.get_blob_client("described", snapshot=taken)
        assert old.download_blob().readall() == data and old.get_blob_properties().metadata == metadata
    md5 = hashlib.md5(b"claimed").digest()
    blob.set_http_headers(ContentSettings(content_type="text/y", content_md5=md5))
    seen = blob.get_blob_properties().content_settings
    assert (seen.content_type, seen.content_md5) == ("text/y", md5)
    blob.set_http_headers(ContentSettings(content_type="text/z"))
    assert blob.get_blob_properties().content_settings.content_md5 is None
    blob.set_blob_tags({"color": "red"})
    assert blob.get_blob_tags() == {"color": "red"}
    assert [found.name for found in service.find_blobs_by_tags("\"color\"='red'")] == ["described"]
    blob.set_standard_blob_tier("Cool")
    assert blob.get_blob_properties().blob_tier == "Cool"
    lease = blob.acquire_lease(15)
    refused(lambda: blob.upload_blob(b"x", overwrite=True), 412, "LeaseIdMissing")
    blob.set_blob_metadata({"a": "b"}, lease=lease)
    blob.upload_blob(b"with the lease", overwrite=True, lease=lease)
    lease.release()
    etag = blob.get_blob_properties().etag
    same, other = MatchConditions.IfNotModified, MatchConditions.IfModified
    refused(lambda: blob.download_blob(etag='"0x1"', match_condition=same), 412, "ConditionNotMet")
    refused(lambda: blob.download_blob(etag=etag, match_condition=other), 304, "ConditionNotMet")
    blob.upload_blob(b"as it was", overwrite=True, etag=etag, match_condition=same)
    refused(lambda: blob.download_blob(offset=9, length=1), 416, "InvalidRange")
    blob.delete_blob(delete_snapshots="include")


def copied():
    data, long = content(1000), content(3_000_000)
    source, blob = files.get_blob_client("source"), files.get_blob_client("source of blocks")
    source.upload_blob(data, metadata={"Color": "Red"})
    for number in range(3):
        blob.stage_block(f"{number}", long[number * 1_000_000 : (number + 1) * 1_000_000])
    blob.commit_block_list([BlobBlock(f"{number}") for number in range(3)])
    sas = generate_blob_sas("acme", "files", "source", account_key=KEY, permission="r", expiry=SOON)
    copy = files.get_blob_client("copy")
    assert copy.start_copy_from_url(source.url)["copy_status"] == "success"
    seen = copy.get_blob_properties()
    assert (seen.copy.source, seen.copy.progress, seen.metadata) == (source.url, "1000/1000", {"Color": "Red"})
    assert copy.download_blob().readall() == data and seen.content_settings.content_md5 == hashlib.md5(data).digest()
    for name, origin, options in (
        ("copy of a copy", copy.url, {"metadata": {"a": "b"}}),
        ("at once", f"{source.url}?{sas}", {"requires_sync": True}),
    ):
        target = files.get_blob_client(name)
        target.start_copy_from_url(origin, **options)
        assert target.download_blob().readall() == data, name
    target = files.get_blob_client("copy of blocks")
    target.start_copy_from_url(blob.url)
    assert target.download_blob().readall() == long
    assert target.download_blob(offset=999_990, length=20).readall() == long[999_990:1_000_010]
    target.stage_block("9", b"tail")
    target.commit_block_list([BlobBlock("1"), BlobBlock("9")])
    assert target.download_blob().readall() == long[1_000_000:2_000_000] + b"tail"
    target = files.get_blob_client("from url")
    target.upload_blob_from_url(f"{source.url}?{sas}")
    assert target.download_blob().readall() == data
    target.stage_block_from_url("1", f"{source.url}?{sas}", source_offset=10, source_length=500)
    target.commit_block_list([BlobBlock("1")])
    assert target.download_blob().readall() == data[10:510]
    # To another tenant: opened and sealed anew, with the source's own permission.
    globex = BlobServiceClient.from_connection_string(ENV["GLOBEX_AZURE_CONNECTION_STRING"], retry_total=0)
    theirs = globex.create_container("theirs").get_blob_client("given")
    refused(lambda: theirs.start_copy_from_url(source.url), 403, "CannotVerifyCopySource")
    theirs.start_copy_from_url(f"{source.url}?{sas}")
    assert theirs.download_blob().readall() == data and theirs.get_blob_properties().metadata == {"Color": "Red"}
    refused(lambda: theirs.start_copy_from_url(ENV["AZURITE_ENDPOINT"] + "/acme/files/source"), 403, "CannotVerifyCopySource")
    rows_copied(globex)


def rows_copied(globex):
    """Append blobs are opened, and appended anew, in blocks of 4 MiB."""
    rows = files.get_blob_client("rows to copy")
    rows.create_append_blob(metadata={"Color": "Red"}, content_settings=ContentSettings("text/log"))
    parts = [content(size) for size in (6, 70_000, 4 << 20, 1)]
    whole = b"".join(parts)
    for part in parts:
        rows.append_block(part)
    copy = files.get_blob_client("copy of rows")
    copy.upload_blob(b"in its place before")
    said = copy.start_copy_from_url(rows.url)
    assert said["copy_status"] == "success" and str(UUID(said["copy_id"], version=4)) == said["copy_id"], said
    seen = copy.get_blob_properties()
    assert (seen.size, seen.blob_type, seen.metadata) == (len(whole), "AppendBlob", {"Color": "Red"}), seen
    assert seen.content_settings.content_type == "text/log" and seen.append_blob_committed_block_count == 2, seen
    assert copy.download_blob().readall() == whole
    assert copy.download_blob(offset=(4 << 20) - 5, length=10).readall() == whole[(4 << 20) - 5 : (4 << 20) + 5]
    copy.append_block(b"more")
    assert copy.download_blob().readall() == whole + b"more" and rows.download_blob().readall() == whole
    assert "portcullis_pending" not in store.get_container_client("files").get_blob_client("copy of rows").get_blob_properties().metadata
    # Of one itself: it would be emptied first. Of its snapshot: what it was before.
    refused(lambda: copy.start_copy_from_url(copy.url), 400, "UnsupportedHeader")
    taken = copy.create_snapshot()["snapshot"]
    copy.append_block(b" and more")
    copy.start_copy_from_url(f"{copy.url}?snapshot={taken}", metadata={"a": "b"})
    assert copy.download_blob().readall() == whole + b"more" and copy.get_blob_properties().metadata == {"a": "b"}
    empty = files.get_blob_client("empty rows")
    empty.create_append_blob()
    copy.start_copy_from_url(empty.url)
    assert copy.download_blob().readall() == b""
    # What is there is held to the client's conditions and lease, and is as it was where they do not hold.
    copy.append_block(b"held")
    other = {"etag": '"0x1"', "match_condition": MatchConditions.IfNotModified}
    refused(lambda: copy.start_copy_from_url(rows.url, **other), 412, "ConditionNotMet")
    refused(lambda: copy.start_copy_from_url(rows.url, source_etag='"0x1"', source_match_condition=MatchConditions.IfNotModified), 412, "SourceConditionNotMet")
    lease = copy.acquire_lease(15)
    refused(lambda: copy.start_copy_from_url(rows.url), 412, "LeaseIdMissing")
    assert copy.download_blob().readall() == b"held"
    copy.start_copy_from_url(rows.url, destination_lease=lease)
    assert copy.download_blob().readall() == whole
    lease.release()
    sas = generate_blob_sas("acme", "files", "rows to copy", account_key=KEY, permission="r", expiry=SOON)
    theirs = globex.get_blob_client("theirs", "rows")
    theirs.start_copy_from_url(f"{rows.url}?{sas}", seal_destination_blob=True)
    assert theirs.download_blob().readall() == whole and theirs.get_blob_properties().metadata == {"Color": "Red"}
    # One that its gate did not come to the end of: nothing tells from its bytes, so it is marked, and is not taken for the whole.
    inside = store.get_container_client("files").get_blob_client("copy of rows")
    inside.set_blob_metadata({"portcullis_pending": "1"})
    pending = (409, "PendingCopyOperation")
    refused(copy.download_blob, *pending)
    refused(lambda: copy.download_blob(offset=0, length=1), *pending)
    refused(lambda: copy.append_block(b"x"), *pending)
    refused(lambda: files.get_blob_client("of pending").start_copy_from_url(copy.url), *pending)
    copy.set_blob_metadata({"c": "d"})
    refused(copy.download_blob, *pending)
    assert "copy of rows" in [entry.name for entry in files.list_blobs(name_starts_with="copy of")]
    copy.start_copy_from_url(rows.url)
    assert copy.download_blob().readall() == whole


def shared():
    name = "sizes/65537 ü+%"
    sas = generate_container_sas("acme", "files", account_key=KEY, permission="rl", expiry=SOON)
    reader = ContainerClient.from_container_url(f"{files.url}?{sas}", retry_total=0)
    assert len(list(reader.list_blobs())) > 5
    assert len(reader.get_blob_client(name).download_blob().readall()) == 65_537
    refused(lambda: reader.get_blob_client(name).delete_blob(), 403, "AuthorizationPermissionMismatch")
    files.set_container_access_policy({"reading": AccessPolicy(permission="r", expiry=SOON)})
    sas = generate_blob_sas("acme", "files", name, account_key=KEY, policy_id="reading")
    blob = BlobClient.from_blob_url(f"{files.get_blob_client(name).url}?{sas}", retry_total=0)
    assert len(blob.download_blob().readall()) == 65_537
    refused(blob.delete_blob, 403, "AuthorizationPermissionMismatch")
    files.set_container_access_policy({})
    refused(blob.download_blob, 403, "AuthenticationFailed")
    sas = generate_blob_sas("acme", "files", "new", account_key=KEY, permission="c", expiry=SOON)
    blob = BlobClient.from_blob_url(f"{files.get_blob_client('new').url}?{sas}", retry_total=0)
    blob.upload_blob(b"1", overwrite=True)
    refused(lambda: blob.upload_blob(b"2", overwrite=True), 403, "AuthorizationPermissionMismatch")
    everything = ResourceTypes(service=True, container=True, object=True)
    sas = generate_account_sas("acme", KEY, everything, AccountSasPermissions(read=True, list=True), SOON)
    reader = BlobServiceClient(service.url, credential=sas, retry_total=0)
    assert [entry.name for entry in reader.list_containers()] == ["files"]
    refused(lambda: reader.delete_container("files"), 403, "AuthorizationPermissionMismatch")
    wrong = BlobServiceClient(service.url, credential={"account_name": "acme", "account_key": "A" * 64}, retry_total=0)
    refused(lambda: list(wrong.list_containers()), 403, "AuthenticationFailed")
    refused(lambda: list(BlobServiceClient(service.url, retry_total=0).list_containers()), 401, "NoAuthenticationInformation")


def batched():
    for number in range(3):
        files.upload_blob(f"batch/{number}", b"x")
    answers = list(files.set_standard_blob_tier_blobs("Hot", "batch/0", "batch/1"))
    assert [answer.status_code for answer in answers] == [200, 200]
    answers = list(files.delete_blobs("batch/0", "batch/1", "batch/none", raise_on_any_failure=False))
    assert [answer.status_code for answer in answers] == [202, 202, 404], [answer.status_code for answer in answers]
    assert [entry.name for entry in files.list_blobs(name_starts_with="batch/")] == ["batch/2"]


def impossible():
    blob = files.get_blob_client("impossible")
    refused(lambda: blob.create_page_blob(512), 400, "UnsupportedHeader")
    files.upload_blob("impossible", b"a,b\n")
    refused(lambda: blob.query_blob("SELECT * FROM BlobStorage").readall(), 400, "UnsupportedQueryParameter")


async def asynchronous():
    async with AioServiceClient.from_connection_string(ACME) as aio:
        container = aio.get_container_client("files")
        data = {f"aio/{number}": content(100_000 * number) for number in range(8)}
        await asyncio.gather(*(container.upload_blob(name, body) for name, body in data.items()))
        for name, body in data.items():
            download = await container.download_blob(name)
            assert await download.readall() == body, name


def hostile():
    """What the store changed is not served."""
    inside = store.get_container_client("files")

    def swap(name, change):
        blob = inside.get_blob_client(name)
        stored, seen = blob.download_blob().readall(), blob.get_blob_properties()
        blob.upload_blob(change(stored), metadata=seen.metadata, overwrite=True)

    def corrupt(blob):
        try:
            blob.download_blob().readall()
        except HttpResponseError as error:
            # No response: it was cut off on the way.
            found = error.response is not None and error.response.headers.get("x-ms-error-code")
            assert found in (False, "EncryptedBlobCorrupted", "BlobNotEncrypted"), (blob.blob_name, found)
            return
        except RequestException:
            return  # reset while the answer was read
        raise AssertionError(f"{blob.blob_name} was served")

    for name, change in (
        ("bit", lambda stored: stored[:-1] + bytes([stored[-1] ^ 1])),
        ("core", lambda stored: stored[:50] + bytes([stored[50] ^ 1]) + stored[51:]),
        ("cut", lambda stored: stored[:-1]),
        ("plain", lambda stored: b"x" * len(stored)),
        ("short", lambda stored: b"plaintext"),
    ):
        files.upload_blob(name, content(1000))
        swap(name, change)
        corrupt(files.get_blob_client(name))
    # Another blob's bytes and metadata under this name.
    files.upload_blob("one", content(100))
    files.upload_blob("two", content(100))
    one, two = inside.get_blob_client("one"), inside.get_blob_client("two")
    two.upload_blob(one.download_blob().readall(), metadata=one.get_blob_properties().metadata, overwrite=True)
    corrupt(files.get_blob_client("two"))
    # A blob of blocks, its metadata gone: nothing is lost; its footer swapped: nothing is served.
    data = content(300_000)
    blob = files.get_blob_client("stripped")
    blob.stage_block("1", data[:100_000])
    blob.stage_block("2", data[100_000:])
    blob.commit_block_list([BlobBlock("1"), BlobBlock("2")])
    inside.get_blob_client("stripped").set_blob_metadata({})
    assert blob.download_blob().readall() == data and blob.get_blob_properties().size == len(data)
    swap("stripped", lambda stored: stored[:-2000] + bytes([stored[-2000] ^ 1]) + stored[-1999:])
    corrupt(blob)
    # A block of an earlier version in the place of the one of now: same name, same id, same length.
    blob = files.get_blob_client("spliced")
    parts, held = [content(100_000) for _ in range(4)], []
    for old_or_new in (parts[:2], parts[2:]):
        for name, part in zip("12", old_or_new):
            blob.stage_block(name, part)
        blob.commit_block_list([BlobBlock("1"), BlobBlock("2")])
        inside_now = inside.get_blob_client("spliced")
        sizes = [block.size for block in inside_now.get_block_list("committed")[0]]
        held.append((inside_now.download_blob().readall(), sizes, inside_now.get_blob_properties().metadata))
    (before, sizes, _), (now, same_sizes, metadata) = held
    assert sizes == same_sizes, "the blocks would not fit"
    inside.get_blob_client("spliced").upload_blob(before[: sizes[0]] + now[sizes[0] :], metadata=metadata, overwrite=True)
    corrupt(blob)
    inside.get_blob_client("spliced").upload_blob(now, metadata=metadata, overwrite=True)
    assert blob.download_blob().readall() == parts[2] + parts[3]
    # An append blob that lost its first block, and one that was cut at a block's end, which is not found.
    blob = files.get_blob_client("row")
    blob.create_append_blob()
    for part in (b"one ", b"two "):
        blob.append_block(part)
    stored = inside.get_blob_client("row").download_blob().readall()
    inside.delete_blob("row")
    inside.get_blob_client("row").create_append_blob()
    inside.get_blob_client("row").append_block(stored[len(stored) // 2 :])
    corrupt(blob)
    inside.get_blob_client("row").create_append_blob()
    inside.get_blob_client("row").append_block(stored[: len(stored) // 2])
    assert blob.download_blob().readall() == b"one "


def sealed_on_disk():
    store.get_container_client("files").upload_blob("in clear", MARK)
    scanned, found = 0, 0
    for path in (DATA / "azurite" / "blobs").rglob("*"):
        if path.is_file():
            there = path.read_bytes()
            scanned, found = scanned + len(there), found + there.count(MARK[:20])
    # The one that was put there without the gate, which shows that it is all looked at.
    assert found == 1 and scanned > 40_000_000, (found, scanned)


def final_word():
    """The customer says no: nothing is read, written or listed, in Azure's own words; and yes again."""
    blob = files.get_blob_client("sizes/65537 ü+%")
    customer("acme", "disable-key")
    limit = datetime.datetime.now() + datetime.timedelta(seconds=30)
    while datetime.datetime.now() < limit:
        try:
            blob.get_blob_properties()
        except HttpResponseError as error:
            assert error.status_code == 403, error
            break
    no = (403, "KeyVaultEncryptionKeyNotFound")
    refused(blob.download_blob, *no)
    refused(lambda: files.upload_blob("after", b"x"), *no)
    refused(lambda: list(files.list_blobs()), *no)
    refused(lambda: blob.stage_block("1", b"x"), *no)
    refused(lambda: blob.set_blob_metadata({}), *no)
    customer("acme", "enable-key")
    while datetime.datetime.now() < limit + datetime.timedelta(seconds=30):
        try:
            assert len(blob.download_blob().readall()) == 65_537
            return
        except HttpResponseError:
            pass
    raise AssertionError("the key is enabled, and nothing is served")


for step in (
    whole_blobs,
    wrong_bodies,
    long_blobs,
    blocks,
    as_many_blocks_as_may_be,
    while_it_is_committed,
    over_what_was_there,
    appended,
    described,
    copied,
    shared,
    batched,
    impossible,
):
    step()
    print(step.__name__)
asyncio.run(asynchronous())
for step in (hostile, sealed_on_disk, final_word):
    step()
    print(step.__name__)
print("done")
