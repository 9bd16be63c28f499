"""What boto3 signs for others through `portcullis dev`: URLs for GET, PUT, parts and HEAD in both signature versions, browser forms, and
the copies that its transfer manager makes.

usage: forms_and_urls.py DATA_DIR      (with `portcullis dev --data DATA_DIR` running)
"""

import hashlib
import os
import sys
import urllib.error
import urllib.request
import uuid

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

DATA = sys.argv[1]
ENV = dict(line.split("=", 1) for line in open(os.path.join(DATA, "dev.env")).read().split("\n") if line)
BUCKET = ENV["ACME_BUCKET"]
MIB = 1024 * 1024


def client(version):
    return boto3.client(
        "s3",
        endpoint_url=ENV["S3_ENDPOINT"],
        region_name=ENV["AWS_REGION"],
        aws_access_key_id=ENV["ACME_ACCESS_KEY_ID"],
        aws_secret_access_key=ENV["ACME_SECRET_ACCESS_KEY"],
        config=Config(signature_version=version, s3={"addressing_style": "path"}),
    )


s3 = client("s3v4")


def content(size, seed):
    block, out = seed, bytearray()
    while len(out) < size:
        block = hashlib.sha512(block).digest()
        out += block * 512
    return bytes(out[:size])


def ask(method, url, body=None, headers=None):
    """Status, headers and body, whatever the status."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def same(key, body):
    got = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert got == body, f"{key}: {len(got)} bytes of {len(body)}"
    assert s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == len(body)


def presigned_urls():
    for version in ["s3v4", "s3"]:
        signing, key, body = client(version), f"url/{version}", content(200_000, version.encode())

        def url(operation, **more):
            return signing.generate_presigned_url(operation, Params={"Bucket": BUCKET, "Key": key, **more}, ExpiresIn=300)

        # urllib names a type of its own for every body; version 2 signs it.
        typed = {"ContentType": "text/x-t"}, {"Content-Type": "text/x-t"}
        assert ask("PUT", url("put_object", **typed[0]), body, typed[1])[0] == 200
        same(key, body)
        assert ask("GET", url("get_object"))[2] == body
        status, _, part = ask("GET", url("get_object"), headers={"Range": "bytes=65530-65540"})
        assert (status, part) == (206, body[65530:65541])
        assert ask("HEAD", url("head_object"))[1]["Content-Length"] == str(len(body))
        assert ask("GET", url("get_object", ResponseContentType="text/y"))[1]["Content-Type"] == "text/y"
        changed = url("get_object").replace(version, version + "x", 1)
        assert ask("GET", changed)[0] == 403, "a URL is of one key"
        assert ask("DELETE", url("get_object"))[0] == 403, "and of one method"
        same(key, body)


def presigned_parts():
    key, bodies = "url/parts", [content(5 * MIB, b"1"), content(77, b"2")]
    named = {"Bucket": BUCKET, "Key": key}
    named["UploadId"] = s3.create_multipart_upload(**named)["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        url = s3.generate_presigned_url("upload_part", Params={**named, "PartNumber": number})
        status, headers, _ = ask("PUT", url, body)
        assert status == 200
        parts.append({"PartNumber": number, "ETag": headers["ETag"]})
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    same(key, b"".join(bodies))


def post(form, body, more=()):
    boundary = uuid.uuid4().hex
    out = bytearray()
    for name, value in {**form["fields"], **dict(more)}.items():
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    out += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a b.bin"\r\n\r\n'.encode()
    out += body + f"\r\n--{boundary}--\r\n".encode()
    return ask("POST", form["url"], bytes(out), {"Content-Type": f"multipart/form-data; boundary={boundary}"})


def forms():
    for version in ["s3v4", "s3"]:
        for size in [0, 1000, 9 * MIB + 5]:
            key, body = f"form/{version}/{size}", content(size, b"f")
            said = {"success_action_status": "201", "x-amz-meta-color": "blue"}
            form = client(version).generate_presigned_post(
                BUCKET, key, Fields=said, Conditions=[*({name: value} for name, value in said.items()), ["content-length-range", 0, 10 * MIB]]
            )
            status, headers, answer = post(form, body)
            assert status == 201 and f"<Key>{key}</Key>".encode() in answer, (status, answer)
            assert headers["Location"].startswith(ENV["S3_ENDPOINT"]), headers["Location"]
            same(key, body)
            assert s3.head_object(Bucket=BUCKET, Key=key)["Metadata"] == {"color": "blue"}
    back = {"success_action_redirect": "http://127.0.0.1:1/back"}
    form = s3.generate_presigned_post(BUCKET, "form/redirect", Fields=back, Conditions=[back])
    status, headers, _ = post(form, b"x")
    assert status == 303 and headers["Location"].startswith("http://127.0.0.1:1/back?bucket="), (status, headers["Location"])
    # What the policy does not permit leaves nothing behind.
    form = s3.generate_presigned_post(BUCKET, "form/refused", Conditions=[["content-length-range", 0, 10]])
    assert post(form, b"eleven byte")[0] == 400
    assert post(form, b"x", {"x-amz-meta-unasked": "1"})[0] == 403
    assert not s3.list_objects_v2(Bucket=BUCKET, Prefix="form/refused")["KeyCount"]


def copies():
    body = content(12 * MIB + 3, b"c")
    s3.put_object(Bucket=BUCKET, Key="copy/from", Body=body, ContentType="text/x-t", Metadata={"color": "blue"})
    source = {"Bucket": BUCKET, "Key": "copy/from"}
    s3.copy_object(Bucket=BUCKET, Key="copy/whole", CopySource=source)
    same("copy/whole", body)
    assert s3.head_object(Bucket=BUCKET, Key="copy/whole")["Metadata"] == {"color": "blue"}
    s3.copy_object(Bucket=BUCKET, Key="copy/whole", CopySource=source, MetadataDirective="REPLACE", Metadata={"color": "red"})
    assert s3.head_object(Bucket=BUCKET, Key="copy/whole")["Metadata"] == {"color": "red"}
    # The transfer manager copies in parts, as `aws s3 cp` and `mv` do.
    s3.copy(source, BUCKET, "copy/parts", Config=TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB))
    same("copy/parts", body)


for step in [presigned_urls, presigned_parts, forms, copies]:
    step()
    print(step.__name__, "holds", flush=True)
print("done")
