"""The SDK for Python, sync and async: every size, in one and in blocks, in parallel, with its own checks on, resumed, shared."""

import asyncio
import datetime
import hashlib

import world
from azure.core import MatchConditions
from azure.storage.blob import BlobBlock, BlobServiceClient, ContainerClient, ResourceTypes, generate_account_sas, generate_blob_sas, generate_container_sas
from azure.storage.blob.aio import ContainerClient as AioContainerClient
from world import BUCKET, MIB, content, has, holds, same

tls = {"connection_verify": world.CA_FILE} if world.CA_FILE else {}
credential = {"account_name": world.ACCESS_KEY, "account_key": world.SECRET_KEY}
service = BlobServiceClient(world.ENDPOINT, credential=credential, retry_total=0, **tls)
files = service.get_container_client(BUCKET)
# Around the gate's chunk, what it holds in memory, an Append Block, and the SDK's own blocks and single uploads.
SIZES = [0, 1, 65_535, 65_536, 65_537, 262_144, 262_145, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 20 * MIB]
in_blocks = {"max_single_put_size": 1 * MIB, "max_block_size": 2 * MIB + 7, "max_single_get_size": 1 * MIB, "max_chunk_get_size": 3 * MIB + 1}
small = ContainerClient(world.ENDPOINT, BUCKET, credential=credential, retry_total=0, **in_blocks, **tls)

for size in SIZES:
    data = content(size)
    for client, how in ((files, "one"), (small, "blocks")):
        for checks in (False, True, "crc64"):
            name = f"{how}/{size} {checks} ü"
            client.upload_blob(name, data, validate_content=checks, max_concurrency=4, metadata={"Size": str(size)})
            holds(client.download_blob(name, validate_content=checks, max_concurrency=4).readall() == data, name)
has("bytes: in one and in blocks, in parallel, MD5 and CRC-64 both ways")
listed = {blob.name: blob for blob in files.list_blobs(include=["metadata"])}
same({name: blob.size for name, blob in listed.items()}, {name: int(blob.metadata["Size"]) for name, blob in listed.items()}, "sizes in the list")
same(len(listed), 6 * len(SIZES), "how many are listed")
same(listed["one/65537 True ü"].content_settings.content_md5, hashlib.md5(content(65_537)).digest(), "the MD5 in the list")
has("sizes, MD5s and metadata in the list")

large = content(300 * MIB)
digest = hashlib.md5(large).digest()
blob = files.get_blob_client("large")
blob.upload_blob(large, max_concurrency=4)
got = hashlib.md5()
for chunk in blob.download_blob(max_concurrency=4).chunks():
    got.update(chunk)
same(got.digest(), digest, "300 MiB in blocks")
at_once = BlobServiceClient(world.ENDPOINT, credential=credential, retry_total=0, max_single_put_size=400 * MIB, max_single_get_size=400 * MIB, **tls)
once = at_once.get_blob_client(BUCKET, "large at once")
once.upload_blob(large)
got = hashlib.md5()
for chunk in once.download_blob().chunks():
    got.update(chunk)
same(got.digest(), digest, "300 MiB in one")
same(once.get_blob_properties().content_settings.content_md5, digest, "its MD5")
for start, count in ((0, 1), (65_535, 2), (100 * MIB - 3, 70_000), (300 * MIB - 1, 1), (4 * MIB, 8 * MIB)):
    for one in (blob, once):
        holds(one.download_blob(offset=start, length=count).readall() == large[start : start + count], "a range", start, count)
has("300 MiB both ways, ranges of it")
# A download that breaks off goes on at its offset, under the same ETag.
part = blob.download_blob(offset=0, length=10 * MIB)
etag = part.properties.etag
rest = blob.download_blob(offset=10 * MIB, etag=etag, match_condition=MatchConditions.IfNotModified)
whole = hashlib.md5(part.readall())
for chunk in rest.chunks():
    whole.update(chunk)
same(whole.digest(), digest, "a download that went on")
has("resumed")
del large

append = files.get_blob_client("append")
append.create_append_blob()
for number in range(5):
    append.append_block(content(100_000, number), validate_content=True)
append.upload_blob(content(9 * MIB), blob_type="AppendBlob", max_concurrency=1)
holds(append.download_blob().readall() == b"".join(content(100_000, number) for number in range(5)) + content(9 * MIB), "an append blob")
has("append")
copy = files.get_blob_client("copy")
same(copy.start_copy_from_url(blob.url)["copy_status"], "success", "copy")
same(copy.get_blob_properties().size, 300 * MIB, "the copy's size")
snapshot = copy.create_snapshot()
copy.stage_block("1", b"new")
copy.commit_block_list([BlobBlock("1")])
same(files.get_blob_client("copy", snapshot=snapshot).get_blob_properties().size, 300 * MIB, "a snapshot")
lease = copy.acquire_lease(15)
copy.upload_blob(b"leased", overwrite=True, lease=lease)
lease.release()
copy.set_blob_tags({"a": "1"})
same(copy.get_blob_tags(), {"a": "1"}, "tags")
has("copy, snapshot, lease, tags")

soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
types = ResourceTypes(service=True, container=True, object=True)
name, key = world.ACCESS_KEY, world.SECRET_KEY
for sas in (
    generate_account_sas(name, key, types, "rl", soon),
    generate_container_sas(name, BUCKET, account_key=key, permission="rl", expiry=soon),
    generate_blob_sas(name, BUCKET, "copy", account_key=key, permission="r", expiry=soon),
):
    reader = ContainerClient(world.ENDPOINT, BUCKET, credential=sas, retry_total=0, **tls)
    same(reader.download_blob("copy").readall(), b"leased", "through a SAS")
has("SAS of the account, the container, a blob")


async def asynchronous():
    async with AioContainerClient(world.ENDPOINT, BUCKET, credential=credential, retry_total=0, **in_blocks, **tls) as aio:
        bodies = {f"aio/{size}": content(size, 1) for size in SIZES}
        await asyncio.gather(*(aio.upload_blob(name, body, validate_content=True, max_concurrency=2) for name, body in bodies.items()))
        for name, body in bodies.items():
            download = await aio.download_blob(name, validate_content=True, max_concurrency=4)
            holds(await download.readall() == body, name)
        same({blob.name async for blob in aio.list_blobs(name_starts_with="aio/")}, set(bodies), "the list of aio")


asyncio.run(asynchronous())
has("aio")
