#!/usr/bin/env python3
"""Versions, locks and tags through the gate before a real store, by an unmodified boto3: what `portcullis dev`'s own store does not have.

usage: versions_and_locks.py [--store STORE] [--binary PORTCULLIS] [--bare] [--only STEP]

--store  one of tests/conformance/stores, or a file of the JSON that these print (by default radosgw)
--bare   the store without the gate: whether it is the store that differs from what is expected here

Prints a line for each step that holds, and ends with 1 at the first check that does not.
"""

import argparse
import copy
import datetime
import io
import secrets
import sys
import tempfile
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).resolve().parent))
from gate import Gate, binary  # noqa: E402
from processes import Children  # noqa: E402
from store import Store  # noqa: E402

MIB = 1 << 20
STEPS = []
PROTECTED = ["AccessDenied", "InvalidRequest"]


class Case:
    """A bucket of its own for one step, through the gate as `s3` and past it as `store`."""

    def __init__(self, name, s3, store, bare, **options):
        self.s3, self.store, self.bare = s3, store, bare
        # A store that goes on running keeps what a lock protects.
        self.bucket = f"{name.replace('_', '-')}-{secrets.token_hex(4)}"
        s3.create_bucket(Bucket=self.bucket, **options)

    def versioned(self, status="Enabled"):
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": status})
        told = self.s3.get_bucket_versioning(Bucket=self.bucket)
        same(told["Status"], status, "the bucket's versioning")

    def put(self, key, body, **options):
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **options)["VersionId"]

    def copy(self, key, source, **options):
        """Ceph 16 does not tell the version of a copy."""
        done = self.s3.copy_object(Bucket=self.bucket, Key=key, CopySource=source, **options)
        made = self.s3.head_object(Bucket=self.bucket, Key=key)["VersionId"]
        same(done.get("VersionId", made), made, key, "the version that a copy made")
        if "VersionId" in source:
            same(done.get("CopySourceVersionId", source["VersionId"]), source["VersionId"], key, "which version was copied")
        return made

    def kept_by_the_store(self, what, make, seen):
        """Whether the store does it by itself: `make` gives a version of `past`, of which `seen` is asked."""
        past = copy.copy(self)
        past.s3 = self.store
        which = {"Bucket": self.bucket, "Key": "past", "VersionId": make(past)}
        kept = seen(self.store, which)
        if not kept:
            print(f"  the store by itself does not keep {what}: not checked")
        return kept

    def multipart(self, key, *bodies, **options):
        upload = self.s3.create_multipart_upload(Bucket=self.bucket, Key=key, **options)["UploadId"]
        which = {"Bucket": self.bucket, "Key": key, "UploadId": upload}
        parts = []
        for number, body in enumerate(bodies, 1):
            sent = self.s3.upload_part(**which, PartNumber=number, Body=body)
            parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        return self.s3.complete_multipart_upload(**which, MultipartUpload={"Parts": parts})["VersionId"]

    def holds(self, key, version, body, **told):
        """GET, HEAD and a range of this version."""
        which = {"Bucket": self.bucket, "Key": key, "VersionId": version}
        got = self.s3.get_object(**which)
        same(got["Body"].read(), body, key, version)
        head = self.s3.head_object(**which)
        for answer in (got, head):
            same(answer["ContentLength"], len(body), key, version, "its length")
            # MinIO does not tell the one that is null.
            same(answer.get("VersionId", "null"), version, key, "its version")
            for name, value in told.items():
                same(answer.get(name), value, key, version, name)
        same(got["ETag"], head["ETag"], key, version, "its ETag")
        if len(body) > 70_000:
            middle = self.s3.get_object(**which, Range="bytes=65530-65545")
            same(middle["Body"].read(), body[65530:65546], key, version, "a range")
        return head

    def listed(self, prefix="", by=None, **options):
        """What ListObjectVersions says: (key, version) → (size, ETag, is the latest); markers: (key, version) → is the latest."""
        versions, markers = {}, {}
        pages = (by or self.s3).get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix, **options)
        for page in pages:
            for one in page.get("Versions", []):
                versions[one["Key"], one["VersionId"]] = one["Size"], one["ETag"], one["IsLatest"]
            for one in page.get("DeleteMarkers", []):
                markers[one["Key"], one["VersionId"]] = one["IsLatest"]
        return versions, markers

    def protected(self, call, **arguments):
        """The operation of this name is refused because of a lock, as the store spells it (MinIO: 400), and the version is there."""
        self.refused(None, PROTECTED, call, **arguments)
        # An error if it is gone.
        self.s3.get_object(Bucket=self.bucket, Key=arguments["Key"], VersionId=arguments["VersionId"])["Body"].read()

    def refused(self, status, codes, call, by=None, **arguments):
        """The operation of this name is refused so."""
        try:
            getattr(by or self.s3, call)(Bucket=self.bucket, **arguments)
        except ClientError as error:
            said = status_of(error.response), error.response["Error"]["Code"]
            check(status in (said[0], None) and said[1] in codes, call, arguments, f"expected {status} {codes}, got", *said)
            return error.response
        return check(False, call, arguments, "was done")


