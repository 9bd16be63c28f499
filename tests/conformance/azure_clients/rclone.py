"""rclone's azureblob backend: sync, check, blocks, ranges, copies. It wants the account's SAS in the URL."""

import datetime
import json
import os

import world
from azure.storage.blob import ResourceTypes, generate_account_sas
from world import BUCKET, MIB, has, holds, same

RCLONE = world.needs("rclone")
soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
types = ResourceTypes(service=True, container=True, object=True)
sas = generate_account_sas(world.ACCESS_KEY, world.SECRET_KEY, types, "rwdlacut", soon)
os.environ |= {
    "RCLONE_CONFIG": str(world.SCRATCH / "rclone.conf"),
    "RCLONE_CONFIG_GATE_TYPE": "azureblob",
    "RCLONE_CONFIG_GATE_SAS_URL": f"{world.ENDPOINT}/{BUCKET}?{sas}",
}
(world.SCRATCH / "rclone.conf").touch()
at = f"gate:{BUCKET}/"
more = ["--ca-cert", world.CA_FILE] if world.CA_FILE else []


def rclone(*arguments, **options):
    # What it gives up on at once shows; what it gets right at the third attempt only would not.
    return world.run(RCLONE, *arguments, *more, "--retries", "1", "--low-level-retries", "1", **options)


def moved(*arguments):
    """How many files it transferred."""
    said = world.SCRATCH / "log"
    said.unlink(missing_ok=True)
    rclone(*arguments, "--use-json-log", "--log-file", said, "--stats", "1h", "--stats-log-level", "NOTICE", "-v")
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    return [line for line in lines if "stats" in line][-1]["stats"]["transfers"]


up, down = world.files("up"), world.SCRATCH / "down"
same(moved("sync", up, at + "tree"), len(world.SIZES), "the first sync up")
same(moved("sync", up, at + "tree"), 0, "the second sync up")
rclone("check", up, at + "tree")
same(moved("sync", "--checksum", up, at + "tree"), 0, "a sync by MD5")
rclone("check", "--download", up, at + "tree")
has("check")
same(moved("sync", at + "tree", down), len(world.SIZES), "the first sync down")
same(moved("sync", at + "tree", down), 0, "the second sync down")
same(world.tree(down), world.tree(up), "what was synced down")
has("bytes")
has("second sync empty, both ways, by time and by MD5")
listed = {entry["Path"]: entry["Size"] for entry in json.loads(rclone("lsjson", "-R", "--files-only", at + "tree"))}
same(listed, {name: size for name, (size, _) in world.tree(up).items()}, "lsjson")
has("sizes in the list")
big = world.file("big/big", 300 * MIB)
same(moved("copy", big.parent, at + "big"), 1, "a copy in blocks")
same(moved("copy", big.parent, at + "big"), 0, "the same copy again")
rclone("check", "--download", big.parent, at + "big", timeout=600)
has("300 MiB in blocks")
piece = rclone("cat", at + "big/big", "--offset", "5242870", "--count", "20", text=False)
same(piece, big.read_bytes()[5242870:5242890], "a range")
has("ranges")
rclone("copyto", at + "tree/größe 0.bin", at + "copied")
rclone("moveto", at + "copied", at + "moved")
left = json.loads(rclone("lsjson", at))
holds({entry["Name"] for entry in left} >= {"moved", "tree", "big"} and "copied" not in {entry["Name"] for entry in left}, "copyto, moveto", left)
has("copies")
