"""Writes before a restart of `portcullis dev`, and reads after it: keys, objects and the customer's word are still there.

usage: restart.py DATA_DIR before|after
"""

import os
import sys

import boto3

DATA, WHEN = sys.argv[1:3]
ENV = dict(line.split("=", 1) for line in open(os.path.join(DATA, "dev.env")).read().split("\n") if line)
BODY = bytes(range(256)) * 1000

for tenant in ("ACME", "GLOBEX"):
    s3 = boto3.client(
        "s3",
        endpoint_url=ENV["S3_ENDPOINT"],
        region_name=ENV["AWS_REGION"],
        aws_access_key_id=ENV[f"{tenant}_ACCESS_KEY_ID"],
        aws_secret_access_key=ENV[f"{tenant}_SECRET_ACCESS_KEY"],
    )
    bucket = ENV[f"{tenant}_BUCKET"]
    if WHEN == "before":
        s3.put_object(Bucket=bucket, Key="kept", Body=BODY)
    # A cold range first: its DEK is not in memory after the restart.
    part = s3.get_object(Bucket=bucket, Key="kept", Range="bytes=100000-100009")["Body"].read()
    assert part == BODY[100000:100010]
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == BODY
    assert [entry["Size"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [len(BODY)]
    records = [name for name in os.listdir(os.path.join(ENV["STORE_DIR"], "portcullis-system")) if tenant.lower() in name]
    assert len(records) == 1, f"one DEK serves both runs: {records}"
print("done")
