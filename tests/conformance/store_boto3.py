"""What S3 does, asked of a store through boto3: every operation the directory store has, and its errors' codes.

usage: store_boto3.py ENDPOINT ACCESS_KEY SECRET_KEY [NAME_PART]

Runs every function named `check_…` (or those whose name has NAME_PART), each in a bucket of its own. Written against S3's
behaviour, not against one store, so it can be pointed at any S3 whose bucket names are free.
"""

import base64
import hashlib
import http.client
import sys
import traceback
import urllib.parse
import zlib

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT, ACCESS_KEY, SECRET_KEY = sys.argv[1:4]
MIB = 1 << 20


def client(access_key=ACCESS_KEY, secret_key=SECRET_KEY, **config):
    config = {"s3": {"addressing_style": "path"}, "signature_version": "s3v4", "retries": {"max_attempts": 1}, **config}
    return boto3.client("s3", endpoint_url=ENDPOINT, region_name="us-east-1", aws_access_key_id=access_key,
                        aws_secret_access_key=secret_key, config=Config(**config))


s3 = client()


def raises(code, status, call, *args, **kwargs):
    try:
        answer = call(*args, **kwargs)
    except ClientError as error:
        got = (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
        assert got == (code, status), f"wanted {code} {status}, got {got}: {error}"
        return error.response
    raise AssertionError(f"wanted {code} {status}, got {answer}")


def md5(data):
    return hashlib.md5(data).hexdigest()


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def body(size, seed=1):
    block = hashlib.sha256(str(seed).encode()).digest()
    return (block * (size // len(block) + 1))[:size]


def get(bucket, key, **kwargs):
    return s3.get_object(Bucket=bucket, Key=key, **kwargs)["Body"].read()


def raw(method, url, data=b"", headers=None):
    """A request as it is, past the SDK."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    connection.request(method, parts.path + ("?" + parts.query if parts.query else ""), data, headers or {})
    response = connection.getresponse()
    answer = response.status, dict((name.lower(), value) for name, value in response.getheaders()), response.read()
    connection.close()
    return answer


# Buckets


def check_buckets(bucket):
    names = [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
    assert bucket in names and names == sorted(names)
    assert s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    raises("BucketAlreadyOwnedByYou", 409, s3.create_bucket, Bucket=bucket)
    page = s3.list_buckets(MaxBuckets=1, Prefix=bucket)
    assert [entry["Name"] for entry in page["Buckets"]] == [bucket]

    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    raises("BucketNotEmpty", 409, s3.delete_bucket, Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.create_multipart_upload(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    raises("NoSuchBucket", 404, s3.delete_bucket, Bucket=bucket)
    raises("404", 404, s3.head_bucket, Bucket=bucket)
    raises("NoSuchBucket", 404, s3.get_bucket_location, Bucket=bucket)
    for call in (s3.list_objects, s3.list_objects_v2, s3.list_multipart_uploads, s3.list_object_versions):
        raises("NoSuchBucket", 404, call, Bucket=bucket)
    raises("NoSuchBucket", 404, s3.put_object, Bucket=bucket, Key="k", Body=b"x")
    raises("NoSuchBucket", 404, s3.get_object, Bucket=bucket, Key="k")
    raises("NoSuchBucket", 404, s3.create_multipart_upload, Bucket=bucket, Key="k")

    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == "eu-central-1"
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "eu-central-1"


# Who asks


def check_signatures(bucket):
    raises("InvalidAccessKeyId", 403, client("AKIANOBODY").list_objects_v2, Bucket=bucket)
    raises("SignatureDoesNotMatch", 403, client(secret_key="wrong").list_objects_v2, Bucket=bucket)
    assert raw("GET", f"{ENDPOINT}/{bucket}/k")[0] == 403
    for version in ("s3v4", "s3"):
        signer = client(signature_version=version)
        url = signer.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "pre signed/ü+"})
        assert raw("PUT", url, b"by url")[0] == 200
        url = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "pre signed/ü+"})
        assert raw("GET", url)[2] == b"by url"
    form = s3.generate_presigned_post(bucket, "form/${filename}", Conditions=[["content-length-range", 1, 100]])
    lines = b""
    for name, value in form["fields"].items():
        lines += f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    lines += b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nby form\r\n--B--\r\n'
    status, _, text = raw("POST", form["url"], lines, {"Content-Type": "multipart/form-data; boundary=B"})
    assert status == 204, text


# Put, get, head, delete


def check_put_and_get(bucket):
    for size in (0, 1, 65536, 3 * MIB + 7):
        data = body(size)
        put = s3.put_object(Bucket=bucket, Key="k", Body=data)
        assert put["ETag"] == f'"{md5(data)}"'
        assert put["ChecksumCRC32"] == crc32(data) and put["ChecksumType"] == "FULL_OBJECT"
        answer = s3.get_object(Bucket=bucket, Key="k")
        assert answer["Body"].read() == data and answer["ContentLength"] == size
        assert answer["ETag"] == put["ETag"] and answer["AcceptRanges"] == "bytes"
        assert answer["ContentType"] == "binary/octet-stream" and "StorageClass" not in answer
        assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == size
    raises("NoSuchKey", 404, s3.get_object, Bucket=bucket, Key="none")
    raises("404", 404, s3.head_object, Bucket=bucket, Key="none")
    raises("NoSuchVersion", 404, s3.get_object, Bucket=bucket, Key="k", VersionId="AbCd1234")
    assert get(bucket, "k", VersionId="null") == data


def check_attributes_come_back(bucket):
    from datetime import datetime, timezone
    expires = datetime(2031, 5, 6, 7, 8, 9, tzinfo=timezone.utc)
    given = dict(ContentType="text/x-thing; charset=utf-8", ContentEncoding="gzip", ContentLanguage="de, en",
                 ContentDisposition='attachment; filename="a b.txt"', CacheControl="max-age=5", Expires=expires,
                 Metadata={"one": "1", "two-words": "a  b", "third": "x=y;z"}, StorageClass="STANDARD_IA",
                 WebsiteRedirectLocation="/elsewhere", Tagging="a=1&b%20c=d")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **given)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m", **given)["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"x")
    s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    for key in ("k", "m"):
        for answer in (s3.get_object(Bucket=bucket, Key=key), s3.head_object(Bucket=bucket, Key=key)):
            for name, value in given.items():
                if name == "Expires":
                    assert answer["ExpiresString"] == "Tue, 06 May 2031 07:08:09 GMT", answer["ExpiresString"]
                elif name != "Tagging":
                    assert answer[name] == value, (name, answer[name])
        for call in (s3.get_object, s3.head_object):
            headers = call(Bucket=bucket, Key=key)["ResponseMetadata"]["HTTPHeaders"]
            assert headers["x-amz-tagging-count"] == "2"
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="k")["Contents"][0]
    assert listed["StorageClass"] == "STANDARD_IA"
    s3.put_object(Bucket=bucket, Key="u", Body=b"", Metadata={"name": "plain"})
    assert s3.head_object(Bucket=bucket, Key="u")["Metadata"] == {"name": "plain"}
    overridden = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="a/b", ResponseCacheControl="no-store",
                               ResponseContentDisposition="inline", ResponseContentEncoding="identity",
                               ResponseContentLanguage="fr", ResponseExpires=expires)
    assert overridden["ContentType"] == "a/b" and overridden["CacheControl"] == "no-store"
    assert overridden["ContentDisposition"] == "inline" and overridden["ContentLanguage"] == "fr"
    raises("MetadataTooLarge", 400, s3.put_object, Bucket=bucket, Key="k", Body=b"", Metadata={"a": "x" * 2048})
    raises("InvalidStorageClass", 400, s3.put_object, Bucket=bucket, Key="k", Body=b"", StorageClass="CELLAR")


def check_keys_are_kept_as_they_are(bucket):
    keys = ["plain", "a/b/c", "/", "//", "a//b", "..", "../x", "./y", ".dot", "a b+c%20d", "ü/日本/😀", "tail/", "~", "'()!*",
            "x" * 1024, "/" * 900, "?#&=", "%2F", "%"]
    for number, key in enumerate(keys):
        s3.put_object(Bucket=bucket, Key=key, Body=str(number).encode())
    for number, key in enumerate(keys):
        assert get(bucket, key) == str(number).encode(), key
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(keys, key=lambda key: key.encode()), listed
    raises("KeyTooLongError", 400, s3.put_object, Bucket=bucket, Key="x" * 1025, Body=b"")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert len(answer["Deleted"]) == len(keys) and "Errors" not in answer, answer
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def check_ranges(bucket):
    data = body(1000)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    cases = [("bytes=0-0", 0, 1), ("bytes=10-19", 10, 20), ("bytes=990-", 990, 1000), ("bytes=-7", 993, 1000),
             ("bytes=-5000", 0, 1000), ("bytes=999-5000", 999, 1000), ("bytes=0-999", 0, 1000)]
    for asked, first, end in cases:
        answer = s3.get_object(Bucket=bucket, Key="k", Range=asked)
        assert answer["Body"].read() == data[first:end], asked
        assert answer["ContentRange"] == f"bytes {first}-{end - 1}/1000"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert "ChecksumCRC32" not in answer
        head = s3.head_object(Bucket=bucket, Key="k", Range=asked)
        assert head["ContentLength"] == end - first and head["ResponseMetadata"]["HTTPStatusCode"] == 206
    for key, asked, size in (("k", "bytes=1000-", 1000), ("k", "bytes=-0", 1000), ("empty", "bytes=0-", 0)):
        answer = raises("InvalidRange", 416, s3.get_object, Bucket=bucket, Key=key, Range=asked)
        assert answer["ResponseMetadata"]["HTTPHeaders"]["content-range"] == f"bytes */{size}"


def check_read_conditions(bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    when = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    from datetime import timedelta
    before, after = when - timedelta(seconds=5), when + timedelta(seconds=5)
    for call, codes in ((s3.get_object, ("PreconditionFailed", "304")), (s3.head_object, ("412", "304"))):
        call(Bucket=bucket, Key="k", IfMatch=etag)
        call(Bucket=bucket, Key="k", IfMatch=f'"x", {etag}')
        call(Bucket=bucket, Key="k", IfMatch="*")
        call(Bucket=bucket, Key="k", IfNoneMatch='"x"', IfModifiedSince=after)
        call(Bucket=bucket, Key="k", IfModifiedSince=before)
        call(Bucket=bucket, Key="k", IfUnmodifiedSince=after)
        call(Bucket=bucket, Key="k", IfUnmodifiedSince=before, IfMatch=etag)
        raises(codes[0], 412, call, Bucket=bucket, Key="k", IfMatch='"x"')
        raises(codes[0], 412, call, Bucket=bucket, Key="k", IfUnmodifiedSince=before)
        for condition in ({"IfNoneMatch": etag}, {"IfNoneMatch": "*"}, {"IfModifiedSince": when}):
            answer = raises(codes[1], 304, call, Bucket=bucket, Key="k", **condition)
            assert answer["ResponseMetadata"]["HTTPHeaders"]["etag"] == etag
            assert "last-modified" in answer["ResponseMetadata"]["HTTPHeaders"]


def check_write_conditions(bucket):
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    raises("PreconditionFailed", 412, s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    raises("PreconditionFailed", 412, s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"x"')
    raises("NoSuchKey", 404, s3.put_object, Bucket=bucket, Key="none", Body=b"2", IfMatch=first)
    raises("NotImplemented", 501, s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch=first)
    assert get(bucket, "k") == b"1"
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=first)["ETag"]
    raises("PreconditionFailed", 412, s3.put_object, Bucket=bucket, Key="k", Body=b"3", IfMatch=first)
    raises("PreconditionFailed", 412, s3.delete_object, Bucket=bucket, Key="k", IfMatch=first)
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=second)
    raises("NoSuchKey", 404, s3.get_object, Bucket=bucket, Key="k")

    def upload(key, data, **conditions):
        upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=data)
        return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, **conditions,
                                            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    etag = upload("m", b"1", IfNoneMatch="*")["ETag"]
    raises("PreconditionFailed", 412, upload, "m", b"2", IfNoneMatch="*")
    raises("PreconditionFailed", 412, upload, "m", b"2", IfMatch='"x"')
    upload("m", b"3", IfMatch=etag)
    assert get(bucket, "m") == b"3"


def check_one_of_many_creators_wins(bucket):
    from concurrent.futures import ThreadPoolExecutor

    def create(number):
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=str(number).encode(), IfNoneMatch="*")
            return number
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"
    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(create, range(16)) if number is not None]
    assert len(winners) == 1 and get(bucket, "k") == str(winners[0]).encode()


def check_integrity(bucket):
    good = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=good)
    raises("BadDigest", 400, s3.put_object, Bucket=bucket, Key="n", Body=b"y", ContentMD5=good)
    raises("InvalidDigest", 400, s3.put_object, Bucket=bucket, Key="n", Body=b"y", ContentMD5="short")
    raises("BadDigest", 400, s3.put_object, Bucket=bucket, Key="n", Body=b"y", ChecksumCRC32=crc32(b"x"))
    raises("InvalidRequest", 400, s3.put_object, Bucket=bucket, Key="n", Body=b"y", ChecksumCRC32="bad")
    raises("InvalidRequest", 400, s3.put_object, Bucket=bucket, Key="n", Body=b"y", ChecksumCRC32=crc32(b"y"),
           ChecksumSHA1=base64.b64encode(hashlib.sha1(b"y").digest()).decode())
    # A body other than the one that was signed.
    tampering = client()
    tampering.meta.events.register("before-send.s3.PutObject", lambda request, **_: setattr(request, "body", b"y") and None)
    raises("XAmzContentSHA256Mismatch", 400, tampering.put_object, Bucket=bucket, Key="n", Body=b"x")
    raises("NoSuchKey", 404, s3.get_object, Bucket=bucket, Key="n")


def check_checksums(bucket):
    data = body(10000)
    values = {"CRC32": crc32(data), "SHA1": base64.b64encode(hashlib.sha1(data).digest()).decode(),
              "SHA256": base64.b64encode(hashlib.sha256(data).digest()).decode()}
    for name, value in values.items():
        put = s3.put_object(Bucket=bucket, Key=name, Body=data, ChecksumAlgorithm=name)
        assert put[f"Checksum{name}"] == value
        for call in (s3.get_object, s3.head_object):
            answer = call(Bucket=bucket, Key=name, ChecksumMode="ENABLED")
            assert answer[f"Checksum{name}"] == value and answer["ChecksumType"] == "FULL_OBJECT"
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=name)["Contents"]
        assert listed[0]["ChecksumAlgorithm"] == [name]
    # Without one from the client S3 computes CRC64NVME; this client sends none.
    silent = client(request_checksum_calculation="when_required", response_checksum_validation="when_required")
    silent.put_object(Bucket=bucket, Key="none", Body=b"123456789")
    answer = silent.head_object(Bucket=bucket, Key="none", ChecksumMode="ENABLED")
    assert answer["ChecksumCRC64NVME"] == "rosUhgp5mIg=", answer
    assert "ChecksumCRC64NVME" not in silent.head_object(Bucket=bucket, Key="none")


def check_trailers(bucket):
    """aws-chunked with trailers: over plain http boto3 sends them only when told to."""
    import datetime
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    def send(key, data, checksum, encoding="aws-chunked"):
        framed = f"{len(data):x}\r\n".encode() + data + f"\r\n0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n".encode()
        request = AWSRequest("PUT", f"{ENDPOINT}/{bucket}/{key}", data=framed, headers={
            "Content-Encoding": encoding, "X-Amz-Trailer": "x-amz-checksum-crc32",
            "X-Amz-Decoded-Content-Length": str(len(data)), "X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"})
        signer = S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1")
        signer.payload = lambda request: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        signer.add_auth(request)
        headers = dict(request.headers.items())
        headers["X-Amz-Content-SHA256"] = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        return raw("PUT", request.url, framed, headers)
    data = body(5000)
    status, headers, text = send("k", data, crc32(data))
    assert status == 200 and headers["x-amz-checksum-crc32"] == crc32(data), (status, text)
    assert get(bucket, "k") == data and "ContentEncoding" not in s3.head_object(Bucket=bucket, Key="k")
    assert send("z", data, crc32(data), "gzip,aws-chunked")[0] == 200
    assert s3.head_object(Bucket=bucket, Key="z")["ContentEncoding"] == "gzip"
    status, _, text = send("n", data, crc32(b"other"))
    assert status == 400 and b"BadDigest" in text, text
    raises("404", 404, s3.head_object, Bucket=bucket, Key="n")


def check_deletes(bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert s3.delete_object(Bucket=bucket, Key="a")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert s3.delete_object(Bucket=bucket, Key="a")["ResponseMetadata"]["HTTPStatusCode"] == 204
    for key in ("a", "b", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "none"}]})
    assert [entry["Key"] for entry in answer["Deleted"]] == ["a", "none"]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Quiet": True, "Objects": [
        {"Key": "b"}, {"Key": "c", "ETag": '"wrong"'}]})
    assert "Deleted" not in answer
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [("c", "PreconditionFailed")]
    raises("MalformedXML", 400, s3.delete_objects, Bucket=bucket,
           Delete={"Objects": [{"Key": str(number)} for number in range(1001)]})


def check_what_is_unknown_is_refused(bucket):
    raises("NotImplemented", 501, s3.put_object, Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="AES256")
    raises("NotImplemented", 501, s3.put_bucket_versioning, Bucket=bucket,
           VersioningConfiguration={"Status": "Enabled"})
    raises("NotImplemented", 501, s3.get_bucket_lifecycle_configuration, Bucket=bucket)
    raises("AccessControlListNotSupported", 400, s3.put_object, Bucket=bucket, Key="k", Body=b"", ACL="public-read")


# Listings


def check_list_versions_agree(bucket):
    keys = ["asdf", "boo/bar", "boo/baz/xyzzy", "cquux/bla", "cquux/thud", "sp ace+plus", "ü"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for listing in (s3.list_objects(Bucket=bucket), s3.list_objects_v2(Bucket=bucket, FetchOwner=True)):
        assert [entry["Key"] for entry in listing["Contents"]] == keys
        for entry in listing["Contents"]:
            assert entry["Size"] == len(entry["Key"].encode()) and entry["ETag"] == f'"{md5(entry["Key"].encode())}"'
            assert entry["StorageClass"] == "STANDARD" and "ID" in entry["Owner"]
        assert not listing["IsTruncated"] and listing["MaxKeys"] == 1000 and listing["Name"] == bucket
    assert "Owner" not in s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    versions = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [(entry["Key"], entry["VersionId"], entry["IsLatest"]) for entry in versions] == [(k, "null", True) for k in keys]


def check_list_pages(bucket):
    for key in ("asdf", "boo/bar", "boo/baz/xyzzy", "cquux/bla", "cquux/thud"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")

    def names(page):
        return ([entry["Key"] for entry in page.get("Contents", [])],
                [entry["Prefix"] for entry in page.get("CommonPrefixes", [])])
    page = s3.list_objects(Bucket=bucket, Delimiter="/", MaxKeys=2)
    assert names(page) == (["asdf"], ["boo/"]) and page["IsTruncated"] and page["NextMarker"] == "boo/"
    page = s3.list_objects(Bucket=bucket, Delimiter="/", MaxKeys=2, Marker="boo/")
    assert names(page) == ([], ["cquux/"]) and not page["IsTruncated"] and "NextMarker" not in page
    page = s3.list_objects(Bucket=bucket, MaxKeys=2)
    assert page["IsTruncated"] and "NextMarker" not in page
    assert names(s3.list_objects(Bucket=bucket, Marker=page["Contents"][-1]["Key"]))[0][0] == "boo/baz/xyzzy"

    seen, token = [], {}
    while True:
        page = s3.list_objects_v2(Bucket=bucket, Delimiter="/", MaxKeys=1, **token)
        keys, prefixes = names(page)
        assert page["KeyCount"] == len(keys + prefixes) == 1
        seen += keys + prefixes
        if not page["IsTruncated"]:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert seen == ["asdf", "boo/", "cquux/"]
    assert names(s3.list_objects_v2(Bucket=bucket, StartAfter="boo/baz")) == (["boo/baz/xyzzy", "cquux/bla", "cquux/thud"], [])
    assert names(s3.list_objects_v2(Bucket=bucket, Prefix="boo/", Delimiter="/")) == (["boo/bar"], ["boo/baz/"])
    assert names(s3.list_objects_v2(Bucket=bucket, Prefix="none")) == ([], [])
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert names(page) == ([], []) and not page["IsTruncated"]
    raises("InvalidArgument", 400, s3.list_objects_v2, Bucket=bucket, MaxKeys=-1)
    raises("InvalidArgument", 400, s3.list_objects_v2, Bucket=bucket, ContinuationToken="!")


# Tags, attributes


def check_tags(bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="a=1&b%20c=%C3%BC")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [
        {"Key": "a", "Value": "1"}, {"Key": "b c", "Value": "ü"}]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "x", "Value": "y"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "x", "Value": "y"}]
    assert s3.head_object(Bucket=bucket, Key="k")["ETag"] == put["ETag"]
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    many = [{"Key": str(number), "Value": ""} for number in range(11)]
    raises("InvalidTag", 400, s3.put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": many})
    raises("NoSuchKey", 404, s3.get_object_tagging, Bucket=bucket, Key="none")


def check_object_attributes(bucket):
    data = body(100)
    etag = s3.put_object(Bucket=bucket, Key="k", Body=data)["ETag"]
    wanted = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    answer = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=wanted)
    assert answer["ETag"] == etag.strip('"') and answer["ObjectSize"] == 100 and answer["StorageClass"] == "STANDARD"
    assert answer["Checksum"]["ChecksumCRC32"] == crc32(data) and "ObjectParts" not in answer
    assert "ETag" not in s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize"])

    upload = s3.create_multipart_upload(Bucket=bucket, Key="m", ChecksumAlgorithm="CRC32")["UploadId"]
    parts = []
    for number, size in ((3, 5 * MIB), (7, 9)):
        part = s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=number, Body=body(size, number))
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": parts})
    answer = s3.get_object_attributes(Bucket=bucket, Key="m", ObjectAttributes=wanted, MaxParts=1)
    assert answer["ETag"].endswith("-2") and answer["Checksum"]["ChecksumType"] == "COMPOSITE"
    listed = answer["ObjectParts"]
    assert listed["TotalPartsCount"] == 2 and listed["IsTruncated"] and listed["Parts"][0]["PartNumber"] == 3
    rest = s3.get_object_attributes(Bucket=bucket, Key="m", ObjectAttributes=["ObjectParts"],
                                    PartNumberMarker=listed["NextPartNumberMarker"])["ObjectParts"]
    assert [(part["PartNumber"], part["Size"]) for part in rest["Parts"]] == [(7, 9)] and not rest["IsTruncated"]
    raises("NoSuchKey", 404, s3.get_object_attributes, Bucket=bucket, Key="none", ObjectAttributes=["ETag"])


# Copies


def check_copies(bucket):
    data = body(70000)
    source = s3.put_object(Bucket=bucket, Key="from/ä b+c", Body=data, ContentType="a/b", Metadata={"m": "1"}, Tagging="t=1",
                           StorageClass="STANDARD_IA", ChecksumAlgorithm="SHA256")
    where = {"Bucket": bucket, "Key": "from/ä b+c"}
    copy = s3.copy_object(Bucket=bucket, Key="to", CopySource=where)["CopyObjectResult"]
    assert copy["ETag"] == source["ETag"] and copy["ChecksumSHA256"] == source["ChecksumSHA256"]
    answer = s3.get_object(Bucket=bucket, Key="to")
    assert answer["Body"].read() == data and answer["ContentType"] == "a/b" and answer["Metadata"] == {"m": "1"}
    assert answer["TagCount"] == 1 and "StorageClass" not in answer

    s3.copy_object(Bucket=bucket, Key="to", CopySource=where, MetadataDirective="REPLACE", Metadata={"n": "2"},
                   TaggingDirective="REPLACE", Tagging="u=2", ContentType="c/d")
    answer = s3.head_object(Bucket=bucket, Key="to")
    assert answer["ContentType"] == "c/d" and answer["Metadata"] == {"n": "2"}
    assert s3.get_object_tagging(Bucket=bucket, Key="to")["TagSet"] == [{"Key": "u", "Value": "2"}]

    itself = {"Bucket": bucket, "Key": "to"}
    raises("InvalidRequest", 400, s3.copy_object, Bucket=bucket, Key="to", CopySource=itself)
    s3.copy_object(Bucket=bucket, Key="to", CopySource=itself, MetadataDirective="REPLACE", Metadata={"n": "3"})
    assert s3.head_object(Bucket=bucket, Key="to")["Metadata"] == {"n": "3"} and get(bucket, "to") == data

    etag = source["ETag"]
    s3.copy_object(Bucket=bucket, Key="to", CopySource=where, CopySourceIfMatch=etag)
    s3.copy_object(Bucket=bucket, Key="to", CopySource=where, CopySourceIfNoneMatch='"x"')
    raises("PreconditionFailed", 412, s3.copy_object, Bucket=bucket, Key="to", CopySource=where, CopySourceIfMatch='"x"')
    raises("PreconditionFailed", 412, s3.copy_object, Bucket=bucket, Key="to", CopySource=where, CopySourceIfNoneMatch=etag)
    raises("NoSuchKey", 404, s3.copy_object, Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "none"})
    raises("NoSuchBucket", 404, s3.copy_object, Bucket=bucket, Key="to", CopySource={"Bucket": "no-such-b", "Key": "x"})


# Multipart


def start(bucket, key, *parts, **kwargs):
    """An upload with parts (number, data), and the list that completes it."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **kwargs)["UploadId"]
    listed = []
    for number, data in parts:
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=data)
        assert part["ETag"] == f'"{md5(data)}"' and part["ChecksumCRC32"] == crc32(data)
        listed.append({"PartNumber": number, "ETag": part["ETag"]})
    return upload, listed


def complete(bucket, key, upload, parts, **kwargs):
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **kwargs)


def check_multipart(bucket):
    datas = [(2, body(5 * MIB, 2)), (5, body(5 * MIB + 3, 5)), (10000, body(10, 10))]
    upload, parts = start(bucket, "k", *reversed(datas), (7, b"left out"))
    parts = sorted((part for part in parts if part["PartNumber"] != 7), key=lambda part: part["PartNumber"])
    raises("404", 404, s3.head_object, Bucket=bucket, Key="k")
    answer = complete(bucket, "k", upload, parts)
    whole = b"".join(data for _, data in datas)
    etag = md5(b"".join(hashlib.md5(data).digest() for _, data in datas)) + "-3"
    assert answer["ETag"] == f'"{etag}"' and answer["Key"] == "k" and answer["Bucket"] == bucket
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ETag"] == answer["ETag"] and head["ContentLength"] == len(whole)
    assert head["ChecksumType"] == "FULL_OBJECT" and "ChecksumCRC64NVME" in head
    assert get(bucket, "k") == whole
    first = 0
    for number, data in datas:
        for call in (s3.get_object, s3.head_object):
            part = call(Bucket=bucket, Key="k", PartNumber=number)
            assert part["PartsCount"] == 3 and part["ETag"] == answer["ETag"]
            assert part["ContentRange"] == f"bytes {first}-{first + len(data) - 1}/{len(whole)}"
            assert part["ResponseMetadata"]["HTTPStatusCode"] == 206 and part["ContentLength"] == len(data)
        assert get(bucket, "k", PartNumber=number) == data
        first += len(data)
    raises("InvalidPartNumber", 416, s3.get_object, Bucket=bucket, Key="k", PartNumber=4)
    raises("InvalidRequest", 400, s3.get_object, Bucket=bucket, Key="k", PartNumber=2, Range="bytes=0-1")
    again = complete(bucket, "k", upload, parts)
    assert again["ETag"] == answer["ETag"] and again["ChecksumCRC64NVME"] == answer["ChecksumCRC64NVME"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"another")
    raises("NoSuchUpload", 404, complete, bucket, "k", upload, parts)
    s3.put_object(Bucket=bucket, Key="single", Body=b"one")
    assert get(bucket, "single", PartNumber=1) == b"one"
    raises("InvalidPartNumber", 416, s3.get_object, Bucket=bucket, Key="single", PartNumber=2)


def check_multipart_replaces_parts(bucket):
    upload, _ = start(bucket, "k", (1, b"first try"))
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"second")
    raises("InvalidPart", 400, complete, bucket, "k", upload, [{"PartNumber": 1, "ETag": md5(b"first try")}])
    complete(bucket, "k", upload, [{"PartNumber": 1, "ETag": part["ETag"].strip('"')}])
    assert get(bucket, "k") == b"second"


