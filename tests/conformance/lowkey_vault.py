#!/usr/bin/env python3
"""The gate's vault client against Lowkey Vault, a vault that others wrote: keys made, wrapped, unwrapped, rotated and taken away there.

usage: lowkey_vault.py [--binary PORTCULLIS]

Needs Java 17 or newer, and Lowkey Vault's jar: the file that LOWKEY_VAULT_JAR names, or what Maven gets. Says which of these is lacking
and ends with 77. Prints a line for each step that holds, and ends with 1 at the first check that does not.

Lowkey Vault takes any token: here the stand-in's, because its own managed identity gives numbers where Azure gives strings, and the
gate's SDK does not read those. It knows no roles, and refuses in words that are not Key Vault's: 500, or 404 with the name of a Java
class, where Key Vault says 403 KeyDisabled. The gate takes no such answer for the customer's no, so what is held here of a key that is
taken away is what holds of a vault that falls silent: nothing is served past the bound, with 503, until the key is back. What Key
Vault's own words do is held before the stand-in.

Of its versions that Java 17 runs, none knows the version of the API that the gate's SDK asks for (2025-07-01). So a relay in this
script stands between, which writes 7.6 there, shows Lowkey Vault's own certificate, and passes on all else as it is.

All listens on loopback, but the port where Lowkey Vault gives its tokens away, which has no setting for that. They open nothing else.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
from azure.core.credentials import AccessToken
from azure.keyvault.keys import KeyClient
from botocore.config import Config
from botocore.exceptions import ClientError, ResponseStreamingError
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

sys.path.insert(0, str(Path(__file__).resolve().parent))
from gate import ROOT, binary, dev, status, toml  # noqa: E402
from processes import Children, answers, free_ports, wait_for  # noqa: E402

# The last that runs on Java 17; newer Java runs it too.
VERSION, JAVA = "3.4.33", 17
ARTIFACT = f"com.github.nagyesta.lowkey-vault:lowkey-vault-app:{VERSION}"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
LACKS = 77
# The newest version of the API that it knows.
API = "7.6"
# `portcullis dev` writes this `revocation_bound`; a second more is what the page on keys grants the way to the client.
BOUND, GRACE = 5.0, 1.0
TENANT, CMK = "acme", "acme-cmk"
SMALL, LARGE = b"what only the key's owner may allow", bytes(range(256)) * 12_000


def lacks(what):
    print(f"== this machine lacks {what}: Lowkey Vault not run")
    sys.exit(LACKS)


def check(condition, *what):
    """Python's own `assert` can be switched off."""
    if not condition:
        print("FAILED:", *what, flush=True)
        sys.exit(1)


def java():
    program = shutil.which("java")
    if program is None:
        lacks(f"Java {JAVA}")
    told = subprocess.run([program, "-version"], capture_output=True, text=True)
    # On macOS there is a `java` that only says where to get one.
    version = re.search(r'version "(\d+)', told.stderr + told.stdout)
    if told.returncode != 0 or version is None or int(version[1]) < JAVA:
        lacks(f"Java {JAVA} or newer")
    return program


