"""The SDK for JavaScript; what it does stands in js/client.mjs."""

import os
import shutil
import subprocess
from pathlib import Path

import world

HERE = Path(__file__).resolve().parent
NODE, NPM = world.needs("node", "Node.js"), world.needs("npm")
home = world.TOOLS / "azure-js"
package = HERE / "js/package.json"
if not (home / "package.json").exists() or (home / "package.json").read_bytes() != package.read_bytes():
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / "package.json").write_bytes(package.read_bytes())
    if subprocess.run([NPM, "install", "--prefix", home, "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]).returncode:
        shutil.rmtree(home)
        world.lacks("the SDK (npm could not install it)")
# Modules are looked for beside the script.
shutil.copy(HERE / "js/client.mjs", home)
world.silent()
trusted = {"NODE_EXTRA_CA_CERTS": world.CA_FILE} if world.CA_FILE else {}
os.execve(NODE, [NODE, str(home / "client.mjs")], os.environ | trusted)
