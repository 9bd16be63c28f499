"""s3cmd: put and get, multipart by default from 15 MB on, sync both ways, cp, mv."""

import world
from world import BUCKET, MIB, PREFIX, has, holds, same

S3CMD = world.needs("s3cmd")
where = world.ENDPOINT.partition("://")[2]
config = world.SCRATCH / "s3cfg"
config.write_text(
    f"[default]\naccess_key = {world.ACCESS_KEY}\nsecret_key = {world.SECRET_KEY}\nhost_base = {where}\nhost_bucket = {where}\n"
    f"bucket_location = {world.REGION}\nuse_https = {world.TLS}\n" + (f"ca_certs_file = {world.CA_FILE}\n" if world.CA_FILE else "")
)
at = f"s3://{BUCKET}/{PREFIX}"


def s3cmd(*arguments):
    return world.run(S3CMD, "-c", config, "--no-progress", *arguments)



up, down = world.files("up"), world.SCRATCH / "down"
down.mkdir()
said = s3cmd("sync", f"{up}/", at + "tree/")
holds("upload:" in said, "the first sync up", said)
said = s3cmd("sync", f"{up}/", at + "tree/")
holds("upload:" not in said, "the second sync up", said)
said = s3cmd("sync", at + "tree/", f"{down}/")
same(world.tree(down), world.tree(up), "what was synced down")
said = s3cmd("sync", at + "tree/", f"{down}/")
holds("download:" not in said, "the second sync down", said)
has("bytes")
has("second sync empty, both ways")
has("multipart")

lines = s3cmd("ls", "--recursive", at + "tree/").splitlines()
listed = {line.split("s3://", 1)[1].removeprefix(f"{BUCKET}/{PREFIX}tree/"): int(line.split()[2]) for line in lines}
same(listed, {name: size for name, (size, _) in world.tree(up).items()}, "ls")
has("sizes in ls")

one, back = world.file("one", 20 * MIB), world.SCRATCH / "back"
s3cmd("put", one, at + "one")
s3cmd("cp", at + "one", at + "two")
s3cmd("mv", at + "two", at + "three")
s3cmd("get", at + "three", back)
same(world.digest(back), world.digest(one), "put, cp, mv, get")
has("put, get, cp, mv")

# A download that broke off goes on with a range.
back.write_bytes(one.read_bytes()[: 9 * MIB + 7])
s3cmd("get", "--continue", at + "one", back)
same(world.digest(back), world.digest(one), "get --continue")
has("ranges")
s3cmd("del", "--recursive", "--force", at)
same(world.sizes_in_the_list(PREFIX), {}, "what is left")
