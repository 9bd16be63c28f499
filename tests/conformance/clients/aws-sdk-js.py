"""The AWS SDK for JavaScript; what it does stands in js/client.mjs."""

import os
import shutil
import subprocess

import world

NODE, NPM = world.needs("node", "Node.js"), world.needs("npm")
home = world.TOOLS / "js"
package = world.HERE / "js/package.json"
if not (home / "package.json").exists() or (home / "package.json").read_bytes() != package.read_bytes():
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    command = [NPM, "install", "--prefix", home, "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    (home / "package.json").write_bytes(package.read_bytes())
    if subprocess.run(command).returncode:
        shutil.rmtree(home)
        world.lacks("the SDK (npm could not install it)")
# Modules are looked for beside the script.
shutil.copy(world.HERE / "js/client.mjs", home)
world.silent()
trusted = {"NODE_EXTRA_CA_CERTS": world.CA_FILE} if world.CA_FILE else {}
os.execve(NODE, [NODE, str(home / "client.mjs")], os.environ | trusted)
