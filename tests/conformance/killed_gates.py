"""Two gates over one store, killed at random behind a front that takes turns, while clients upload.

usage: killed_gates.py PORTCULLIS WORK_DIR

What a client was told is stored reads back through both gates, in full; what it was not told is there in full or not at all; and no
listing shows anything else, meanwhile or afterwards. PORTCULLIS_KILL_SECONDS says how long (12), PORTCULLIS_SEED repeats a run's
choices: the seed is printed.
"""

import concurrent.futures
import contextlib
import hashlib
import io
import os
import random
import re
import secrets
import shutil
import socket
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import boto3
import http.client
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from gate import dev, status
from processes import Children, free_ports, wait_for

BINARY, HOME = Path(sys.argv[1]), Path(sys.argv[2])
SECONDS = float(os.environ.get("PORTCULLIS_KILL_SECONDS", "12"))
SEED = int(os.environ.get("PORTCULLIS_SEED") or secrets.randbits(32))
WRITERS = 4
MIB = 1024 * 1024


class Gate:
    """One of the two: started, killed, started again."""

    def __init__(self, children, data, name):
        self.children, self.name, self.log = children, name, HOME / f"{name}.log"
        self.port, tls, admin = free_ports(3)
        self.ready = f"http://127.0.0.1:{admin}/readyz"
        text = (data / "portcullis.toml").read_text()
        listening = re.findall(r'^address = "127\.0\.0\.1:(\d+)"', text, re.MULTILINE)
        for old, new in zip(listening, [admin, self.port, tls], strict=True):
            text = text.replace(f'"127.0.0.1:{old}"', f'"127.0.0.1:{new}"')
        # What is larger goes to the store in pieces: that too may be cut off anywhere.
        text = text.replace("[store.main]", '[store.main]\nlargest_put = "6MiB"')
        self.config = data / f"{name}.toml"
        self.config.write_text(text)
        self.child = None
        self.start()

    def start(self):
        self.child = self.children.start(BINARY, "serve", "--config", self.config, log=self.log)

    def kill(self):
        self.child.kill()
        self.child.wait()
        self.children.running.remove(self.child)

    def is_ready(self):
        return status(self.ready) == 200

    def wait(self):
        wait_for(f"the gate ({self.log})", self.is_ready, children=[self.child])


class Front:
    """Passes each connection to the next gate that takes it, and ends as abruptly as the gate does."""

    def __init__(self, gates):
        self.gates, self.next, self.lock = gates, 0, threading.Lock()
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.endpoint = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            client, _ = self.listening.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def reach(self):
        with self.lock:
            self.next += 1
            first = self.next
        for turn in range(len(self.gates)):
            gate = self.gates[(first + turn) % len(self.gates)]
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", gate.port), timeout=5)
        return None

    def serve(self, client):
        gate = self.reach()
        if gate is None:
            client.close()
            return
        gate.settimeout(None)

        def pass_on(source, target):
            try:
                while piece := source.recv(65536):
                    target.sendall(piece)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                for one in (client, gate):
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)

        back = threading.Thread(target=pass_on, args=(gate, client), daemon=True)
        back.start()
        pass_on(client, gate)
        back.join()
        client.close()
        gate.close()


class Books:
    """What each key may hold. A body is known by its length and digest."""

    def __init__(self):
        self.lock, self.may, self.told, self.last, self.ever = threading.Lock(), {}, {}, {}, {}

    def begin(self, key, body):
        mark = (len(body), hashlib.sha256(body).digest())
        with self.lock:
            self.may.setdefault(key, set()).add(mark)
            self.ever.setdefault(key, set()).add(mark)
            self.last[key] = mark

    def done(self, key):
        """The client was told so: from now on this and nothing else."""
        with self.lock:
            self.told[key] = self.last[key]
            self.may[key] = {self.last[key]}

    def sent(self, key):
        with self.lock:
            return set(self.ever.get(key, ()))

    def allowed(self, key):
        with self.lock:
            return set(self.may.get(key, ())), key in self.told


def client(endpoint, environment):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["ACME_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["ACME_SECRET_ACCESS_KEY"],
        config=Config(retries={"max_attempts": 6}, connect_timeout=5, read_timeout=30, max_pool_connections=8),
    )


class Unsure(Exception):
    """The client was not told what became of its upload."""


# What a client may hear of an upload that a gate's end cut off, or that an earlier try of the same client has ended.
CUT = {"500", "503", "ServiceUnavailable", "SlowDown", "InternalError", "RequestTimeout", "IncompleteBody", "NoSuchUpload"}


