"""aws-cli as it is packaged: cp, sync both ways, mv, ls, presign."""

import os

import world
from world import BUCKET, MIB, PREFIX, has, same

AWS = world.installed("aws-cli", "awscli==1.46.3") / "aws"
os.environ |= {
    "AWS_ACCESS_KEY_ID": world.ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": world.SECRET_KEY,
    "AWS_DEFAULT_REGION": world.REGION,
    "AWS_ENDPOINT_URL": world.ENDPOINT,
    "AWS_CA_BUNDLE": world.CA_FILE,
    # What it would repeat in silence, or wait a minute for, is a failure here.
    "AWS_MAX_ATTEMPTS": "1",
}
if not world.CA_FILE:
    del os.environ["AWS_CA_BUNDLE"]
at = f"s3://{BUCKET}/{PREFIX}"


def s3(*arguments):
    return world.run(AWS, "--cli-read-timeout", "20", "s3", *arguments)


up, down = world.files("up"), world.SCRATCH / "down"
s3("sync", up, at + "tree", "--no-progress")
same(s3("sync", up, at + "tree", "--no-progress"), "", "the second sync up")
s3("sync", at + "tree", down, "--no-progress")
same(world.tree(down), world.tree(up), "what was synced down")
same(s3("sync", at + "tree", down, "--no-progress"), "", "the second sync down")
has("bytes")
has("second sync empty, both ways")
has("multipart")

listed = {line.split(None, 3)[3]: int(line.split()[2]) for line in s3("ls", "--recursive", at + "tree/").splitlines()}
expected = {f"{PREFIX}tree/{name}": size for name, (size, _) in world.tree(up).items()}
same(listed, expected, "ls")
has("sizes in ls")

one = world.file("one", 20 * MIB)
s3("cp", one, at + "one", "--no-progress")
s3("cp", at + "one", at + "two", "--no-progress")
s3("mv", at + "two", at + "three", "--no-progress")
s3("cp", at + "three", world.SCRATCH / "three", "--no-progress")
same(world.digest(world.SCRATCH / "three"), world.digest(one), "cp, cp at the store, mv, cp")
same(world.sizes_in_the_list(PREFIX + "t").keys() & {"wo", "hree"}, {"hree"}, "what mv leaves")
has("cp, mv")

piece = world.SCRATCH / "piece"
world.run(AWS, "s3api", "get-object", "--bucket", BUCKET, "--key", PREFIX + "one", "--range", "bytes=8388600-8388700", piece)
same(piece.read_bytes(), one.read_bytes()[8388600:8388701], "a range")
has("ranges")
same(world.fetch(s3("presign", at + "one").strip()), one.read_bytes(), "presign")
has("presign")
s3("rm", "--recursive", at)
same(world.sizes_in_the_list(PREFIX), {}, "what is left")
