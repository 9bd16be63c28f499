"""Stops a gate's process in the middle of a download (SIGSTOP), lets the customer say no, and wakes it once the bound is over: from what
it has in memory not one byte may leave any more, and the connection is reset.

usage: stopped.py PORTCULLIS DATA_DIR      (with `portcullis dev --data DATA_DIR` running)
"""

import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from gate import status, toml
from processes import Children, free_ports, wait_for

BINARY, DATA = Path(sys.argv[1]), Path(sys.argv[2])
ENV = dict(line.split("=", 1) for line in (DATA / "dev.env").read_text().splitlines() if line)
BUCKET = ENV["ACME_BUCKET"]
SIZE = 16 << 20


def serve(children):
    """One more gate before the store of `dev`, a process of its own; its endpoint, its bound in seconds, and the process."""
    port, admin = free_ports(2)
    config = tomllib.loads((DATA / "portcullis.toml").read_text())
    config["listener"] = [{"address": f"127.0.0.1:{port}"}]
    config["admin"] = {"address": f"127.0.0.1:{admin}"}
    config["audit"] = config.get("audit", {}) | {"directory": "audit-stopped"}
    file = DATA / "stopped.toml"
    file.write_text(toml(config))
    child = children.start(BINARY, "serve", "--config", file, log=DATA / "stopped.log")
    wait_for(f"portcullis serve ({DATA / 'stopped.log'})", lambda: status(f"http://127.0.0.1:{admin}/readyz") == 200, children=[child])
    return f"http://127.0.0.1:{port}", float(config["keys"]["revocation_bound"].removesuffix("s")), child


def client(endpoint):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=ENV["AWS_REGION"],
        aws_access_key_id=ENV["ACME_ACCESS_KEY_ID"],
        aws_secret_access_key=ENV["ACME_SECRET_ACCESS_KEY"],
    )


def customer(action):
    subprocess.run([BINARY, "dev-customer", "--data", DATA, "acme", action], check=True, capture_output=True)


def begin(s3):
    """A download of which some has come, by a client that holds little."""
    url = urlsplit(s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "stopped"}))
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    held.connect((url.hostname, url.port))
    held.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
    first = b""
    while len(first) < 100_000:
        more = held.recv(4096)
        assert more, first[:500]
        first += more
    assert first.startswith(b"HTTP/1.1 200 "), first[:500]
    return held, len(first)


def drained(held, quiet):
    """How many bytes come until none has come for so long, and whether the connection is gone then."""
    held.settimeout(quiet)
    got = 0
    while True:
        try:
            more = held.recv(65536)
        except TimeoutError:
            return got, False
        except ConnectionResetError:
            return got, True
        if not more:
            return got, True
        got += len(more)


def refusal(call):
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    except BotoCoreError as error:
        return type(error).__name__
    return None


def main():
    with Children() as children:
        endpoint, bound, gate = serve(children)
        s3 = client(endpoint)
        s3.put_object(Bucket=BUCKET, Key="stopped", Body=os.urandom(SIZE))
        held, before = begin(s3)
        os.kill(gate.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            customer("disable-key")
            # What its kernel had comes all the same; then nothing can, for the process does not run.
            kernel, over = drained(held, 1.0)
            assert not over and before + kernel < SIZE, "the download was over before it was stopped"
            # The bound has to pass in earnest: on the gate's clocks, not on this script's.
            time.sleep(max(0.0, stopped + bound + 1.0 - time.monotonic()))
        finally:
            os.kill(gate.pid, signal.SIGCONT)
        late, over = drained(held, 10.0)
        assert late == 0, f"{late} bytes left after the bound"
        assert over, "the connection still stands"
        code = refusal(lambda: s3.get_object(Bucket=BUCKET, Key="stopped"))
        assert code == "KMS.DisabledException", code
        customer("enable-key")
        wait_for("acme, served again", lambda: refusal(lambda: s3.head_object(Bucket=BUCKET, Key="stopped")) is None)
        s3.delete_object(Bucket=BUCKET, Key="stopped")
        print(f"done: {before} bytes before, {kernel} from the kernel while it was stopped, {late} after")


main()
