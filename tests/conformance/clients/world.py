"""What every client's script works with: where the gate is, as whom, and a folder of its own; and how it says what it has checked.

The runner sets the environment. A script ends with 0 if all it checked holds, with 77 and `lacks …` if the machine lacks something it
needs, and with anything else if a check failed."""

import atexit
import hashlib
import http.client
import os
import random
import shutil
import ssl
import subprocess
import sys
import urllib.parse
from pathlib import Path

ENDPOINT = os.environ["CLIENT_ENDPOINT"]
TLS = ENDPOINT.startswith("https:")
CA_FILE = os.environ.get("CLIENT_CA_FILE", "")
ACCESS_KEY, SECRET_KEY = os.environ["CLIENT_ACCESS_KEY"], os.environ["CLIENT_SECRET_KEY"]
REGION, BUCKET = os.environ["CLIENT_REGION"], os.environ["CLIENT_BUCKET"]
# Keys begin so: other clients use the bucket too.
PREFIX = os.environ["CLIENT_PREFIX"]
SCRATCH = Path(os.environ["CLIENT_SCRATCH"])
# What is installed stays here between runs.
TOOLS = Path(os.environ["CLIENT_TOOLS"])
HERE = Path(__file__).resolve().parent

MIB = 1 << 20
# Around the gate's chunk, around the smallest part, and enough for every client to make several parts.
SIZES = [0, 1, 65_535, 65_536, 65_537, 5 * MIB - 1, 5 * MIB, 8 * MIB + 1, 20 * MIB]

checked = []


def holds(condition, *what):
    """A check. Python's own `assert` can be switched off."""
    if not condition:
        print("FAILED:", *what, flush=True)
        sys.exit(1)


def same(got, expected, *what):
    holds(got == expected, *what, f"expected {expected!r}, got {got!r}")


def has(what):
    """A row's word: said once its checks held."""
    checked.append(what)


@atexit.register
def _say():
    print("checked:", ", ".join(checked))


def silent():
    """Another program goes on, and says what was checked."""
    atexit.unregister(_say)


def lacks(what):
    print(f"lacks {what}")
    sys.exit(77)


def needs(program, package=None):
    """The program's path, or the end."""
    return shutil.which(program) or lacks(package or program)


def installed(name, *packages):
    """The programs' folder of an environment that has these packages, made the first time."""
    at, mark = TOOLS / name, "\n".join(packages)
    if not (at / "wanted").exists() or (at / "wanted").read_text() != mark:
        run(sys.executable, "-m", "venv", "--clear", at)
        pip = [at / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        if subprocess.run(pip, stdout=sys.stderr).returncode:
            lacks(f"{packages[0]} (pip could not install it)")
        (at / "wanted").write_text(mark)
    return at / "bin"


def inside(name, *packages):
    """Goes on in such an environment."""
    python = installed(name, *packages) / "python"
    if Path(sys.executable) != python:
        silent()
        os.execv(python, [str(python), *sys.argv])


def content(size, seed=0):
    # In pieces: Python makes no 256 MiB at once.
    made = random.Random(f"{size} {seed}")
    return b"".join(made.randbytes(min(64 * MIB, size - at)) for at in range(0, size, 64 * MIB))


def file(name, size, seed=0):
    """A file of random bytes below the scratch folder."""
    path = SCRATCH / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(size, seed))
    # A store tells whole seconds: what was changed in the second of its upload looks newer than its copy to `sync`.
    os.utime(path, (path.stat().st_mtime - 10,) * 2)
    return path


def files(folder, sizes=SIZES):
    """A tree, with names that need care."""
    for n, size in enumerate(sizes):
        file(f"{folder}/{'sub folder/' if n % 2 else ''}größe {size}.bin", size, n)
    return SCRATCH / folder


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def tree(folder):
    """Relative path → size and digest, of all files."""
    found = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_size, digest(path)) for path in found}


def run(*command, **options):
    """Runs it to its end; its standard output. A failure is one of the client's."""
    options = {"timeout": 300, "text": True} | options
    done = subprocess.run([str(one) for one in command], capture_output=True, **options)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        holds(False, Path(command[0]).name, *command[1:], "ended with", done.returncode, *last)
    return done.stdout


def fetch(url, method="GET", data=None):
    """By a plain HTTP client that adds no headers of its own to what the URL signs."""
    parts = urllib.parse.urlsplit(url)
    if TLS:
        connection = http.client.HTTPSConnection(parts.netloc, timeout=60, context=ssl.create_default_context(cafile=CA_FILE))
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.request(method, f"{parts.path}?{parts.query}", data)
    answer = connection.getresponse()
    body = answer.read()
    holds(answer.status == 200, method, url, answer.status, body[:1000])
    return body


def judge():
    """boto3, which the tests trust, for what a client doesn't say itself."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        verify=CA_FILE or None,
    )


def sizes_in_the_list(prefix):
    """Name below the prefix → size, as LIST says."""
    pages = judge().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return {entry["Key"][len(prefix) :]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
