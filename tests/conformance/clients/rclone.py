"""rclone with provider Other: copy, sync, check, multipart, ranges."""

import json
import os

import world
from world import BUCKET, MIB, PREFIX, has, holds, same

RCLONE = world.needs("rclone")
os.environ.pop("AWS_CA_BUNDLE", None)
os.environ |= {
    "RCLONE_CONFIG": str(world.SCRATCH / "rclone.conf"),
    "RCLONE_CONFIG_GATE_TYPE": "s3",
    "RCLONE_CONFIG_GATE_PROVIDER": "Other",
    "RCLONE_CONFIG_GATE_ENDPOINT": world.ENDPOINT,
    "RCLONE_CONFIG_GATE_REGION": world.REGION,
    "RCLONE_CONFIG_GATE_ACCESS_KEY_ID": world.ACCESS_KEY,
    "RCLONE_CONFIG_GATE_SECRET_ACCESS_KEY": world.SECRET_KEY,
}
(world.SCRATCH / "rclone.conf").touch()
at = f"gate:{BUCKET}/{PREFIX}"


def rclone(*arguments):
    more = ["--ca-cert", world.CA_FILE] if world.CA_FILE else []
    # What it gives up on at once shows; what it gets right at the third attempt only would not.
    return world.run(RCLONE, *arguments, *more, "--retries", "1", "--low-level-retries", "1")


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
rclone("check", "--download", up, at + "tree")
has("check")
same(moved("sync", at + "tree", down), len(world.SIZES), "the first sync down")
same(moved("sync", at + "tree", down), 0, "the second sync down")
same(world.tree(down), world.tree(up), "what was synced down")
has("bytes")
has("second sync empty, both ways")

listed = {entry["Path"]: entry["Size"] for entry in json.loads(rclone("lsjson", "-R", "--files-only", at + "tree"))}
same(listed, {name: size for name, (size, _) in world.tree(up).items()}, "lsjson")
has("sizes in LIST")

big = world.file("big/big", 30 * MIB)
parts = ["--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M"]
same(moved("copy", big.parent, at + "big", *parts), 1, "a copy in parts")
same(moved("copy", big.parent, at + "big", *parts), 0, "the same copy again")
rclone("check", "--download", big.parent, at + "big")
has("multipart")
piece = world.run(RCLONE, "cat", at + "big/big", "--offset", "5242870", "--count", "20", *(["--ca-cert", world.CA_FILE] if world.CA_FILE else []), text=False)
same(piece, big.read_bytes()[5242870:5242890], "a range")
has("ranges")
rclone("copyto", at + "big/big", at + "copied")
rclone("moveto", at + "copied", at + "moved")
holds("copied" not in (left := world.sizes_in_the_list(PREFIX)) and left["moved"] == 30 * MIB, "copyto, moveto", left)
has("copies")
rclone("purge", at)
same(world.sizes_in_the_list(PREFIX), {}, "what is left")
