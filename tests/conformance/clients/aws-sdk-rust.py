"""The AWS SDK for Rust; what it does stands in rust-sdk/src/main.rs."""

import os
import subprocess

import world

CARGO = world.needs("cargo", "Rust")
world.needs("curl")
home = world.TOOLS / "rust-sdk"
command = [CARGO, "build", "--quiet", "--locked", "--target-dir", home]
built = subprocess.run(command, cwd=world.HERE / "rust-sdk", capture_output=True, text=True)
world.holds(built.returncode == 0, built.stderr[-3000:])
world.silent()
trusted = {"SSL_CERT_FILE": world.CA_FILE} if world.CA_FILE else {}
program = home / "debug/rust-sdk-client"
os.execve(program, [str(program)], os.environ | trusted)
