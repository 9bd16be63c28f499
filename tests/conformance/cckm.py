"""Manages a customer's key from CipherTrust Manager, as docs/cckm.md shows, and looks at what the gate does and knows.

usage: cckm.py PORTCULLIS DATA_DIR      (with `portcullis dev --data DATA_DIR` running)
"""

import json
import os
import subprocess
import sys
import time
import urllib.request

import boto3
from botocore.exceptions import BotoCoreError, ClientError

BINARY, DATA = sys.argv[1:3]
ENV = dict(line.split("=", 1) for line in open(os.path.join(DATA, "dev.env")).read().split("\n") if line)


def customer(action, tenant="acme"):
    done = subprocess.run([BINARY, "dev-customer", "--data", DATA, tenant, action], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def act(action):
    status, said = customer(action)
    assert status == 0, said


def read():
    """What a client reads, or S3's code."""
    s3 = boto3.client(
        "s3",
        endpoint_url=ENV["S3_ENDPOINT"],
        region_name=ENV["AWS_REGION"],
        aws_access_key_id=ENV["ACME_ACCESS_KEY_ID"],
        aws_secret_access_key=ENV["ACME_SECRET_ACCESS_KEY"],
    )
    try:
        return s3.get_object(Bucket=ENV["ACME_BUCKET"], Key="managed")["Body"].read()
    except ClientError as error:
        return error.response["Error"]["Code"]
    except BotoCoreError as error:
        return type(error).__name__


def board():
    with urllib.request.urlopen(ENV["ADMIN_ENDPOINT"] + "/cckm", timeout=10) as answer:
        (manager,) = json.load(answer)["managers"]
    assert manager["answer"] == "ok", manager
    (tenant,) = manager["tenants"]
    return tenant


def until(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} s; reads {read()!r}, knows {board()}"
        time.sleep(0.2)


def main():
    boto3.client(
        "s3",
        endpoint_url=ENV["S3_ENDPOINT"],
        region_name=ENV["AWS_REGION"],
        aws_access_key_id=ENV["ACME_ACCESS_KEY_ID"],
        aws_secret_access_key=ENV["ACME_SECRET_ACCESS_KEY"],
    ).put_object(Bucket=ENV["ACME_BUCKET"], Key="managed", Body=b"words")
    served = lambda: read() == b"words"
    until("known", lambda: board()["state"] == "enabled")

    act("cckm-disable")
    until("shut", lambda: read() == "KMS.DisabledException")
    until("known to be disabled", lambda: board()["state"] == "disabled")
    act("cckm-enable")
    until("open again", served)

    # A schedule that leaves new versions disabled harms nobody; one that does not is followed.
    before = set(board()["versions"])
    act("cckm-rotate-disabled")
    until("known", lambda: "disabled" in board()["versions"].values())
    assert served()
    act("cckm-rotate")
    until("known", lambda: len(board()["versions"]) == len(before) + 2)
    assert served()

    # A backup outlives the purge.
    act("cckm-back-up")
    act("cckm-soft-delete")
    until("shut", lambda: read() == "KMS.NotFoundException")
    act("cckm-hard-delete")
    until("known to be gone", lambda: board()["state"] == "deleted")
    assert read() == "KMS.NotFoundException"
    act("cckm-restore")
    until("open again", served)

    # Past CCKM, whose copy is old until it synchronises: the vault holds, and the gate says that they disagree.
    act("disable-key")
    until("shut", lambda: read() == "KMS.DisabledException")
    until("told that they disagree", lambda: board()["agrees"] is False)
    assert board()["state"] == "enabled"
    act("cckm-synchronize")
    until("told the same", lambda: board()["state"] == "disabled" and board()["agrees"] is not False)
    act("enable-key")
    until("open again", served)

    status, said = customer("cckm-frobnicate")
    assert status == 2 and "cckm-soft-delete" in said, said
    status, said = customer("cckm-disable", tenant="globex")
    assert status == 2 and "globex" in said, said
    print("done")


main()
