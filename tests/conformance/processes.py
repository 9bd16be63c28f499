"""Child processes of the conformance scripts: on free ports, waited for with a bound, stopped by their own ids."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request


def free_ports(count):
    """Ports that nobody listens on, held together so that they differ. Below those that systems give to outgoing connections, of
    which one might be made before the port is used."""
    held = []
    try:
        while len(held) < count:
            one = socket.socket()
            try:
                one.bind(("127.0.0.1", random.randrange(15_000, 32_000)))
                held.append(one)
            except OSError:
                one.close()
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def wait_for(what, question, seconds=60.0, children=()):
    """Asks until the answer is neither None nor False, and returns it. A child that ended meanwhile ends the wait."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer is not None and answer is not False:
            return answer
        for child in children:
            if child.poll() is not None:
                raise RuntimeError(f"{what}: {child.args[0]} ended with {child.returncode}")
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: no answer in {seconds:.0f} s")
        time.sleep(0.1)


def answers(url):
    """Whether HTTP is spoken there, whatever is said."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, OSError):
        return False


class Children(contextlib.AbstractContextManager):
    """Processes that end, the last one first, when the context does."""

    def __init__(self):
        self.running = []
        # Otherwise Python ends at once, and leaves them running.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    def start(self, *arguments, log=None, **options):
        output = open(log, "ab") if log else subprocess.DEVNULL
        options.setdefault("stdout", output)
        options.setdefault("stderr", output)
        # Ctrl-C is for the script, which then stops its children in order.
        child = subprocess.Popen([os.fspath(one) for one in arguments], start_new_session=True, **options)
        if log:
            output.close()
        self.running.append(child)
        return child

    def stop(self, child, seconds=20):
        if child in self.running:
            self.running.remove(child)
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        return child.returncode

    def __exit__(self, *_):
        while self.running:
            self.stop(self.running[-1])


def until_told(meanwhile=lambda: None):
    """Returns at SIGTERM, SIGINT or when whoever started this one is gone, which closes its end of standard input."""
    told = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.append(True))
    os.set_blocking(0, False)
    while not told:
        with contextlib.suppress(BlockingIOError):
            if os.read(0, 4096) == b"":
                return
        meanwhile()
        time.sleep(0.2)
