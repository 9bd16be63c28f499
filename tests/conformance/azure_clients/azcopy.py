"""azcopy: copy with MD5s put and checked, sync twice, ranges of its own blocks, list."""

import datetime
import os
import shutil
import subprocess

import world
from azure.storage.blob import generate_container_sas
from world import BUCKET, MIB, has, holds, same

MODULE = "github.com/Azure/azure-storage-azcopy/v10@latest"


def azcopy_program():
    """One that is installed, or one built from its module where Go is there and the module can be had."""
    if found := shutil.which("azcopy"):
        return found
    go, bin = shutil.which("go"), world.TOOLS / "azcopy"
    if not (bin / "azure-storage-azcopy").exists():
        if not go or subprocess.run([go, "install", MODULE], env=os.environ | {"GOBIN": str(bin)}, capture_output=True).returncode:
            world.lacks("azcopy (it is not installed, and Go can't build it here)")
    return bin / "azure-storage-azcopy"


AZCOPY = azcopy_program()
soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
sas = generate_container_sas(world.ACCESS_KEY, BUCKET, account_key=world.SECRET_KEY, permission="racwdl", expiry=soon)
at = lambda name: f"{world.ENDPOINT}/{BUCKET}/{name}?{sas}"  # noqa: E731
logs = world.SCRATCH / "logs"
os.environ |= {"AZCOPY_LOG_LOCATION": str(logs), "AZCOPY_JOB_PLAN_LOCATION": str(logs), "AZCOPY_DISABLE_SYSLOG": "true"}
if world.CA_FILE:
    os.environ["SSL_CERT_FILE"] = world.CA_FILE


def azcopy(*arguments):
    return world.run(AZCOPY, *arguments, "--output-level", "essential", "--skip-version-check", timeout=900)


def copied(said):
    """How many transfers its summary says were done."""
    words = [line.split(":")[-1].strip() for line in said.splitlines() if "Number of Copy Transfers Completed" in line or "Number of File Transfers Completed" in line]
    return sum(map(int, words))


# It tells a blob's URL by its host's name, and an address on loopback has none.
UP, DOWN, ACROSS, AWAY = (("--from-to", way) for way in ("LocalBlob", "BlobLocal", "BlobBlob", "BlobTrash"))
CHECKED = ("--check-md5", "FailIfDifferent")
HASHED = ("--put-md5", "--compare-hash", "MD5")

up, down = world.files("up"), world.SCRATCH / "down"
azcopy("copy", f"{up}/*", at("tree"), "--recursive", "--put-md5", *UP)
azcopy("copy", at("tree"), down, "--recursive", *CHECKED, *DOWN)
same(world.tree(down / "tree"), world.tree(up), "what was copied down")
has("bytes, MD5s put and checked")
holds(copied(azcopy("sync", up, at("synced"), *HASHED, *UP)) > 0, "the first sync up copies")
holds(copied(azcopy("sync", up, at("synced"), *HASHED, *UP)) == 0, "the second sync up copies nothing")
(world.SCRATCH / "again").mkdir()
holds(copied(azcopy("sync", at("synced"), world.SCRATCH / "again", *CHECKED, *DOWN)) > 0, "the first sync down copies")
holds(copied(azcopy("sync", at("synced"), world.SCRATCH / "again", *CHECKED, *DOWN)) == 0, "the second sync down copies nothing")
same(world.tree(world.SCRATCH / "again"), world.tree(up), "what was synced down")
has("second sync empty, both ways")
big = world.file("big", 300 * MIB)
azcopy("copy", big, at("big"), "--put-md5", "--block-size-mb", "8", *UP)
azcopy("copy", at("big"), world.SCRATCH / "big down", *CHECKED, *DOWN)
same(world.digest(world.SCRATCH / "big down"), world.digest(big), "300 MiB")
has("300 MiB in blocks")
holds("big" in azcopy("list", at(""), "--location", "Blob"), "list")
azcopy("copy", at("big"), at("big copy"), *ACROSS)
has("list, copy at the store")
azcopy("remove", at("tree"), "--recursive", *AWAY)
has("remove")