def jar():
    given = os.environ.get("LOWKEY_VAULT_JAR")
    if given:
        # Whoever names one wants it run.
        check(Path(given).is_file(), f"LOWKEY_VAULT_JAR: there is no {given}")
        return Path(given).resolve()
    folder = ROOT / "target/lowkey-vault"
    here = folder / f"lowkey-vault-app-{VERSION}.jar"
    if not here.is_file():
        maven = shutil.which("mvn")
        if maven is None:
            lacks("Maven, to get Lowkey Vault (LOWKEY_VAULT_JAR may name its jar)")
        got = subprocess.run(
            [maven, "-q", "-B", "-U", "-Dstyle.color=never", f"{PLUGIN}:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={folder}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if got.returncode != 0 or not here.is_file():
            print(next((line for line in got.stdout.splitlines() if "[ERROR]" in line), got.stderr.strip()))
            lacks(f"{ARTIFACT} (Maven could not get it; LOWKEY_VAULT_JAR may name its jar)")
    return here


class Anyone:
    """Lowkey Vault wants a token, and looks at none."""

    def get_token(self, *_, **__):
        return AccessToken("anyone", int(time.time()) + 3600)


class Relay(BaseHTTPRequestHandler):
    """To the vault at `server.vault`, in the version of the API that it knows. The host that was asked stays the client's."""

    protocol_version = "HTTP/1.1"

    def relay(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = re.sub(r"(?<=[?&]api-version=)[^&]*", API, self.path)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        vault = http.client.HTTPSConnection("localhost", self.server.vault, timeout=30, context=self.server.trust)
        try:
            vault.request(self.command, path, body, headers)
            answer = vault.getresponse()
            told = answer.read()
        finally:
            vault.close()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "keep-alive", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_POST = do_PATCH = do_DELETE = relay

    def log_message(self, *_):
        pass


def relay(vault, certificate, ca_file):
    """Starts one, which ends with this process; its server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    server.vault = vault
    server.trust = ssl.create_default_context(cafile=ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    # The handshake is its own thread's, at the first read.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def fetched(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


class Lowkey:
    """The vault: its address, the certificate that it shows, and its owner's client."""

    def __init__(self, children, program, archive, home):
        vault, tokens = free_ports(2)
        log, self.calls = home / "lowkey.log", home / "tomcat/logs"
        child = children.start(
            program,
            "-jar",
            archive,
            f"--server.port={vault}",
            "--server.address=127.0.0.1",
            f"--app.token.port={tokens}",
            # The relay's port is not its own.
            "--LOWKEY_VAULT_RELAXED_PORTS=true",
            # Who was asked for what, line by line.
            "--server.tomcat.accesslog.enabled=true",
            "--server.tomcat.accesslog.buffered=false",
            f"--server.tomcat.basedir={home / 'tomcat'}",
            cwd=home,
            log=log,
        )
        stub = f"http://127.0.0.1:{tokens}"
        wait_for(f"Lowkey Vault ({log})", lambda: answers(f"{stub}/ping"), 120, [child])
        # It vouches for itself, and gives away the key of its certificate.
        shown = f"{stub}/metadata/default-cert"
        key, certificate, _ = load_key_and_certificates(fetched(f"{shown}/lowkey-vault.p12"), fetched(f"{shown}/password"))
        self.ca_file, both = home / "lowkey.pem", home / "lowkey.both.pem"
        self.ca_file.write_bytes(certificate.public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        both.write_bytes(private + self.ca_file.read_bytes())
        self.relay = relay(vault, both, self.ca_file)
        self.url = f"https://localhost:{self.relay.server_port}"
        self.owner = KeyClient(
            self.url,
            Anyone(),
            api_version=API,
            verify_challenge_resource=False,
            connection_verify=os.fspath(self.ca_file),
            retry_total=0,
        )

    def new_version(self):
        """Of the key, which the first one makes. Lowkey Vault wraps only with a key that may encrypt as well."""
        operations = ["encrypt", "decrypt", "wrapKey", "unwrapKey"]
        return self.owner.create_rsa_key(CMK, size=2048, key_operations=operations).properties.version

    def enable(self, version, enabled):
        told = self.owner.update_key_properties(CMK, version, enabled=enabled)
        check(told.properties.enabled is enabled, "Lowkey Vault left the key as it was")

    def asked(self, operation, version):
        """How often it did this with that version."""
        path = f"POST /keys/{CMK}/{version}/{operation}?"
        lines = [line for one in self.calls.iterdir() for line in one.read_text().splitlines()]
        return sum(path in line and '" 200 ' in line for line in lines)


class Gate:
    """One gate with its tenant's key in Lowkey Vault, before the store of `portcullis dev`."""

    def __init__(self, children, program, data, name, vault):
        written = tomllib.loads((data / "portcullis.toml").read_text())
        port, admin = free_ports(2)
        bucket, credential = f"{TENANT}-files", written["credential"][0]
        check(credential["tenants"] == [TENANT], "`portcullis dev` writes another configuration")
        config = {
            "dev": True,
            "log": {"format": "text", "filter": "info,portcullis=debug"},
            "admin": {"address": f"127.0.0.1:{admin}"},
            "listener": [{"address": f"127.0.0.1:{port}"}],
            "store": written["store"],
            "keys": written["keys"] | {"ca_file": os.fspath(vault.ca_file)},
            "identity": {"own": written["identity"]["own-tenant"]},
            "tenant": {TENANT: {"key": f"{vault.url}/keys/{CMK}", "identity": "own"}},
            "credential": [credential],
            "bucket": {bucket: {"tenant": TENANT, "store": "main"}},
        }
        check(config["keys"]["revocation_bound"] == f"{BOUND:.0f}s", "`portcullis dev` writes another bound")
        self.program, self.config, self.bucket, log = program, data / f"{name}.toml", bucket, data / f"{name}.log"
        self.config.write_text(toml(config))
        child = children.start(program, "serve", "--config", self.config, log=log)
        wait_for(f"portcullis serve ({log})", lambda: status(f"http://127.0.0.1:{admin}/readyz") == 200, children=[child])
        self.s3 = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id=credential["access_key_id"],
            aws_secret_access_key=(data / credential["secret_access_key"]["file"]).read_text(),
            # Each refusal is to be seen.
            config=Config(retries={"total_max_attempts": 1}),
        )

    def put(self, key, body):
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def get(self, key):
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def holds(self, objects):
        for key, body in objects.items():
            check(self.get(key) == body, key, "came back otherwise")

    def refusal(self, work):
        """The status and code of a refusal, or that a download under way was cut; None where it was done."""
        try:
            work()
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
        except ResponseStreamingError:
            return "cut"
        return None

    def closes(self, key, since):
        """GETs of it are served until the bound at most, and then refused each time, for longer than two leases last."""
        while self.refusal(lambda: self.get(key)) is None:
            late = time.monotonic() - since
            check(late < BOUND + GRACE, f"{key} was served {late:.1f} s after the key was taken away")
            time.sleep(0.05)
        closed = time.monotonic() - since
        while time.monotonic() - since < 3 * BOUND:
            refused = self.refusal(lambda: self.get(key))
            check(refused == (503, "ServiceUnavailable"), key, "expected 503, got", refused)
            part = self.refusal(lambda: self.s3.get_object(Bucket=self.bucket, Key=key, Range="bytes=0-3"))
            check(part is not None, "a range of", key, "was served")
            time.sleep(0.2)
        return closed

    def opens(self, objects):
        """Once the key is back, without a restart."""
        for key in objects:
            wait_for(f"{key} after the key came back", lambda key=key: self.refusal(lambda: self.get(key)) is None)
        self.holds(objects)


def inspected(program, file):
    """The version of the key that the stored object names."""
    told = subprocess.run([program, "inspect", "--json", file], capture_output=True, text=True, check=True)
    return json.loads(told.stdout)["key_version"]


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--binary")
    arguments = arguments.parse_args()
    runtime, archive = java(), jar()
    with tempfile.TemporaryDirectory(prefix="lowkey-") as scratch, Children() as children:
        home = Path(scratch)
        program = binary(arguments.binary)
        vault = Lowkey(children, runtime, archive, home)
        data, environment = dev(children, program, home / "dev", without_gate=True)
        play(children, program, data, Path(environment["STORE_DIR"]), vault)
    print("done")


def play(children, program, data, stored, vault):
    first = vault.new_version()
    one = Gate(children, program, data, "one", vault)
    at_rest = stored / one.bucket
    old = {"small": SMALL, "large": LARGE, "empty": b""}
    for key, body in old.items():
        one.put(key, body)
    one.holds(old)
    check(SMALL not in (at_rest / "small").read_bytes(), "the store holds it in clear")
    check(inspected(program, at_rest / "small") == first, "sealed under another version than the vault's")
    check(vault.asked("wrapkey", first) >= 1, "Lowkey Vault wrapped nothing")
    print("wrapped and unwrapped there", flush=True)

    before = vault.asked("unwrapkey", first)
    two = Gate(children, program, data, "two", vault)
    two.holds(old)
    check(vault.asked("unwrapkey", first) > before, "the second gate did not ask Lowkey Vault")
    print("another gate unwraps what the first one wrapped", flush=True)

    second = vault.new_version()
    check(second != first, "Lowkey Vault made no version")

    def picked_up():
        one.put("new", SMALL)
        return inspected(program, at_rest / "new") == second

    # A new version is looked for once a minute.
    wait_for("objects under the new version", picked_up, 90)
    new = {"new": SMALL}
    for gate in (one, two):
        gate.holds(old | new)
    print("a new version is picked up, and what lies under the old one opens", flush=True)

    vault.enable(first, False)
    closed = one.closes("large", time.monotonic())
    one.holds(new)
    check(two.refusal(lambda: two.get("small")) is not None, "the second gate serves what the first refuses")
    print(f"the old version disabled: its objects are refused after {closed:.1f} s, and the new one's open", flush=True)

    vault.enable(second, False)
    closed = one.closes("new", time.monotonic())
    check(one.refusal(lambda: one.put("late", SMALL)) is not None, "sealed under a disabled key")
    check(not (at_rest / "late").exists(), "the store has what was refused")
    check(two.refusal(lambda: two.get("new")) is not None, "the second gate serves what the first refuses")
    print(f"both disabled: nothing is served after {closed:.1f} s, nor sealed", flush=True)
    for version in (first, second):
        vault.enable(version, True)
    for gate in (one, two):
        gate.opens(old | new)
    print("enabled again: all opens, without a restart", flush=True)

    deleted = vault.owner.begin_delete_key(CMK)
    since = time.monotonic()
    deleted.wait()
    closed = one.closes("new", since)
    vault.owner.begin_recover_deleted_key(CMK).wait()
    one.opens(old | new)
    print(f"the key deleted: nothing is served after {closed:.1f} s, until it is recovered", flush=True)


if __name__ == "__main__":
    main()
