"""Runs the gate for the conformance scripts: as `portcullis dev`, whole, or as `portcullis serve` before a store of their own, with
the keys from the stand-in that `portcullis dev` brings."""

import json
import secrets
import subprocess
import sys
import tomllib
from pathlib import Path

from processes import free_ports, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
TENANT = "acme"
SYSTEM_CONTAINER = "portcullis-system"


def binary(given=None):
    """The program: the one named, or the debug build of this tree."""
    if given:
        return Path(given).resolve()
    subprocess.run(["cargo", "build", "--locked", "--bin", "portcullis"], cwd=ROOT, check=True, stdout=sys.stderr)
    return ROOT / "target/debug/portcullis"


def dev(children, program, home, *, without_gate=False):
    """`portcullis dev` on free ports; its environment file as a dictionary, once it runs."""
    home.mkdir(parents=True, exist_ok=True)
    flags = ["--s3-port", "--s3-tls-port", "--admin-port", "--vault-port"]
    ports = [part for flag, port in zip(flags, free_ports(4)) for part in (flag, str(port))]
    if without_gate:
        ports.append("--without-gate")
    data = home / "data"
    # What an earlier run left would look like this one's.
    (data / "dev.env").unlink(missing_ok=True)
    child = children.start(program, "dev", "--data", data, *ports, log=home / "dev.log")
    wait_for(f"portcullis dev ({home / 'dev.log'})", (data / "dev.env").exists, children=[child])
    lines = (data / "dev.env").read_text().splitlines()
    return data, dict(line.split("=", 1) for line in lines if line)


class Gate:
    """The gate before one store: its addresses, and for each user of the store what the client has to sign with."""

    def __init__(self, children, program, home, store):
        data, environment = dev(children, program, home, without_gate=True)
        plain, tls, admin = free_ports(3)
        self.endpoint, self.tls_endpoint = f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{tls}"
        self.ca_file, self.log = environment["CA_FILE"], home / "gate.log"
        # Not the store's: a gate that passed on what a client signed would not be noticed.
        self.users = {
            name: user | {"access_key": f"GATE{secrets.token_hex(8).upper()}", "secret_key": secrets.token_hex(20)}
            for name, user in store["users"].items()
            if name != "gate"
        }
        written = tomllib.loads((data / "portcullis.toml").read_text())
        system = store["users"].get("gate") or store["users"]["main"]
        make_bucket(store, system, SYSTEM_CONTAINER)
        config = {
            "dev": True,
            "log": {"format": "text", "filter": "info"},
            "admin": {"address": f"127.0.0.1:{admin}"},
            "listener": [
                {"address": f"127.0.0.1:{plain}"},
                {"address": f"127.0.0.1:{tls}", "tls": {"certificate": "gate.pem", "key": "gate.key"}},
            ],
            "store": {
                "main": {
                    "kind": "s3",
                    "endpoint": store["endpoint"],
                    "region": store["region"],
                    "access_key_id": system["access_key"],
                    "secret_access_key": private(data, "system", system["secret_key"]),
                    "system_container": SYSTEM_CONTAINER,
                }
            },
            "keys": written["keys"],
            "identity": written["identity"],
            "tenant": {TENANT: written["tenant"][TENANT]},
            "credential": [
                {
                    "access_key_id": user["access_key"],
                    "secret_access_key": private(data, f"client-{name}", user["secret_key"]),
                    "tenants": [TENANT],
                    # The same user at the store, so that owners, ACLs and policies mean there what they mean without the gate.
                    "upstream": {
                        "main": {
                            "access_key_id": store["users"][name]["access_key"],
                            "secret_access_key": private(data, f"store-{name}", store["users"][name]["secret_key"]),
                        }
                    },
                }
                for name, user in self.users.items()
            ],
            "bucket": {"*": {"tenant": TENANT, "store": "main", "anonymous": "allow"}},
        }
        file = data / "before-a-store.toml"
        file.write_text(toml(config))
        self.child = children.start(program, "serve", "--config", file, log=self.log)
        ready = f"http://127.0.0.1:{admin}/readyz"
        wait_for(f"portcullis serve ({self.log})", lambda: status(ready) == 200, children=[self.child])


def status(url):
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def make_bucket(store, user, bucket):
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=store["endpoint"],
        region_name=store["region"],
        aws_access_key_id=user["access_key"],
        aws_secret_access_key=user["secret_key"],
    )
    if bucket not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=bucket)


def private(data, name, text):
    path = data / "secrets" / name
    path.touch(mode=0o600)
    path.write_text(text)
    return {"file": f"secrets/{name}"}


def toml(config):
    """As TOML: the top level's plain values, then every table in inline form. (The standard library only reads it.)"""

    def value(one):
        if isinstance(one, dict):
            return "{ " + ", ".join(f"{json.dumps(key)} = {value(inner)}" for key, inner in one.items()) + " }"
        if isinstance(one, list):
            return "[" + ", ".join(map(value, one)) + "]"
        return json.dumps(one)

    return "".join(f"{json.dumps(key)} = {value(one)}\n" for key, one in config.items())
