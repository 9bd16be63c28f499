#!/usr/bin/env python3
"""Buckets' configurations through the gate before a real store, against the same store without it, by an unmodified boto3.

usage: configurations.py [--store STORE] [--binary PORTCULLIS] [--only CONFIGURATION]

--store  one of tests/conformance/stores, or a file of the JSON that these print (by default radosgw)

Each configuration is asked for, set wrongly, set, asked for, deleted and asked for again, in a bucket past the gate and in one through
it. Every answer must be the same in both: its status, its error's code or its document to the byte, but for the bucket's name and the
time. What was set through the gate, the store itself must have. Some are tried on objects too. Prints a line for each configuration:
that it holds, or that the store by itself does not keep it, where only the store's refusal was compared. Ends with 1 at the first
difference.
"""

import argparse
import json
import re
import secrets
import sys
import tempfile
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

sys.path.insert(0, str(Path(__file__).resolve().parent))
from gate import Gate, binary  # noqa: E402
from processes import Children  # noqa: E402
from store import Store  # noqa: E402
from versions_and_locks import MIB, check, client, content, same, status_of  # noqa: E402

TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
EXPIRY = re.compile(r'expiry-date="[^"]*"')


class Bucket:
    """A bucket as one client sees it, and what was answered about it. `target` is a second one, that a configuration can name."""

    def __init__(self, s3, topic):
        self.s3, self.topic = s3, topic
        # One length, so that answers have one too.
        self.name, self.target = (f"{kind}-{secrets.token_hex(6)}" for kind in ("bucket", "target"))
        for name in (self.name, self.target):
            s3.create_bucket(Bucket=name)

    def ask(self, call, arguments=None, by=None):
        """Status, the error's code if there is one, content type and document of the answer to the operation of this name."""
        s3, raw = by or self.s3, {}

        def seen(response_dict, **_):
            raw.update(response_dict)

        s3.meta.events.register("before-parse.s3", seen)
        code = None
        try:
            getattr(s3, call)(Bucket=self.name, **(arguments or {}))
        except ClientError as error:
            # Its message and request id are the gate's own.
            code = error.response["Error"]["Code"]
        finally:
            s3.meta.events.unregister("before-parse.s3", seen)
        status, body = raw["status_code"], raw["body"]
        if code is not None:
            return status, code, None, None
        for name, stands_for in ((self.name, b"BUCKET"), (self.target, b"TARGET")):
            body = body.replace(name.encode(), stands_for)
        return status, None, raw["headers"].get("content-type") if body else None, TIME.sub(b"TIME", body)

    def versioned(self):
        for name in (self.name, self.target):
            self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


class Configuration:
    """How one is set, and asked for, and deleted. `right` and `wrong` make the arguments that set it in a bucket."""

    def __init__(self, put, get, right, delete=None, wrong=None, also=(), versioned=False):
        self.put, self.get, self.right, self.delete, self.wrong = put, get, right, delete, wrong
        self.also, self.versioned = also, versioned

    def questions(self, bucket):
        """Each question's name, operation and arguments, in this order."""
        # A bucket has several of some, by id.
        one = {"Id": "one"} if any(call.startswith("list_") for call in self.also) else {}
        yield "asked before", self.get, one
        if self.wrong:
            yield "set wrongly", self.put, self.wrong(bucket)
        yield "set", self.put, self.right(bucket)
        yield "asked", self.get, one
        for call in self.also:
            yield "asked", call, {}
        if self.delete:
            yield "deleted", self.delete, one
            yield "asked after", self.get, one


def lifecycle(status):
    rule = {"ID": "a", "Filter": {"Prefix": "logs/"}, "Status": status, "Expiration": {"Days": 3}}
    rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": 7}
    whole = {"ID": "b", "Filter": {"Prefix": "tmp é/"}, "Status": "Disabled", "Expiration": {"Days": 1}}
    return {"LifecycleConfiguration": {"Rules": [rule, whole]}}


