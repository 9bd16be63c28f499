"""Drives `portcullis dev` as its README does: an unmodified S3 client, the store's files, and the customer's word.

usage: end_to_end.py PORTCULLIS DATA_DIR      (with `portcullis dev --data DATA_DIR` running)
"""

import glob
import os
import subprocess
import sys
import threading
import time
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

BINARY, DATA = sys.argv[1:3]
BOUND = 5.0  # the revocation bound of `portcullis dev`
CHUNK, TAG, HEADER, MIB5 = 65536, 16, 704, 5 * 1024 * 1024


def environment():
    lines = open(os.path.join(DATA, "dev.env")).read().split("\n")
    return dict(line.split("=", 1) for line in lines if line)


ENV = environment()
KMS_ERRORS = {"KMS.DisabledException"}


class Counting:
    """Counts the attempts that botocore makes at each operation, so that a retried refusal shows. (After a HEAD that got 400 it
    also asks HeadBucket, once, whether the bucket lies in another region.)"""

    def __init__(self, client):
        self.sent = {}
        client.meta.events.register("before-send.s3", self.count)

    def count(self, event_name, **_):
        operation = event_name.rsplit(".", 1)[-1]
        self.sent[operation] = self.sent.get(operation, 0) + 1


def client(tenant, endpoint="S3_ENDPOINT", **config):
    made = boto3.client(
        "s3",
        endpoint_url=ENV[endpoint],
        verify=ENV["CA_FILE"],
        region_name=ENV["AWS_REGION"],
        aws_access_key_id=ENV[f"{tenant}_ACCESS_KEY_ID"],
        aws_secret_access_key=ENV[f"{tenant}_SECRET_ACCESS_KEY"],
        config=Config(connect_timeout=5, read_timeout=30, **config),
    )
    return made, ENV[f"{tenant}_BUCKET"]


