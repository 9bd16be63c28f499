"""boto3 with its managed transfers: several threads, multipart, ranged downloads."""

from concurrent.futures import ThreadPoolExecutor

import boto3
import world
from boto3.s3.transfer import TransferConfig
from world import BUCKET, MIB, PREFIX, has, holds, same

s3 = world.judge()


def there_and_back(n, size):
    path = world.file(f"up-{n}", size, n)
    key = f"{PREFIX}größe {size}"
    s3.upload_file(str(path), BUCKET, key, ExtraArgs={"Metadata": {"n": str(n)}, "ContentType": "x/y"})
    back = world.SCRATCH / f"down-{n}"
    s3.download_file(BUCKET, key, str(back))
    same(world.digest(back), world.digest(path), key)
    head = s3.head_object(Bucket=BUCKET, Key=key)
    same((head["ContentLength"], head["Metadata"], head["ContentType"]), (size, {"n": str(n)}, "x/y"), key)
    return key, head["ETag"]


sizes = world.SIZES + [64 * MIB]
with ThreadPoolExecutor(4) as pool:
    etags = dict(pool.map(there_and_back, range(len(sizes)), sizes))
has("bytes")
has("multipart to 64 MiB, threads")



def entries():
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=PREFIX, PaginationConfig={"PageSize": 3})
    return [entry for page in pages for entry in page["Contents"]]


listed = entries()
same(sorted(entry["Size"] for entry in listed), sorted(sizes), "LIST")
same({entry["Key"]: entry["ETag"] for entry in listed}, etags, "the ETag of LIST is that of HEAD")
has("sizes and ETags in LIST and HEAD")

key, whole = f"{PREFIX}größe {20 * MIB}", world.content(20 * MIB, sizes.index(20 * MIB))
for first, last in [(0, 0), (65_535, 65_536), (8 * MIB - 5, 8 * MIB + 5), (20 * MIB - 3, 20 * MIB + 100)]:
    got = s3.get_object(Bucket=BUCKET, Key=key, Range=f"bytes={first}-{last}", IfMatch=etags[key])
    same(got["Body"].read(), whole[first : last + 1], "range", first, last)
has("ranges")

small = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=10)
s3.copy({"Bucket": BUCKET, "Key": key}, BUCKET, PREFIX + "copy", Config=small)
same(s3.get_object(Bucket=BUCKET, Key=PREFIX + "copy")["Body"].read(), whole, "a copy in parts")
s3.copy_object(Bucket=BUCKET, Key=PREFIX + "copy 2", CopySource={"Bucket": BUCKET, "Key": key})
same(s3.get_object(Bucket=BUCKET, Key=PREFIX + "copy 2")["Body"].read(), whole, "a copy")
has("copies")

for version in ("s3", "s3v4"):
    signer = boto3.client(
        "s3",
        endpoint_url=world.ENDPOINT,
        region_name=world.REGION,
        aws_access_key_id=world.ACCESS_KEY,
        aws_secret_access_key=world.SECRET_KEY,
        config=boto3.session.Config(signature_version=version),
    )
    where = {"Bucket": BUCKET, "Key": f"{PREFIX}presigned {version}"}
    world.fetch(signer.generate_presigned_url("put_object", where), "PUT", b"by URL")
    same(world.fetch(signer.generate_presigned_url("get_object", where)), b"by URL", "presigned", version)
has("presigned URLs")

names = [{"Key": entry["Key"]} for entry in entries()]
holds(not s3.delete_objects(Bucket=BUCKET, Delete={"Objects": names}).get("Errors"), "delete_objects")
same(world.sizes_in_the_list(PREFIX), {}, "what is left")
has("deletion of many")
