"""Runs a second gate beside `portcullis dev`, on its store and vault, for a tenant whose terms leave it open to clean up.

usage: terms.py PORTCULLIS DATA_DIR      (with `portcullis dev --data DATA_DIR` running)
"""

import json
import os
import re
import socket
import subprocess
import sys
import time

import boto3
from botocore.exceptions import BotoCoreError, ClientError

BINARY, DATA = sys.argv[1:3]
ENV = dict(line.split("=", 1) for line in open(os.path.join(DATA, "dev.env")).read().split("\n") if line)
BUCKET = ENV["ACME_BUCKET"]
NO = "KMS.DisabledException"


def configure():
    """The configuration of `dev` on other ports, with the terms; and the new S3 endpoint."""
    text = open(os.path.join(DATA, "portcullis.toml")).read()
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [str(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    listening = re.findall(r'^address = "127\.0\.0\.1:(\d+)"', text, re.MULTILINE)
    for old, new in zip(listening, [ports[0], ports[1], ports[2]], strict=True):
        text = text.replace(f'"127.0.0.1:{old}"', f'"127.0.0.1:{new}"')
    text = text.replace('format = "text"', 'format = "json"')
    text = text.replace('directory = "audit"', 'directory = "audit-lenient"')
    text = text.replace("[tenant.acme]", '[tenant.acme]\nwhen_revoked = "deny-data"')
    path = os.path.join(DATA, "terms.toml")
    open(path, "w").write(text)
    return path, f"http://127.0.0.1:{ports[1]}"


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


def refusal(call):
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not within time"
        time.sleep(0.1)


def answers(s3):
    try:
        s3.head_bucket(Bucket=BUCKET)
        return True
    except (BotoCoreError, ClientError):
        return False


def clean_up(s3, strict):
    for key in ("kept", "gone"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"eleven byte")
    customer("disable-key")
    until(lambda: refusal(lambda: s3.get_object(Bucket=BUCKET, Key="kept")) == NO)
    assert refusal(lambda: s3.put_object(Bucket=BUCKET, Key="new", Body=b"x")) == NO
    s3.head_bucket(Bucket=BUCKET)
    assert s3.head_object(Bucket=BUCKET, Key="kept")["ContentLength"] == 11
    s3.delete_object(Bucket=BUCKET, Key="gone")
    assert [(entry["Key"], entry["Size"]) for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [("kept", 11)]
    until(lambda: refusal(lambda: strict.list_objects_v2(Bucket=BUCKET)) == NO)
    assert refusal(lambda: strict.delete_object(Bucket=BUCKET, Key="kept")) == NO, "the terms are the tenant's of that gate"
    customer("enable-key")
    until(lambda: refusal(lambda: s3.get_object(Bucket=BUCKET, Key="kept")) is None)


def written_down(log):
    events = [json.loads(line) for line in open(log) if '"cleaned_up"' in line]
    events = [event.get("fields", event) for event in events]
    told = {(event["operation"], event["name"]) for event in events}
    wanted = {("HeadBucket", ""), ("HeadObject", "kept"), ("DeleteObject", "gone"), ("ListObjects", "")}
    assert wanted <= told, told
    assert all(len(event["version"]) == 32 for event in events), events
    assert {(event["tenant"], event["container"], event["reason"]) for event in events} == {("acme", BUCKET, "key_disabled")}


config, endpoint = configure()
log = os.path.join(DATA, "terms.log")
gate = subprocess.Popen([BINARY, "serve", "--config", config], stderr=open(log, "w"))
try:
    lenient = client(endpoint)
    until(lambda: answers(lenient))
    clean_up(lenient, client(ENV["S3_ENDPOINT"]))
finally:
    gate.terminate()
    gate.wait()
written_down(log)
print("done")