class Writer:
    """Uploads until told to end; each key is one writer's."""

    def __init__(self, number, front, environment, books):
        self.random, self.number, self.books = random.Random(SEED * 100 + number), number, books
        self.environment, self.bucket = environment, environment["ACME_BUCKET"]
        self.s3, self.front = client(front.endpoint, environment), front
        self.sure, self.unsure, self.kinds = 0, 0, {}

    def run(self, end):
        count = 0
        ways = [self.put, self.put, self.raw_put, self.large_put, self.parts, self.transfer, self.small_part, self.copy]
        while time.monotonic() < end:
            way = self.random.choice(ways)
            key = f"w{self.number}/{count:04}-{way.__name__}"
            count += 1
            if self.upload(way, key) and self.random.random() < 0.3:
                # Over what is there: the old bytes or the new ones, never some of each.
                self.upload(self.random.choice(ways), key)

    def upload(self, way, key):
        try:
            way(key)
        except (BotoCoreError, HTTPClientError, Unsure, OSError, http.client.HTTPException):
            self.unsure += 1
            return False
        except ClientError as error:
            assert error.response["Error"]["Code"] in CUT, f"{key}: {error}"
            self.unsure += 1
            return False
        self.books.done(key)
        self.sure += 1
        self.kinds[way.__name__] = self.kinds.get(way.__name__, 0) + 1
        return True

    def body(self, key, least, most):
        body = self.random.randbytes(self.random.randint(least, most))
        self.books.begin(key, body)
        return body

    def put(self, key):
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=self.body(key, 0, 300_000))

    def large_put(self, key):
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=self.body(key, 6 * MIB, 9 * MIB))

    def raw_put(self, key):
        """One request, sent once: what it is not told stays unknown."""
        body = self.body(key, 1, 2 * MIB)
        url = f"{self.front.endpoint}/{self.bucket}/{key}"
        signed = AWSRequest("PUT", url, data=body, headers={"x-amz-content-sha256": hashlib.sha256(body).hexdigest()})
        names = ["ACME_ACCESS_KEY_ID", "ACME_SECRET_ACCESS_KEY"]
        S3SigV4Auth(Credentials(*[self.environment[name] for name in names]), "s3", self.environment["AWS_REGION"]).add_auth(signed)
        where = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
        try:
            connection.request("PUT", where.path, body=body, headers=dict(signed.headers.items()))
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            assert answer.status in (400, 500, 503), answer.status
            raise Unsure

    def transfer(self, key):
        body = self.body(key, 0, 14 * MIB)
        config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=2)
        self.s3.upload_fileobj(io.BytesIO(body), self.bucket, key, Config=config)

    def small_part(self, key):
        """One part, which becomes a whole object."""
        self.complete(key, [self.body(key, 0, 3 * MIB)], [1])

    def parts(self, key):
        """In any order, with gaps in the numbers, one of them sent twice."""
        count = self.random.randint(2, 3)
        numbers = sorted(self.random.sample(range(1, 10_001), count))
        body = self.body(key, (count - 1) * 5 * MIB, (count - 1) * 5 * MIB + 2 * MIB)
        self.complete(key, [body[5 * MIB * part : 5 * MIB * (part + 1)] for part in range(count)], numbers)

    def complete(self, key, bodies, numbers):
        named = {"Bucket": self.bucket, "Key": key}
        named["UploadId"] = self.s3.create_multipart_upload(**named)["UploadId"]
        order = list(zip(numbers, bodies))
        self.random.shuffle(order)
        number, body = order[0]
        if self.random.random() < 0.5:
            self.s3.upload_part(**named, PartNumber=number, Body=b"sent by mistake")
        etags = {number: self.s3.upload_part(**named, PartNumber=number, Body=body)["ETag"] for number, body in order}
        parts = [{"PartNumber": number, "ETag": etags[number]} for number in numbers]
        self.s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})

    def copy(self, key):
        """Of something that is surely there, by the store or through the gate."""
        source, body = f"{key}-source", self.random.randbytes(5 * MIB + 77)
        self.books.begin(source, body)
        self.s3.put_object(Bucket=self.bucket, Key=source, Body=body)
        self.books.done(source)
        self.books.begin(key, body)
        named, source = {"Bucket": self.bucket, "Key": key}, {"Bucket": self.bucket, "Key": source}
        if self.random.random() < 0.5:
            self.s3.copy_object(**named, CopySource=source)
            return
        named["UploadId"] = self.s3.create_multipart_upload(**named)["UploadId"]
        ranges = [f"bytes=0-{5 * MIB - 1}", f"bytes={5 * MIB}-{5 * MIB + 76}"]
        parts = []
        for number, part in enumerate(ranges, 1):
            copied = self.s3.upload_part_copy(**named, PartNumber=number, CopySource=source, CopySourceRange=part)
            parts.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
        self.s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})