def check_multipart_errors(bucket):
    upload, parts = start(bucket, "k", (1, b"small"), (2, b"last"))
    raises("EntityTooSmall", 400, complete, bucket, "k", upload, parts)
    raises("InvalidPartOrder", 400, complete, bucket, "k", upload, parts[::-1])
    raises("InvalidPart", 400, complete, bucket, "k", upload, [{"PartNumber": 3, "ETag": parts[0]["ETag"]}])
    raises("InvalidPart", 400, complete, bucket, "k", upload, [{"PartNumber": 1, "ETag": '"wrong"'}])
    raises("MalformedXML", 400, complete, bucket, "k", upload, [])
    raises("InvalidRequest", 400, complete, bucket, "k", upload, parts[:1], MpuObjectSize=4)
    raises("NoSuchUpload", 404, complete, bucket, "other", upload, parts)
    for number in (0, 10001):
        raises("InvalidArgument", 400, s3.upload_part, Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=b"")
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    raises("NoSuchUpload", 404, s3.abort_multipart_upload, Bucket=bucket, Key="k", UploadId=upload)
    raises("NoSuchUpload", 404, s3.upload_part, Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"")
    raises("NoSuchUpload", 404, s3.list_parts, Bucket=bucket, Key="k", UploadId=upload)
    raises("404", 404, s3.head_object, Bucket=bucket, Key="k")


