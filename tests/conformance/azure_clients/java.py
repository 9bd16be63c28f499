"""The SDK for Java; what it does stands in java/src/main/java/Client.java."""

import os
import shutil
import subprocess
from pathlib import Path

import world

HERE = Path(__file__).resolve().parent / "java"
JAVA, JAVAC, MVN = world.needs("java", "Java"), world.needs("javac", "a Java compiler"), world.needs("mvn", "Maven")
home, pom = world.TOOLS / "azure-java", HERE / "pom.xml"
if not (home / "pom.xml").exists() or (home / "pom.xml").read_bytes() != pom.read_bytes():
    shutil.rmtree(home, ignore_errors=True)
    fetch = [MVN, "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={home / 'lib'}"]
    if subprocess.run(fetch, stdout=subprocess.DEVNULL).returncode:
        world.lacks("the SDK (Maven could not get it)")
    shutil.copy(pom, home)
built = subprocess.run([JAVAC, "-cp", f"{home / 'lib'}/*", "-d", home / "classes", HERE / "src/main/java/Client.java"], capture_output=True, text=True)
world.holds(built.returncode == 0, built.stderr[-3000:])
trust = []
if world.CA_FILE:
    store = world.SCRATCH / "trust.p12"
    world.run("keytool", "-importcert", "-noprompt", "-file", world.CA_FILE, "-keystore", store, "-storetype", "PKCS12", "-storepass", "not a secret")
    trust = [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=not a secret"]
world.silent()
os.execv(JAVA, [JAVA, "-Xmx1g", *trust, "-cp", f"{home / 'classes'}:{home / 'lib'}/*", "Client"])
