"""Multipart uploads through `portcullis dev`, by an unmodified boto3 with its default settings.

usage: multipart.py DATA_DIR      (with `portcullis dev --data DATA_DIR` running)
"""

import base64
import hashlib
import io
import os
import sys
import tempfile

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

DATA = sys.argv[1]
MIB = 1024 * 1024


def environment():
    lines = open(os.path.join(DATA, "dev.env")).read().split("\n")
    return dict(line.split("=", 1) for line in lines if line)


ENV = environment()


s3 = boto3.client(
    "s3",
    endpoint_url=ENV["S3_ENDPOINT"],
    verify=ENV["CA_FILE"],
    region_name=ENV["AWS_REGION"],
    aws_access_key_id=ENV["ACME_ACCESS_KEY_ID"],
    aws_secret_access_key=ENV["ACME_SECRET_ACCESS_KEY"],
    config=Config(s3={"addressing_style": "path"}),
)
BUCKET = ENV["ACME_BUCKET"]


def content(size, seed=b"x"):
    out = bytearray()
    block = seed
    while len(out) < size:
        block = hashlib.sha512(block).digest()
        out += block * 1024
    return bytes(out[:size])


def same(key, body):
    got = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert got == body, f"{key}: {len(got)} bytes of {len(body)}"
    assert s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == len(body)
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=key)["Contents"]
    assert [one["Size"] for one in listed if one["Key"] == key] == [len(body)], listed


def code(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError(f"{arguments} was taken")


def upload_and_download():
    """upload_file and download_file as everybody uses them: parts of 8 MiB, several at once, a CRC in a trailer of each."""
    for size in [8 * MIB, 20 * MIB + 123, 24 * MIB]:
        body, key = content(size), f"transfer/{size}"
        with tempfile.NamedTemporaryFile() as file:
            file.write(body)
            file.flush()
            s3.upload_file(file.name, BUCKET, key, ExtraArgs={"ContentType": "text/x-t", "Metadata": {"color": "blue"}})
            same(key, body)
            back = file.name + ".back"
            s3.download_file(BUCKET, key, back)
            assert open(back, "rb").read() == body
            os.unlink(back)
        head = s3.head_object(Bucket=BUCKET, Key=key)
        assert head["ContentType"] == "text/x-t" and head["Metadata"] == {"color": "blue"}, head
        assert "-" in head["ETag"], "or clients take it for an MD5"


def streams():
    """A stream of unknown length, whose last part is small: also the only one."""
    for size in [0, 1, 5 * MIB - 1, 5 * MIB, 12 * MIB + 1]:
        body, key = content(size, b"s"), f"stream/{size}"
        config = TransferConfig(multipart_threshold=1, multipart_chunksize=5 * MIB)
        s3.upload_fileobj(io.BytesIO(body), BUCKET, key, Config=config)
        same(key, body)


def each_checksum():
    for algorithm in ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]:
        if algorithm in ("CRC32C", "CRC64NVME"):
            try:
                import awscrt  # noqa: F401
            except ImportError:
                continue
        key = f"checksum/{algorithm}"
        begun = s3.create_multipart_upload(Bucket=BUCKET, Key=key, ChecksumAlgorithm=algorithm)
        assert begun["ChecksumAlgorithm"] == algorithm, begun
        assert begun["ChecksumType"] == ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"), begun
        parts, bodies = [], [content(5 * MIB, b"1"), content(77, b"2")]
        for number, body in enumerate(bodies, 1):
            done = s3.upload_part(
                Bucket=BUCKET, Key=key, UploadId=begun["UploadId"], PartNumber=number, Body=body, ChecksumAlgorithm=algorithm
            )
            name = "Checksum" + algorithm
            parts.append({"PartNumber": number, "ETag": done["ETag"], name: done[name]})
        arguments = {"Bucket": BUCKET, "Key": key, "UploadId": begun["UploadId"], "MultipartUpload": {"Parts": parts}}
        if algorithm == "SHA256":
            wrong = base64.b64encode(bytes(32)).decode()
            assert code(s3.complete_multipart_upload, **arguments, ChecksumSHA256=wrong) == "BadDigest"
            digests = b"".join(hashlib.sha256(body).digest() for body in bodies)
            right = base64.b64encode(hashlib.sha256(digests).digest()).decode()
            done = s3.complete_multipart_upload(**arguments, ChecksumSHA256=right, MpuObjectSize=5 * MIB + 77)
            assert done["ChecksumSHA256"] == right + "-2", done
            assert done["ChecksumType"] == "COMPOSITE", done
            told = s3.head_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
            assert told["ChecksumSHA256"] == right + "-2", told
        else:
            s3.complete_multipart_upload(**arguments)
        same(key, b"".join(bodies))


def listings():
    key = "list/parts"
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    sizes = {1: 5 * MIB, 2: 6 * MIB, 5: 100}
    for number, size in sizes.items():
        s3.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=content(size))
    pages = s3.get_paginator("list_parts").paginate(Bucket=BUCKET, Key=key, UploadId=upload, PaginationConfig={"PageSize": 2})
    seen = {part["PartNumber"]: part["Size"] for page in pages for part in page.get("Parts", [])}
    assert seen == sizes, seen
    uploads = s3.list_multipart_uploads(Bucket=BUCKET, Prefix="list/")["Uploads"]
    assert [one["UploadId"] for one in uploads] == [upload], uploads
    assert code(s3.complete_multipart_upload, Bucket=BUCKET, Key=key, UploadId=upload) == "MalformedXML"
    s3.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload)
    assert code(s3.list_parts, Bucket=BUCKET, Key=key, UploadId=upload) == "NoSuchUpload"
    assert code(s3.head_object, Bucket=BUCKET, Key=key) == "404"


for step in [upload_and_download, streams, each_checksum, listings]:
    step()
    print(step.__name__, "holds", flush=True)
print("done")