def policy(bucket):
    allowed = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket.name}/pub/*"}
    return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [allowed]})}


def replication(bucket, role="arn:aws:iam::123456789012:role/r"):
    rule = {"ID": "a", "Priority": 1, "Filter": {"Prefix": ""}, "Status": "Enabled", "DeleteMarkerReplication": {"Status": "Disabled"}}
    rule["Destination"] = {"Bucket": f"arn:aws:s3:::{bucket.target}"}
    return {"ReplicationConfiguration": {"Role": role, "Rules": [rule]}}


def notification(topic):
    told = {"Id": "a", "TopicArn": topic, "Events": ["s3:ObjectCreated:*"]} if topic else None
    return {"NotificationConfiguration": {"TopicConfigurations": [told]} if told else {}}


def cors(method):
    rule = {"AllowedOrigins": ["https://*.example"], "AllowedMethods": ["GET", method], "AllowedHeaders": ["*"]}
    return {"CORSConfiguration": {"CORSRules": [rule | {"ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60}]}}


def logging(bucket):
    return {"BucketLoggingStatus": {"LoggingEnabled": {"TargetBucket": bucket.target, "TargetPrefix": "log/"}}}


def tags(count):
    return {"Tagging": {"TagSet": [{"Key": f"k{n}", "Value": "a + b @ c"} for n in range(count)]}}


def encryption(algorithm):
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}
    return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}


def ownership(rule):
    return {"OwnershipControls": {"Rules": [{"ObjectOwnership": rule}]}}


def inventory(bucket):
    to = {"S3BucketDestination": {"Bucket": f"arn:aws:s3:::{bucket.target}", "Format": "CSV"}}
    whole = {"Destination": to, "IsEnabled": True, "Id": "one", "IncludedObjectVersions": "All", "Schedule": {"Frequency": "Daily"}}
    return {"Id": "one", "InventoryConfiguration": whole}


def tiering(_):
    whole = {"Id": "one", "Status": "Enabled", "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}]}
    return {"Id": "one", "IntelligentTieringConfiguration": whole}


BLOCKED = {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True, "RestrictPublicBuckets": True}}
CONFIGURATIONS = {
    "lifecycle": Configuration(
        "put_bucket_lifecycle_configuration",
        "get_bucket_lifecycle_configuration",
        lambda _: lifecycle("Enabled"),
        "delete_bucket_lifecycle",
        lambda _: lifecycle("Perhaps"),
    ),
    "policy": Configuration(
        "put_bucket_policy",
        "get_bucket_policy",
        policy,
        "delete_bucket_policy",
        lambda _: {"Policy": "{"},
        also=["get_bucket_policy_status"],
    ),
    "notification": Configuration(
        "put_bucket_notification_configuration",
        "get_bucket_notification_configuration",
        lambda bucket: notification(bucket.topic),
        wrong=lambda _: notification("arn:aws:sns:default::nowhere"),
    ),
    "encryption": Configuration(
        "put_bucket_encryption",
        "get_bucket_encryption",
        lambda _: encryption("AES256"),
        "delete_bucket_encryption",
        lambda _: encryption("ROT13"),
    ),
    "replication": Configuration(
        "put_bucket_replication",
        "get_bucket_replication",
        replication,
        "delete_bucket_replication",
        lambda bucket: replication(bucket, role="nobody"),
        versioned=True,
    ),
    "website": Configuration(
        "put_bucket_website",
        "get_bucket_website",
        lambda _: {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "i.html"}, "ErrorDocument": {"Key": "e.html"}}},
        "delete_bucket_website",
    ),
    "logging": Configuration("put_bucket_logging", "get_bucket_logging", logging),
    "cors": Configuration("put_bucket_cors", "get_bucket_cors", lambda _: cors("PUT"), "delete_bucket_cors", lambda _: cors("FLY")),
    "public_access_block": Configuration("put_public_access_block", "get_public_access_block", lambda _: BLOCKED, "delete_public_access_block"),
    "tagging": Configuration("put_bucket_tagging", "get_bucket_tagging", lambda _: tags(1), "delete_bucket_tagging", lambda _: tags(51)),
    "ownership": Configuration(
        "put_bucket_ownership_controls",
        "get_bucket_ownership_controls",
        lambda _: ownership("BucketOwnerEnforced"),
        "delete_bucket_ownership_controls",
        lambda _: ownership("Nobody"),
    ),
    "acl": Configuration("put_bucket_acl", "get_bucket_acl", lambda _: {"ACL": "public-read"}, wrong=lambda _: {"ACL": "mine"}),
    "request_payment": Configuration(
        "put_bucket_request_payment",
        "get_bucket_request_payment",
        lambda _: {"RequestPaymentConfiguration": {"Payer": "Requester"}},
    ),
    "accelerate": Configuration(
        "put_bucket_accelerate_configuration",
        "get_bucket_accelerate_configuration",
        lambda _: {"AccelerateConfiguration": {"Status": "Enabled"}},
    ),
    "analytics": Configuration(
        "put_bucket_analytics_configuration",
        "get_bucket_analytics_configuration",
        lambda _: {"Id": "one", "AnalyticsConfiguration": {"Id": "one", "StorageClassAnalysis": {}}},
        "delete_bucket_analytics_configuration",
        also=["list_bucket_analytics_configurations"],
    ),
    "metrics": Configuration(
        "put_bucket_metrics_configuration",
        "get_bucket_metrics_configuration",
        lambda _: {"Id": "one", "MetricsConfiguration": {"Id": "one", "Filter": {"Prefix": "a/"}}},
        "delete_bucket_metrics_configuration",
        also=["list_bucket_metrics_configurations"],
    ),
    "inventory": Configuration(
        "put_bucket_inventory_configuration",
        "get_bucket_inventory_configuration",
        inventory,
        "delete_bucket_inventory_configuration",
        also=["list_bucket_inventory_configurations"],
    ),
    "intelligent_tiering": Configuration(
        "put_bucket_intelligent_tiering_configuration",
        "get_bucket_intelligent_tiering_configuration",
        tiering,
        "delete_bucket_intelligent_tiering_configuration",
        also=["list_bucket_intelligent_tiering_configurations"],
    ),
}
# Of these the objects in the bucket are tried too.
OVER_OBJECTS = ["lifecycle", "replication", "encryption", "notification", "logging"]


def held(name, configuration, past, through):
    """Whether the store by itself keeps it, and what it says to setting it; all answers are the same either way."""
    answers = {}
    if configuration.versioned:
        past.versioned()
        through.versioned()
    pairs = zip(configuration.questions(past), configuration.questions(through))
    for (what, call, bare), (_, _, gated) in pairs:
        expected, got = past.ask(call, bare), through.ask(call, gated)
        answers.setdefault(what, expected)
        if b"<ListBucketResult" in (expected[3] or b""):
            # A store that does not know it lists the bucket instead: the gate passes no listing on that it has not read.
            same(got[:2], (501, "NotImplemented"), name, what, call)
            continue
        same(got, expected, name, what, call)
        if what == "asked":
            same(through.ask(call, gated, by=past.s3), expected, name, "what the store itself has", call)
        if what == "set" and name in OVER_OBJECTS and expected[0] < 300:
            objects(name, past, through)
    status, code, *_ = answers["set"]
    return status < 300 and answers["asked"] != answers["asked before"], code or status


def objects(name, past, through):
    """Objects in a bucket that is configured so: they are written, read and listed as ever."""
    bodies = {"logs/a": content(100_001, 1), "logs/empty": b"", "b": content(5 * MIB + 1, 2)}
    for key, body in bodies.items():
        told = []
        for bucket in (past, through):
            made = bucket.s3.put_object(Bucket=bucket.name, Key=key, Body=body)
            got = bucket.s3.get_object(Bucket=bucket.name, Key=key)
            same(got["Body"].read(), body, name, key)
            head = bucket.s3.head_object(Bucket=bucket.name, Key=key)
            # Which rule will delete it, and whether it went to the other bucket.
            told.append([(EXPIRY.sub("", one.get("Expiration", "")), one.get("ReplicationStatus")) for one in (made, got, head)])
        same(told[1], told[0], name, key, "what PUT, GET and HEAD tell of it")
    for bucket in (past, through):
        listed = bucket.s3.list_objects_v2(Bucket=bucket.name)["Contents"]
        same({one["Key"]: one["Size"] for one in listed}, {key: len(body) for key, body in bodies.items()}, name, "LIST")
    for bucket in (past, through):
        for key in bodies:
            same(status_of(bucket.s3.delete_object(Bucket=bucket.name, Key=key)), 204, name, key, "DELETE")


def topic(described):
    """Where the store can tell of what happens: radosgw has such topics by a protocol of its own, which does not go through the gate."""
    user = described["users"]["main"]
    keys = {"aws_access_key_id": user["access_key"], "aws_secret_access_key": user["secret_key"]}
    sns = boto3.client("sns", endpoint_url=described["endpoint"], region_name=described["api_name"] or described["region"], **keys)
    try:
        return sns.create_topic(Name=f"topic-{secrets.token_hex(4)}")["TopicArn"]
    except (ClientError, BotoCoreError):
        return None


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--store", default="radosgw")
    arguments.add_argument("--binary")
    arguments.add_argument("--only", choices=CONFIGURATIONS)
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="configurations-") as scratch, Children() as children:
        described = Store(children, arguments.store, Path(scratch) / "store").described
        store = client(described["endpoint"], described["users"]["main"], described["region"])
        gate = Gate(children, binary(arguments.binary), Path(scratch) / "gate", described)
        s3 = client(gate.endpoint, gate.users["main"], described["region"])
        tells = topic(described)
        kept = []
        for name, configuration in CONFIGURATIONS.items():
            if arguments.only in (None, name):
                keeps, said = held(name, configuration, Bucket(store, tells), Bucket(s3, tells))
                kept += [name] * keeps
                how = "holds" if keeps else f"is not kept by the store itself ({said}): the same through the gate"
                print(name, how, flush=True)
        # All of the stores here have it: otherwise nothing was compared but errors.
        check(arguments.only or "lifecycle" in kept, "the store keeps no more than", kept)
    print("done")


if __name__ == "__main__":
    main()