def step(**options):
    def add(function):
        STEPS.append((function, options))
        return function

    return add


def check(condition, *what):
    """Python's own `assert` can be switched off."""
    if not condition:
        print("FAILED:", *what, flush=True)
        sys.exit(1)


def same(got, expected, *what):
    def short(one):
        return f"{one[:40]!r}… of {len(one)} bytes" if isinstance(one, bytes) and len(one) > 40 else repr(one)

    check(got == expected, *what, f"expected {short(expected)}, got {short(got)}")


def content(size, seed):
    block = bytes((at * 7 + seed * 31 + at // 251) % 256 for at in range(65_521))
    return (block * (size // len(block) + 1))[:size]


def status_of(answer):
    return answer["ResponseMetadata"]["HTTPStatusCode"]


@step()
def versions(case):
    """Each version is its own bytes and its own size, whatever came after it."""
    case.versioned()
    bodies = [content(10, 1), b"", content(200_000, 2)]
    ids = [case.put("k", body, Metadata={"n": str(n)}) for n, body in enumerate(bodies)]
    large = [content(5 * MIB, 3), content(70_001, 4)]
    ids.append(case.multipart("k", *large, Metadata={"n": "3"}))
    bodies.append(b"".join(large))
    case.put("other", b"x")
    check(len(set(ids)) == 4, ids)

    for n, (version, body) in enumerate(zip(ids, bodies)):
        head = case.holds("k", version, body, Metadata={"n": str(n)})
        listed, markers = case.listed("k")
        same(listed["k", version], (len(body), head["ETag"], n == 3), "LIST of version", n)
        same(markers, {}, "no markers")
    same(case.s3.get_object(Bucket=case.bucket, Key="k")["Body"].read(), bodies[3], "the latest")
    # In pages, sizes and all.
    same(case.listed("k", PaginationConfig={"PageSize": 1})[0], case.listed("k")[0], "in pages of one")
    if not case.bare:
        sealed, _ = case.listed("k", by=case.store)
        for version, body in zip(ids, bodies):
            check(sealed["k", version][0] > len(body), "the store has", sealed["k", version][0], "for", len(body))

    etag = case.s3.head_object(Bucket=case.bucket, Key="k", VersionId=ids[0])["ETag"]
    case.refused(304, ["304"], "get_object", Key="k", VersionId=ids[0], IfNoneMatch=etag)
    case.refused(412, ["PreconditionFailed"], "get_object", Key="k", VersionId=ids[2], IfMatch=etag)
    case.refused(404, ["NoSuchVersion", "NoSuchKey"], "get_object", Key="other", VersionId=ids[0])


@step()
def part_numbers_and_attributes(case):
    """GET and HEAD by partNumber, and GetObjectAttributes, of a version that is not the latest."""
    if case.bare:
        return
    case.versioned()
    parts = [content(5 * MIB, 1), content(1000, 2)]
    first = case.multipart("k", *parts)
    case.put("k", b"later")
    for number, body in enumerate(parts, 1):
        got = case.s3.get_object(Bucket=case.bucket, Key="k", VersionId=first, PartNumber=number)
        same((got["Body"].read(), got["PartsCount"]), (body, 2), "part", number)
    told = case.s3.get_object_attributes(Bucket=case.bucket, Key="k", VersionId=first, ObjectAttributes=["ObjectSize", "ObjectParts"])
    same((told["ObjectSize"], told["ObjectParts"]["TotalPartsCount"]), (5 * MIB + 1000, 2), told)
    same(told["VersionId"], first, "the version")


@step()
def delete_markers(case):
    """A marker hides the object and nothing else; without it the object is back."""
    case.versioned()
    body = content(100_000, 1)
    first = case.put("k", body)
    gone = case.s3.delete_object(Bucket=case.bucket, Key="k")
    check(gone["DeleteMarker"], gone)
    marker = gone["VersionId"]
    for call in ("get_object", "head_object"):
        said = [case.refused(404, ["NoSuchKey", "404"], call, by=one, Key="k") for one in (case.s3, case.store)]
        # Ceph 16 does not tell why; the gate tells as much as the store.
        told = [one["ResponseMetadata"]["HTTPHeaders"].get("x-amz-delete-marker") for one in said]
        same(told[0], told[1], call, "of what a marker hides")
    # 405 at AWS; Ceph 16 says that there is none.
    said = case.refused(None, ["MethodNotAllowed", "NoSuchKey"], "get_object", by=case.store, Key="k", VersionId=marker)
    case.refused(status_of(said), [said["Error"]["Code"]], "get_object", Key="k", VersionId=marker)
    same(case.s3.list_objects_v2(Bucket=case.bucket).get("Contents", []), [], "LIST")
    case.holds("k", first, body)
    versions, markers = case.listed()
    same(({key: one[0] for key, one in versions.items()}, markers), ({("k", first): len(body)}, {("k", marker): True}), "LIST versions")
    case.s3.delete_object(Bucket=case.bucket, Key="k", VersionId=marker)
    same(case.s3.get_object(Bucket=case.bucket, Key="k")["Body"].read(), body, "it is back")

    second = case.put("k", b"second")
    case.put("n", b"n")
    wanted = [{"Key": "k", "VersionId": first}, {"Key": "n"}]
    done = case.s3.delete_objects(Bucket=case.bucket, Delete={"Objects": wanted})
    same((len(done["Deleted"]), done.get("Errors", [])), (2, []), done)
    case.refused(404, ["NoSuchVersion", "NoSuchKey"], "get_object", Key="k", VersionId=first)
    case.holds("k", second, b"second")
    versions, markers = case.listed()
    same(sorted(key for key, _ in versions), ["k", "n"], "what is left")
    same([key for key, _ in markers], ["n"], "its marker")


@step()
def suspended(case):
    """Versions named null, before versioning and after it."""
    case.s3.put_object(Bucket=case.bucket, Key="k", Body=b"before")
    case.versioned()
    kept = case.put("k", b"kept" * 30_000)
    case.holds("k", "null", b"before")
    case.versioned("Suspended")
    case.s3.put_object(Bucket=case.bucket, Key="k", Body=b"after")
    case.holds("k", kept, b"kept" * 30_000)
    case.holds("k", "null", b"after")
    versions, _ = case.listed()
    same({key: one[0] for key, one in versions.items()}, {("k", kept): 120_000, ("k", "null"): 5}, "LIST versions")


@step()
def copies(case):
    """A version as the source of a copy, whole and in parts; and as what makes an old version the latest again."""
    case.versioned()
    old = content(5 * MIB + 77, 1)
    first = case.put("k", old, Metadata={"color": "blue"}, ContentType="text/x-t")
    case.put("k", b"new")
    source = {"Bucket": case.bucket, "Key": "k", "VersionId": first}
    case.holds("copy", case.copy("copy", source), old, Metadata={"color": "blue"}, ContentType="text/x-t")
    case.holds("k", case.copy("k", source), old, Metadata={"color": "blue"})
    same(case.s3.get_object(Bucket=case.bucket, Key="k")["Body"].read(), old, "the latest")

    upload = case.s3.create_multipart_upload(Bucket=case.bucket, Key="parts")["UploadId"]
    which = {"Bucket": case.bucket, "Key": "parts", "UploadId": upload}
    parts = []
    for number, (start, end) in enumerate([(0, 5 * MIB - 1), (5 * MIB, 5 * MIB + 76)], 1):
        sent = case.s3.upload_part_copy(**which, PartNumber=number, CopySource=source, CopySourceRange=f"bytes={start}-{end}")
        same(sent.get("CopySourceVersionId", first), first, "which version was copied in parts")
        parts.append({"PartNumber": number, "ETag": sent["CopyPartResult"]["ETag"]})
    done = case.s3.complete_multipart_upload(**which, MultipartUpload={"Parts": parts})
    case.holds("parts", done["VersionId"], old)


def tomorrow(days=1):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).replace(microsecond=0)


@step(ObjectLockEnabledForBucket=True)
def retention(case):
    """COMPLIANCE holds against everybody, GOVERNANCE against all who do not bypass it; a marker may always be set."""
    until = tomorrow()
    locked = {"ObjectLockRetainUntilDate": until}
    same(case.s3.get_object_lock_configuration(Bucket=case.bucket)["ObjectLockConfiguration"]["ObjectLockEnabled"], "Enabled", "lock")
    body = content(100_000, 1)
    locked["ObjectLockMode"] = "COMPLIANCE"
    kinds = [("put", case.put("put", body, **locked))]
    # Ceph 16 copies a source's lock, and passes over the one that a copy is to have.
    case.put("free", body)
    source = {"Bucket": case.bucket, "Key": "free"}

    def is_locked(s3, which):
        return "ObjectLockMode" in s3.head_object(**which)

    if case.kept_by_the_store("the lock of a copy", lambda past: past.copy("past", source, **locked), is_locked):
        kinds.append(("copy", case.copy("copy", source, **locked)))
    if case.kept_by_the_store("the lock of a multipart upload", lambda past: past.multipart("past", b"", **locked), is_locked):
        kinds.append(("multipart", case.multipart("multipart", content(5 * MIB, 2), body, **locked)))
    for kind, made in kinds:
        which = {"Key": kind, "VersionId": made}
        head = case.s3.head_object(Bucket=case.bucket, **which)
        same((head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")), ("COMPLIANCE", until), kind)
        case.protected("delete_object", **which)
        case.protected("delete_object", **which, BypassGovernanceRetention=True)
        many = case.s3.delete_objects(Bucket=case.bucket, Delete={"Objects": [which]})
        codes = [one["Code"] for one in many.get("Errors", [])]
        check(len(codes) == 1 and codes[0] in PROTECTED, kind, "among many", many)
        told = case.s3.get_object_retention(Bucket=case.bucket, **which)["Retention"]
        same(told, {"Mode": "COMPLIANCE", "RetainUntilDate": until}, kind)
        sooner = {"Mode": "COMPLIANCE", "RetainUntilDate": until - datetime.timedelta(hours=1)}
        case.protected("put_object_retention", **which, Retention=sooner)
        later = {"Mode": "COMPLIANCE", "RetainUntilDate": until + datetime.timedelta(hours=1)}
        case.s3.put_object_retention(Bucket=case.bucket, **which, Retention=later)
        # Hidden, and still there.
        check(case.s3.delete_object(Bucket=case.bucket, Key=kind)["DeleteMarker"], kind)
        same(case.s3.get_object(Bucket=case.bucket, **which)["ContentLength"] > 0, True, kind)

    governed = {"Key": "governed", "VersionId": case.put("governed", b"g", **(locked | {"ObjectLockMode": "GOVERNANCE"}))}
    case.protected("delete_object", **governed)
    case.s3.delete_object(Bucket=case.bucket, **governed, BypassGovernanceRetention=True)
    case.refused(404, ["NoSuchVersion", "NoSuchKey"], "get_object", **governed)
    case.refused(400, ["InvalidArgument", "InvalidRequest"], "put_object", Key="bad", Body=b"", **(locked | {"ObjectLockMode": "NONSENSE"}))


@step(ObjectLockEnabledForBucket=True)
def default_retention(case):
    """What the bucket says is on what is written without a word of it."""
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    case.s3.put_object_lock_configuration(Bucket=case.bucket, ObjectLockConfiguration=configuration)
    same(case.s3.get_object_lock_configuration(Bucket=case.bucket)["ObjectLockConfiguration"], configuration, "as it was put")
    for key, version in [("put", case.put("put", b"p")), ("multipart", case.multipart("multipart", b"m"))]:
        head = case.s3.head_object(Bucket=case.bucket, Key=key, VersionId=version)
        same(head.get("ObjectLockMode"), "GOVERNANCE", key)
        case.protected("delete_object", Key=key, VersionId=version)
        case.s3.delete_object(Bucket=case.bucket, Key=key, VersionId=version, BypassGovernanceRetention=True)


@step(ObjectLockEnabledForBucket=True)
def legal_hold(case):
    """On until it is off."""
    held = {"ObjectLockLegalHoldStatus": "ON"}
    kinds = [("put", case.put("put", b"p", **held)), ("afterwards", case.put("afterwards", b"a"))]

    def is_held(s3, which):
        return "ObjectLockLegalHoldStatus" in s3.head_object(**which)

    if case.kept_by_the_store("the legal hold of a multipart upload", lambda past: past.multipart("past", b"", **held), is_held):
        kinds.append(("multipart", case.multipart("multipart", b"m", **held)))
    for key, version in kinds:
        which = {"Bucket": case.bucket, "Key": key, "VersionId": version}
        if key == "afterwards":
            case.s3.put_object_legal_hold(**which, LegalHold={"Status": "ON"})
        same(case.s3.get_object_legal_hold(**which)["LegalHold"]["Status"], "ON", key)
        same(case.s3.head_object(**which).get("ObjectLockLegalHoldStatus"), "ON", key)
        case.protected("delete_object", Key=key, VersionId=version)
        case.protected("delete_object", Key=key, VersionId=version, BypassGovernanceRetention=True)
        case.s3.put_object_legal_hold(**which, LegalHold={"Status": "OFF"})
        case.s3.delete_object(**which)
        case.refused(404, ["NoSuchVersion", "NoSuchKey"], "get_object", Key=key, VersionId=version)


@step()
def tags(case):
    """Tags given with PUT, copy and multipart, asked and changed afterwards, by version."""
    case.versioned()

    def tagged(key, expected, **which):
        told = case.s3.get_object_tagging(Bucket=case.bucket, Key=key, **which).get("TagSet", [])
        same({one["Key"]: one["Value"] for one in told}, expected, key, which, "its tags")

    first = case.put("k", content(70_000, 1), Tagging="color=blue&two%20words=a%3Db")
    both = {"color": "blue", "two words": "a=b"}
    tagged("k", both)
    same(case.s3.get_object(Bucket=case.bucket, Key="k").get("TagCount"), 2, "how many")
    second = case.put("k", b"2", Tagging="color=red")
    tagged("k", both, VersionId=first)
    tagged("k", {"color": "red"}, VersionId=second)

    copied = {"Bucket": case.bucket, "CopySource": {"Bucket": case.bucket, "Key": "k", "VersionId": first}}
    case.s3.copy_object(Key="copied", **copied)
    tagged("copied", both)
    case.s3.copy_object(Key="replaced", TaggingDirective="REPLACE", Tagging="a=b", **copied)
    tagged("replaced", {"a": "b"})
    # The metadata anew, and the tags as they were.
    case.s3.copy_object(Key="both", MetadataDirective="REPLACE", Metadata={"n": "1"}, **copied)
    tagged("both", both)
    for key in ("copied", "replaced", "both"):
        same(case.s3.get_object(Bucket=case.bucket, Key=key)["Body"].read(), content(70_000, 1), key)


    def has_tags(s3, which):
        return bool(s3.get_object_tagging(**which).get("TagSet"))

    upload = {"Tagging": "kind=large"}
    if case.kept_by_the_store("the tags of a multipart upload", lambda past: past.multipart("past", b"", **upload), has_tags):
        case.s3.upload_fileobj(io.BytesIO(content(9 * MIB, 3)), case.bucket, "large", ExtraArgs=upload)
        tagged("large", {"kind": "large"})

    new = {"TagSet": [{"Key": "x", "Value": "1 + 2 @ a"}]}
    case.s3.put_object_tagging(Bucket=case.bucket, Key="k", Tagging=new)
    tagged("k", {"x": "1 + 2 @ a"})
    tagged("k", both, VersionId=first)
    case.holds("k", second, b"2")

    def tags_go(s3, which):
        s3.delete_object_tagging(**which)
        return not s3.get_object_tagging(**which).get("TagSet")

    if case.kept_by_the_store("that tags were deleted", lambda past: past.put("past", b"", Tagging="a=b"), tags_go):
        check(tags_go(case.s3, {"Bucket": case.bucket, "Key": "k", "VersionId": second}), "tags that were deleted are there")
        tagged("k", both, VersionId=first)
    eleven = {"TagSet": [{"Key": str(n), "Value": ""} for n in range(11)]}
    case.refused(400, ["InvalidTag", "BadRequest"], "put_object_tagging", Key="k", Tagging=eleven)


def client(endpoint, user, region):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=user["access_key"],
        aws_secret_access_key=user["secret_key"],
        config=Config(s3={"addressing_style": "path"}),
    )


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--store", default="radosgw")
    arguments.add_argument("--binary")
    arguments.add_argument("--bare", action="store_true")
    arguments.add_argument("--only")
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="versions-") as scratch, Children() as children:
        described = Store(children, arguments.store, Path(scratch) / "store").described
        store = s3 = client(described["endpoint"], described["users"]["main"], described["region"])
        if not arguments.bare:
            gate = Gate(children, binary(arguments.binary), Path(scratch) / "gate", described)
            s3 = client(gate.endpoint, gate.users["main"], described["region"])
        for one, options in STEPS:
            if arguments.only in (None, one.__name__):
                one(Case(one.__name__, s3, store, arguments.bare, **options))
                print(one.__name__, "holds", flush=True)
    print("done")


if __name__ == "__main__":
    main()