def check_multipart_checksums(bucket):
    data = [body(5 * MIB, 1), body(20, 2)]
    for algorithm, digest in (("CRC32", lambda d: zlib.crc32(d).to_bytes(4, "big")),
                              ("SHA256", lambda d: hashlib.sha256(d).digest())):
        field = f"Checksum{algorithm}"
        created = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm)
        assert created["ChecksumAlgorithm"] == algorithm and created["ChecksumType"] == "COMPOSITE"
        upload = created["UploadId"]
        parts = []
        for number, part in enumerate(data, 1):
            answer = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=part,
                                    ChecksumAlgorithm=algorithm)
            parts.append({"PartNumber": number, "ETag": answer["ETag"], field: answer[field]})
        raises("InvalidRequest", 400, s3.upload_part, Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x",
               ChecksumAlgorithm="SHA1")
        raises("InvalidRequest", 400, complete, bucket, "k", upload, [{k: p[k] for k in ("PartNumber", "ETag")} for p in parts])
        raises("InvalidPart", 400, complete, bucket, "k", upload, [{**parts[0], field: parts[1][field]}, parts[1]])
        composite = base64.b64encode(digest(b"".join(map(digest, data)))).decode()
        raises("BadDigest", 400, complete, bucket, "k", upload, parts, **{field: parts[0][field]})
        answer = complete(bucket, "k", upload, parts, **{field: composite + "-2"})
        assert answer[field] == composite + "-2"
        answer = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert answer[field] == composite + "-2" and answer["ChecksumType"] == "COMPOSITE"
        assert answer["Body"].read() == b"".join(data)
        assert s3.get_object(Bucket=bucket, Key="k", PartNumber=2, ChecksumMode="ENABLED")[field] == parts[1][field]

    upload = s3.create_multipart_upload(Bucket=bucket, Key="f", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")["UploadId"]
    parts = [{"PartNumber": number, "ETag": s3.upload_part(Bucket=bucket, Key="f", UploadId=upload, PartNumber=number,
                                                           Body=part)["ETag"]} for number, part in enumerate(data, 1)]
    raises("BadDigest", 400, complete, bucket, "f", upload, parts, ChecksumCRC32=crc32(b"other"))
    complete(bucket, "f", upload, parts, ChecksumCRC32=crc32(b"".join(data)))
    assert s3.head_object(Bucket=bucket, Key="f", ChecksumMode="ENABLED")["ChecksumCRC32"] == crc32(b"".join(data))
    raises("InvalidRequest", 400, s3.create_multipart_upload, Bucket=bucket, Key="f", ChecksumAlgorithm="SHA256",
           ChecksumType="FULL_OBJECT")


def check_part_copies(bucket):
    data = body(6 * MIB)
    source = s3.put_object(Bucket=bucket, Key="from", Body=data)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]

    def copy(number, **kwargs):
        return s3.upload_part_copy(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number,
                                   CopySource={"Bucket": bucket, "Key": "from"}, **kwargs)
    parts = [copy(1)["CopyPartResult"], copy(2, CopySourceRange="bytes=100-1999")["CopyPartResult"]]
    assert parts[0]["ETag"] == source["ETag"] and parts[1]["ETag"] == f'"{md5(data[100:2000])}"'
    raises("InvalidRange", 416, copy, 3, CopySourceRange=f"bytes=0-{len(data)}")
    raises("InvalidArgument", 400, copy, 3, CopySourceRange="bytes=5-")
    raises("PreconditionFailed", 412, copy, 3, CopySourceIfMatch='"x"')
    complete(bucket, "k", upload, [{"PartNumber": n, "ETag": part["ETag"]} for n, part in enumerate(parts, 1)])
    assert get(bucket, "k") == data + data[100:2000]


