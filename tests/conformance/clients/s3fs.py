"""s3fs-fuse: the bucket as a file system. Needs FUSE, and the right to mount."""

import contextlib
import os
import subprocess
import time

import world
from world import BUCKET, MIB, PREFIX, has, holds, same

S3FS = world.needs("s3fs", "s3fs-fuse")
if not os.access("/dev/fuse", os.R_OK | os.W_OK):
    world.lacks("FUSE (/dev/fuse)")
password, mount, log = world.SCRATCH / "passwd", world.SCRATCH / "mount", world.SCRATCH / "log"
password.touch(mode=0o600)
password.write_text(f"{world.ACCESS_KEY}:{world.SECRET_KEY}\n")
mount.mkdir()
# It mounts no prefix that is not there yet.
world.judge().put_object(Bucket=BUCKET, Key=PREFIX, Body=b"")
options = [f"passwd_file={password}", f"url={world.ENDPOINT}", f"endpoint={world.REGION}", "use_path_request_style", "enable_noobj_cache"]
command = [S3FS, f"{BUCKET}:/{PREFIX.rstrip('/')}", mount, "-f", *(part for one in options for part in ("-o", one))]
environment = os.environ | ({"CURL_CA_BUNDLE": world.CA_FILE} if world.CA_FILE else {})
with open(log, "wb") as output:
    running = subprocess.Popen(command, env=environment, stdout=output, stderr=output)


def unmounted():
    subprocess.run(["fusermount", "-u", "-z", mount], stderr=subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(20)
    running.kill()


try:
    end = time.monotonic() + 30
    while not os.path.ismount(mount):
        if running.poll() is not None and "fuse" in log.read_text() and "permi" in log.read_text().lower():
            world.lacks("the right to mount")
        holds(running.poll() is None and time.monotonic() < end, "no mount:", log.read_text()[-2000:])
        time.sleep(0.1)

    up = world.files("up")
    world.run("cp", "-r", up, mount / "tree")
    same(world.tree(mount / "tree"), world.tree(up), "what was copied there")
    has("bytes")
    has("multipart")
    sizes = {name.removeprefix("tree/"): size for name, size in world.sizes_in_the_list(PREFIX).items() if not name.endswith("/") and name}
    same(sizes, {name: size for name, (size, _) in world.tree(up).items()}, "LIST")
    has("sizes")

    big = world.file("big", 30 * MIB)
    world.run("cp", big, mount / "big")
    whole = big.read_bytes()
    # Its local copy is gone with the mount's cache: what is read now comes in ranges from the gate.
    with open(mount / "big", "rb") as opened:
        for offset in (29 * MIB, 65_530, 10 * MIB - 3):
            opened.seek(offset)
            same(opened.read(1000), whole[offset : offset + 1000], "a range", offset)
    has("ranges")

    with open(mount / "tree" / "more", "wb") as opened:
        opened.write(b"one ")
    with open(mount / "tree" / "more", "ab") as opened:
        opened.write(b"two")
    same((mount / "tree" / "more").read_bytes(), b"one two", "written on")
    os.rename(mount / "big", mount / "renamed")
    same(world.digest(mount / "renamed"), world.digest(big), "renamed")
    holds(not (mount / "big").exists(), "the old name")
    has("append, rename")
    world.run("rm", "-r", mount / "tree", mount / "renamed")
    same(os.listdir(mount), [], "what is left")
finally:
    unmounted()