def sealed_size(plain):
    """The size law of docs/FORMAT.md, written a second time."""
    chunks = max(1, -(-plain // CHUNK))
    steps = min(plain // MIB5, 10000)
    return plain + TAG * chunks + HEADER + (896 * (steps + 1) if steps else 0)


def customer(tenant, action):
    done = subprocess.run([BINARY, "dev-customer", "--data", DATA, tenant, action], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pattern(size, seed):
    block = bytes((i * 31 + seed * 17 + 7) % 251 for i in range(251 * 64))
    return (block * (size // len(block) + 1))[:size]


def refusal(call):
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    return None


def store_read_list(endpoint):
    s3, bucket = client("ACME", endpoint)
    sizes = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 300_000, MIB5 - 1, MIB5, MIB5 + 1, 11 * 1024 * 1024]
    prefix = endpoint.lower() + "/"
    for n, size in enumerate(sizes):
        key, body = f"{prefix}ein Objekt/größe {size}.bin", pattern(size, n)
        put = s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"colour": "blue"}, ContentType="x/y")
        got = s3.get_object(Bucket=bucket, Key=key)
        assert got["Body"].read() == body and got["ContentLength"] == size, key
        assert got["ETag"] == put["ETag"] and got["Metadata"] == {"colour": "blue"} and got["ContentType"] == "x/y"
        assert got["ServerSideEncryption"] == "aws:kms", "clients must not take the ETag for an MD5"
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == size
        for first, last in [(0, 0), (0, 9), (CHUNK - 2, CHUNK + 1), (size // 2, size // 2 + 70_000), (size - 1, size + 9)]:
            if 0 <= first < size:
                part = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={first}-{last}", IfMatch=put["ETag"])
                assert part["Body"].read() == body[first : last + 1], (key, first, last)
                assert part["ContentRange"] == f"bytes {first}-{min(last, size - 1)}/{size}"
        if size:
            tail = s3.get_object(Bucket=bucket, Key=key, Range="bytes=-10")["Body"].read()
            assert tail == body[-10:], key
        assert refusal(lambda: s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={size}-")) == ("InvalidRange", 416)
        assert refusal(lambda: s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={1 << 63}-"))[1] == 416
        for asked in ({}, {"Range": "bytes=-10"}, {"Range": "bytes=0-9"}, {"Range": f"bytes={size}-"}):
            assert refusal(lambda: s3.get_object(Bucket=bucket, Key=key, IfNoneMatch=put["ETag"], **asked))[1] == 304, asked
        far = s3.get_object(Bucket=bucket, Key=key, **({"Range": f"bytes={size // 2}-{(1 << 64) - 1}"} if size else {}))
        assert far["Body"].read() == body[size // 2 :], "an end that no object reaches is the object's end"
        assert refusal(lambda: s3.put_object(Bucket=bucket, Key=key, Body=b"x", IfNoneMatch="*")) == (
            "PreconditionFailed",
            412,
        )
    for listing in (s3.list_objects_v2, s3.list_objects):
        page = listing(Bucket=bucket, Prefix=prefix)["Contents"]
        assert sorted(entry["Size"] for entry in page) == sorted(sizes)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": 3})
    assert sorted(entry["Size"] for page in pages for entry in page["Contents"]) == sorted(sizes)
    return sizes


def a_range_of_another_object_is_never_sent():
    """If-Range: the range only if the object is still the one named. boto3 has no argument for it."""
    s3, bucket = client("ACME")
    s3.meta.events.register("before-sign.s3.GetObject", lambda request, **_: request.headers.add_header("If-Range", '"old"'))
    s3.put_object(Bucket=bucket, Key="resumed", Body=b"a new object")
    got = s3.get_object(Bucket=bucket, Key="resumed", Range="bytes=2-4")
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 200 and got["Body"].read() == b"a new object", got
    s3.delete_object(Bucket=bucket, Key="resumed")


def what_the_store_holds(sizes):
    _, bucket = client("ACME")
    files = glob.glob(os.path.join(ENV["STORE_DIR"], bucket, "*"))
    assert sorted(os.path.getsize(f) for f in files) == sorted(sealed_size(size) for size in sizes)
    for n, size in enumerate(sizes):
        sample = pattern(size, n)[:64]
        for file in files:
            assert len(sample) < 64 or sample not in open(file, "rb").read(), f"plaintext lies in {file}"
    for file in files:
        done = subprocess.run([BINARY, "inspect", "--json", file], capture_output=True, text=True)
        assert done.returncode == 0 and '"sealed":true' in done.stdout, done.stdout + done.stderr


def integrity():
    """What a client states about its body is held to it, and nothing is stored where it does not hold."""
    # botocore sends a body again that was called bad.
    s3, bucket = client("ACME", retries={"max_attempts": 0})
    for size in (10, 300_000):
        body = pattern(size, 3)
        wrong = {
            "ContentMD5": "1B2M2Y8AsgTpgAmY7PhCfg==",
            "ChecksumCRC32": "AAAAAA==",
            "ChecksumSHA256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        }
        for name, value in wrong.items():
            code = refusal(lambda: s3.put_object(Bucket=bucket, Key="refused", Body=body, **{name: value}))
            assert code == ("BadDigest", 400), (size, name, code)
            assert refusal(lambda: s3.head_object(Bucket=bucket, Key="refused"))[1] == 404
        for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
            try:
                put = s3.put_object(Bucket=bucket, Key="checked", Body=body, ChecksumAlgorithm=algorithm)
            except Exception as error:  # CRC32C and CRC64NVME need an optional package of botocore's
                assert "crt" in str(error).lower(), error
                continue
            assert put[f"Checksum{algorithm}"], algorithm
    s3.delete_object(Bucket=bucket, Key="checked")
    reserved = refusal(lambda: s3.put_object(Bucket=bucket, Key="r", Body=b"", Metadata={"portcullis-core": "x"}))
    assert reserved == ("InvalidArgument", 400), reserved


def walls():
    s3, bucket = client("ACME")
    _, other = client("GLOBEX")
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == [bucket]
    assert refusal(lambda: s3.list_objects_v2(Bucket=other)) == ("AccessDenied", 403)
    assert refusal(lambda: s3.get_object(Bucket=other, Key="x")) == ("AccessDenied", 403)
    assert refusal(lambda: s3.head_bucket(Bucket=other))[1] == 403
    assert refusal(lambda: s3.list_objects_v2(Bucket="portcullis-system")) == ("NoSuchBucket", 404)
    assert refusal(lambda: s3.get_object_torrent(Bucket=bucket, Key="report")) == ("NotImplemented", 501)
    stranger = boto3.client(
        "s3", endpoint_url=ENV["S3_ENDPOINT"], region_name="us-east-1", aws_access_key_id="NOBODY", aws_secret_access_key="x"
    )
    assert refusal(lambda: stranger.list_objects_v2(Bucket=bucket)) == ("InvalidAccessKeyId", 403)
    forger = boto3.client(
        "s3",
        endpoint_url=ENV["S3_ENDPOINT"],
        region_name="us-east-1",
        aws_access_key_id=ENV["ACME_ACCESS_KEY_ID"],
        aws_secret_access_key="wrong",
    )
    assert refusal(lambda: forger.list_objects_v2(Bucket=bucket)) == ("SignatureDoesNotMatch", 403)


class Trickle(threading.Thread):
    """A download that reads slowly, and notes when its last byte came and how it ended."""

    def __init__(self, tenant, key, endpoint):
        super().__init__()
        # Its head is here before the thread begins, so that the download is running.
        s3, bucket = client(tenant, endpoint)
        self.answer = s3.get_object(Bucket=bucket, Key=key)
        self.size, self.got, self.ended, self.last, self.stop = self.answer["ContentLength"], 0, None, None, False

    def run(self):
        try:
            while not self.stop:
                piece = self.answer["Body"].read(64 * 1024)
                if not piece:
                    self.ended = "clean end"
                    return
                self.got += len(piece)
                self.last = time.monotonic()
                time.sleep(0.05)
        except Exception as error:
            self.ended = type(error).__name__


def the_customer_says_no():
    acme, bucket = client("ACME")
    globex, other = client("GLOBEX")
    count = Counting(acme)
    big = pattern(64 * 1024 * 1024, 9)
    acme.put_object(Bucket=bucket, Key="big", Body=big)
    globex.put_object(Bucket=other, Key="big", Body=big)
    downloads = [Trickle("ACME", "big", endpoint) for endpoint in ("S3_ENDPOINT", "S3_TLS_ENDPOINT")]
    stalled = client("ACME")[0].get_object(Bucket=bucket, Key="big")["Body"]
    stalled.read(1)
    unaffected = Trickle("GLOBEX", "big", "S3_ENDPOINT")
    for download in downloads + [unaffected]:
        download.start()

    customer("acme", "disable-key")
    said = time.monotonic()
    calls = {
        "get": lambda: acme.get_object(Bucket=bucket, Key="big", Range="bytes=0-9"),
        "put": lambda: acme.put_object(Bucket=bucket, Key="new", Body=b"x"),
        "head": lambda: acme.head_object(Bucket=bucket, Key="big"),
        "list": lambda: acme.list_objects_v2(Bucket=bucket),
        "delete": lambda: acme.delete_object(Bucket=bucket, Key="big"),
    }
    while refusal(calls["get"]) is None:
        assert time.monotonic() < said + BOUND + 1, "reads went on past the bound"
        time.sleep(0.05)
    shut = time.monotonic() - said
    for name, call in calls.items():
        count.sent.clear()
        code = refusal(call)
        expected = ("400", 400) if name == "head" else ("KMS.DisabledException", 400)
        assert code == expected, (name, code)
        assert set(count.sent.values()) == {1}, f"{name} was retried: {count.sent}"
    assert "new" not in os.listdir(os.path.join(ENV["STORE_DIR"], bucket))
    assert "big" in os.listdir(os.path.join(ENV["STORE_DIR"], bucket))
    for download in downloads:
        download.join(timeout=BOUND + 10)
        assert not download.is_alive(), "a running download was not cut"
        assert download.ended != "clean end" and download.got < download.size, download.ended
        assert download.last < said + BOUND + 1, "bytes came past the bound"
    try:
        rest = len(stalled.read())
        raise AssertionError(f"a download that did not read was not cut: {rest} bytes came")
    except AssertionError:
        raise
    except Exception as error:
        print(f"  a stalled download: {type(error).__name__}")

    assert unaffected.is_alive() and unaffected.ended is None, "globex was disturbed"
    globex.put_object(Bucket=other, Key="meanwhile", Body=b"here")
    assert globex.get_object(Bucket=other, Key="meanwhile")["Body"].read() == b"here"

    customer("acme", "enable-key")
    back = time.monotonic()
    while refusal(calls["get"]) is not None:
        assert time.monotonic() < back + 2 * BOUND, "access given back was not noticed"
        time.sleep(0.1)
    back = time.monotonic() - back
    assert acme.get_object(Bucket=bucket, Key="big")["Body"].read() == big
    acme.put_object(Bucket=bucket, Key="new", Body=b"x")
    unaffected.stop = True
    unaffected.join()
    print(f"  shut {shut:.2f} s after disable-key, open {back:.2f} s after enable-key")


def the_admin_listener():
    for path, expected in (("/healthz", None), ("/readyz", None), ("/metrics", "portcullis_requests_total")):
        with urllib.request.urlopen(ENV["ADMIN_ENDPOINT"] + path) as answer:
            text = answer.read().decode()
            assert answer.status == 200 and (expected or "") in text, (path, text)


def main():
    sizes = store_read_list("S3_ENDPOINT")
    what_the_store_holds(sizes)
    print("stored, read, ranged, listed over http; sealed to the byte in the store")
    store_read_list("S3_TLS_ENDPOINT")
    print("the same over https, with unsigned chunked payloads and trailers")
    a_range_of_another_object_is_never_sent()
    integrity()
    walls()
    print("bodies held to their checksums, tenants to their walls")
    the_customer_says_no()
    print("the customer's no acted on, and taken back")
    the_admin_listener()
    print("done")


main()
