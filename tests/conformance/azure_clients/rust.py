"""The SDK for Rust; what it does stands in rust/src/main.rs. It has no way to show an account's key: it gets a SAS."""

import datetime
import os
import subprocess
from pathlib import Path

import world
from azure.storage.blob import generate_container_sas

CARGO = world.needs("cargo", "Rust")
home = world.TOOLS / "azure-rust"
command = [CARGO, "build", "--quiet", "--locked", "--target-dir", home]
built = subprocess.run(command, cwd=Path(__file__).resolve().parent / "rust", capture_output=True, text=True)
world.holds(built.returncode == 0, built.stderr[-3000:])
soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
sas = generate_container_sas(world.ACCESS_KEY, world.BUCKET, account_key=world.SECRET_KEY, permission="racwdlt", expiry=soon)
world.silent()
given = {"CLIENT_SAS_URL": f"{world.ENDPOINT}/{world.BUCKET}?{sas}"} | ({"SSL_CERT_FILE": world.CA_FILE} if world.CA_FILE else {})
program = home / "debug/azure-rust-client"
os.execve(program, [str(program)], os.environ | given)