def look(s3, bucket, books, key):
    """One key as a reader finds it now: what it holds, or None."""
    before, _ = books.allowed(key)
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in CUT or code == "NoSuchKey", f"{key}: {error}"
        return None if code == "NoSuchKey" else Unsure
    after, _ = books.allowed(key)
    mark = (len(body), hashlib.sha256(body).digest())
    assert mark in before | after, f"{key} holds {len(body)} bytes that nobody sent; allowed: {[one[0] for one in before | after]}"
    return mark


def listed(s3, bucket):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 100})
    return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}


class Watcher:
    """Reads meanwhile: whatever is visible must be whole."""

    def __init__(self, front, environment, books):
        self.s3, self.bucket, self.books = client(front.endpoint, environment), environment["ACME_BUCKET"], books
        self.random, self.seen = random.Random(SEED), 0

    def run(self, end):
        while time.monotonic() < end:
            with contextlib.suppress(BotoCoreError, HTTPClientError):
                self.once()
            time.sleep(0.05)

    def once(self):
        then = {key: self.books.sent(key) for key in list(self.books.ever)}
        before = {key: self.books.allowed(key)[0] for key in list(self.books.may)}
        try:
            found = listed(self.s3, self.bucket)
        except ClientError as error:
            assert error.response["Error"]["Code"] in CUT, error
            return
        for key, size in found.items():
            # Also what came and was replaced while the page was under way.
            sizes = {length for length, _ in before.get(key, set()) | (self.books.sent(key) - then.get(key, set()))}
            assert size in sizes, f"{key} is listed with {size} bytes; sent were {sizes}"
        for key in self.random.sample(sorted(found), min(3, len(found))):
            look(self.s3, self.bucket, self.books, key)
            self.seen += 1


def kill(gates, end):
    """One of the two, at any moment; now and then the other before it is back."""
    chance, kills = random.Random(SEED + 1), 0
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.1, 1.2))
        gate = chance.choice(gates)
        gate.kill()
        gate.start()
        kills += 1
        if chance.random() < 0.8:
            wait_for(f"the gate ({gate.log})", gate.is_ready, 30, [gate.child])
    return kills


def judge(gates, environment, books):
    """Afterwards, through each of the two."""
    bucket = environment["ACME_BUCKET"]
    for gate in gates:
        s3 = client(f"http://127.0.0.1:{gate.port}", environment)
        found = listed(s3, bucket)
        assert set(found) <= set(books.may), set(found) - set(books.may)
        for key in sorted(books.may):
            allowed, told = books.allowed(key)
            mark = look(s3, bucket, books, key)
            assert mark is not Unsure and (mark is None) == (key not in found), f"{key} through {gate.name}: {mark}"
            if mark is None:
                assert not told, f"{key} was stored, the client was told"
                continue
            assert found[key] == mark[0] and mark in allowed, f"{key} through {gate.name}"
            assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == mark[0]
        # Nor does what was cut off hold anything up.
        for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads"), "an upload that can't be aborted"


print(f"seed {SEED}, {SECONDS:.0f} s", flush=True)
shutil.rmtree(HOME, ignore_errors=True)
with Children() as children:
    data, environment = dev(children, BINARY, HOME, without_gate=True)
    gates = [Gate(children, data, "left"), Gate(children, data, "right")]
    for gate in gates:
        gate.wait()
    front, books = Front(gates), Books()
    writers = [Writer(number, front, environment, books) for number in range(WRITERS)]
    watcher = Watcher(front, environment, books)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        end = time.monotonic() + SECONDS
        running = [pool.submit(writer.run, end) for writer in writers] + [pool.submit(watcher.run, end)]
        kills = kill(gates, end)
        for one in running:
            one.result()
    for gate in gates:
        gate.wait()
    judge(gates, environment, books)
    sure, unsure = sum(writer.sure for writer in writers), sum(writer.unsure for writer in writers)
    kinds = {}
    for writer in writers:
        for kind, count in writer.kinds.items():
            kinds[kind] = kinds.get(kind, 0) + count
    print(f"{kills} kills; {sure} uploads told to be stored {kinds}, {unsure} cut off; {watcher.seen} read meanwhile")
    assert kills >= 3 and sure >= 10, "too little was done to show anything"
print("done")