def check_multipart_listings(bucket):
    upload, parts = start(bucket, "b", (1, b"a"), (3, b"bb"), (8, b"ccc"))
    page = s3.list_parts(Bucket=bucket, Key="b", UploadId=upload, MaxParts=2)
    assert [(part["PartNumber"], part["Size"]) for part in page["Parts"]] == [(1, 1), (3, 2)]
    assert page["IsTruncated"] and page["NextPartNumberMarker"] == 3 and page["StorageClass"] == "STANDARD"
    rest = s3.list_parts(Bucket=bucket, Key="b", UploadId=upload, PartNumberMarker=3)
    assert [part["PartNumber"] for part in rest["Parts"]] == [8] and not rest["IsTruncated"]
    assert rest["Parts"][0]["ETag"] == parts[2]["ETag"]

    second = start(bucket, "b")[0]
    others = [start(bucket, key)[0] for key in ("a", "dir/x", "dir/y")]
    every = s3.list_multipart_uploads(Bucket=bucket)
    assert [(u["Key"], u["UploadId"]) for u in every["Uploads"]] == [
        ("a", others[0]), ("b", upload), ("b", second), ("dir/x", others[1]), ("dir/y", others[2])]
    seen, markers = [], {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", MaxUploads=1, **markers)
        seen += [u["UploadId"] for u in page.get("Uploads", [])] + [p["Prefix"] for p in page.get("CommonPrefixes", [])]
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert seen == [others[0], upload, second, "dir/"], seen
    assert len(s3.list_multipart_uploads(Bucket=bucket, Prefix="dir/")["Uploads"]) == 2
    assert len(s3.list_multipart_uploads(Bucket=bucket, KeyMarker="b")["Uploads"]) == 2


def check_transfers(bucket):
    """upload_file and its like as applications call them: multipart, in threads, with ranged downloads."""
    import io
    data = body(17 * MIB + 5)
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
    s3.upload_fileobj(io.BytesIO(data), bucket, "k", Config=config)
    target = io.BytesIO()
    s3.download_fileobj(bucket, "k", target, Config=config)
    assert target.getvalue() == data
    s3.copy({"Bucket": bucket, "Key": "k"}, bucket, "copy", Config=config)
    assert get(bucket, "copy") == data


def empty(bucket):
    try:
        for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=entry["Key"])
        s3.delete_bucket(Bucket=bucket)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchBucket", error


def main():
    part = sys.argv[4] if len(sys.argv) > 4 else ""
    checks = [(name, check) for name, check in globals().items() if name.startswith("check_") and part in name]
    failed = 0
    for number, (name, check) in enumerate(checks):
        bucket = f"store-check-{number}"
        try:
            s3.create_bucket(Bucket=bucket)
            check(bucket)
            empty(bucket)
            print(f"ok      {name}")
        except Exception:
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}")
    print(f"{len(checks) - failed} of {len(checks)} checks hold")
    sys.exit(1 if failed or not checks else 0)


main()
