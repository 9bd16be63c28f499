"""The SDK for Go; what it does stands in go/main.go."""

import os
import subprocess
from pathlib import Path

import world

GO = world.needs("go", "Go")
program = world.TOOLS / "azure-go-client"
built = subprocess.run([GO, "build", "-o", program, "."], cwd=Path(__file__).resolve().parent / "go", capture_output=True, text=True)
if built.returncode:
    # Without the module proxy there is nothing to build from.
    world.lacks("the SDK: " + built.stderr.strip().splitlines()[-1]) if "proxy" in built.stderr else world.holds(False, built.stderr)
world.silent()
trusted = {"SSL_CERT_FILE": world.CA_FILE} if world.CA_FILE else {}
os.execve(program, [str(program)], os.environ | trusted)
