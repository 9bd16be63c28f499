"""A pytest plugin around ceph/s3-tests: every test gets bucket names of its own, a clean-up that never fails the next test, and a store
that answers before it begins. The same for the bare store and for the gate: it cleans at the store itself."""

import contextlib
import json
import os
import secrets
import time

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

STORE = json.loads(os.environ["S3TESTS_STORE"])
RESULTS = open(os.environ["S3TESTS_RESULTS"], "a", buffering=1)
IGNORED = (ClientError, BotoCoreError, OSError)
outcomes = {}


def client(user):
    return boto3.client(
        "s3",
        endpoint_url=STORE["endpoint"],
        region_name=STORE["region"],
        aws_access_key_id=STORE["users"][user]["access_key"],
        aws_secret_access_key=STORE["users"][user]["secret_key"],
        config=Config(retries={"max_attempts": 1}, read_timeout=20, s3={"addressing_style": "path"}),
    )


CLIENTS = [client(user) for user in ("main", "alt", "tenant")]


def pytest_configure(config):
    import s3tests.functional as suite

    def nothing():
        pass

    def clean_up():
        for one in CLIENTS:
            with contextlib.suppress(*IGNORED):
                for bucket in one.list_buckets().get("Buckets", []):
                    if suite.prefix in bucket["Name"]:
                        remove(one, bucket["Name"])

    suite.setup, suite.teardown = nothing, clean_up


def remove(one, bucket):
    """As far as it goes: what a lock protects stays, and no later test sees it."""
    with contextlib.suppress(*IGNORED):
        for upload in one.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            one.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    try:
        for page in one.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for entry in page.get("Versions", []) + page.get("DeleteMarkers", []):
                delete(one, bucket, Key=entry["Key"], VersionId=entry["VersionId"])
    except IGNORED:
        # No versions here.
        with contextlib.suppress(*IGNORED):
            for page in one.get_paginator("list_objects").paginate(Bucket=bucket):
                for entry in page.get("Contents", []):
                    delete(one, bucket, Key=entry["Key"])
    with contextlib.suppress(*IGNORED):
        one.delete_bucket(Bucket=bucket)


def delete(one, bucket, **which):
    try:
        one.delete_object(Bucket=bucket, **which)
    except ClientError:
        with contextlib.suppress(*IGNORED):
            one.put_object_legal_hold(Bucket=bucket, LegalHold={"Status": "OFF"}, **which)
        with contextlib.suppress(*IGNORED):
            one.delete_object(Bucket=bucket, BypassGovernanceRetention=True, **which)


@pytest.fixture(autouse=True)
def names_of_its_own(configfile):
    import s3tests.functional as suite

    suite.prefix = f"pc-{secrets.token_hex(6)}-"
    # The store may be starting again after the last test.
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            CLIENTS[0].list_buckets()
            return
        except ClientError:
            return
        except (BotoCoreError, OSError):
            time.sleep(0.5)


def pytest_runtest_logreport(report):
    one = outcomes.setdefault(report.nodeid, {"outcome": "passed", "seconds": 0.0, "message": ""})
    one["seconds"] = round(one["seconds"] + report.duration, 2)
    if report.failed:
        one["outcome"] = "failed"
        # What pytest marks with E is what failed; its last line, the error of last resort, without the tracebacks around it.
        said = [line[1:].strip() for line in report.longreprtext.splitlines() if line.startswith("E ")]
        one["message"] = (said[-1] if len(said) == 1 else " | ".join(said[:2]))[:500]
    elif report.skipped and one["outcome"] == "passed":
        one["outcome"] = "skipped"
    if report.when == "teardown":
        RESULTS.write(json.dumps({"name": report.nodeid.rpartition("::")[2]} | one) + "\n")
