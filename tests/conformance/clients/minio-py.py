"""minio-py: fput and fget, a stream of unknown length, stat, list, offsets, copies, presigned URLs."""

import io
import os
from datetime import timedelta

import world
from world import BUCKET, MIB, PREFIX, has, same

if world.CA_FILE:
    os.environ["SSL_CERT_FILE"] = world.CA_FILE
world.inside("minio-py", "minio==7.2.20", "boto3==1.44.5")
from minio import Minio  # noqa: E402
from minio.commonconfig import CopySource  # noqa: E402
from minio.deleteobjects import DeleteObject  # noqa: E402

where = world.ENDPOINT.partition("://")[2]
client = Minio(where, access_key=world.ACCESS_KEY, secret_key=world.SECRET_KEY, secure=world.TLS, region=world.REGION)

for n, size in enumerate(world.SIZES):
    path, back, key = world.file(f"up-{n}", size, n), world.SCRATCH / f"down-{n}", f"{PREFIX}größe {size}"
    client.fput_object(BUCKET, key, str(path), metadata={"colour": "blue"})
    client.fget_object(BUCKET, key, str(back))
    same(world.digest(back), world.digest(path), key)
    stat = client.stat_object(BUCKET, key)
    same((stat.size, stat.metadata["x-amz-meta-colour"]), (size, "blue"), key)
has("bytes")
has("multipart")

whole = world.content(12 * MIB, 77)
client.put_object(BUCKET, PREFIX + "stream", io.BytesIO(whole), -1, part_size=5 * MIB)
answer = client.get_object(BUCKET, PREFIX + "stream")
same(answer.read(), whole, "a stream of unknown length")
answer.close()
has("stream")

listed = {entry.object_name: entry.size for entry in client.list_objects(BUCKET, PREFIX, recursive=True)}
same(listed, {f"{PREFIX}größe {size}": size for size in world.SIZES} | {PREFIX + "stream": 12 * MIB}, "the list")
has("sizes in LIST and HEAD")

for offset, length in [(0, 1), (65_530, 10), (5 * MIB - 3, 6), (12 * MIB - 4, 4)]:
    answer = client.get_object(BUCKET, PREFIX + "stream", offset, length)
    same(answer.read(), whole[offset : offset + length], "a range", offset)
    answer.close()
has("ranges")

client.copy_object(BUCKET, PREFIX + "copy", CopySource(BUCKET, PREFIX + "stream"))
answer = client.get_object(BUCKET, PREFIX + "copy")
same(answer.read(), whole, "a copy")
answer.close()
has("copy")

world.fetch(client.presigned_put_object(BUCKET, PREFIX + "url", timedelta(minutes=5)), "PUT", b"by URL")
same(world.fetch(client.presigned_get_object(BUCKET, PREFIX + "url", timedelta(minutes=5))), b"by URL", "presigned")
has("presigned URLs")

names = [DeleteObject(entry.object_name) for entry in client.list_objects(BUCKET, PREFIX, recursive=True)]
same(list(client.remove_objects(BUCKET, names)), [], "errors of remove_objects")
same(world.sizes_in_the_list(PREFIX), {}, "what is left")
has("deletion of many")
