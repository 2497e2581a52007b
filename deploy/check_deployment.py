"""The compose project that deploy/check tests, and clients that write to it."""

import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import threading
import time
import uuid

from check_auth import API_KEY, SupabaseAuth

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = "thread-store-check"
IMAGE = f"{PROJECT}:latest"
SERVERS = ["server", "server-2", "server-3"]
# Seconds without an answer after which a request counts as hanging. The longest wait that is documented is 20 seconds: 5
# for a server that accepts the connection, 5 for the sign-in and 10 (DATABASE_TIMEOUT) for the database.
HANGS = 30


class Failed(Exception):
    """An error that ends the check with one line and code 1."""


class Deployment:
    """The compose project of the check, and the mock of a hosted Supabase project."""

    def __init__(self, directory):
        self.directory = directory
        self.server, self.balancer = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
        # Containers reach the host under the name host.docker.internal: on Linux at the address of the engine's
        # bridge, and on Docker Desktop at an address that leads to the loopback address.
        gateway = run("docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
        try:
            self.auth = SupabaseAuth(gateway.stdout.strip())
        except OSError:
            self.auth = SupabaseAuth("127.0.0.1")
        self.supabase_url = f"http://host.docker.internal:{self.auth.port}"
        self.auth.issuer = f"{self.supabase_url}/auth/v1"
        override = {"image": IMAGE, "extra_hosts": ["host.docker.internal:host-gateway"]}
        (directory / "override.json").write_text(json.dumps({"services": {name: override for name in SERVERS}}))
        # Settings from a .env file or from the environment of the shell must not change what is checked.
        settings = re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text())
        self.environment = {name: value for name, value in os.environ.items()
                            if name not in settings and not name.startswith("COMPOSE_")}
        self.environment |= {"PORT": str(self.server[1]), "BALANCER_PORT": str(self.balancer[1])}

    def __enter__(self):
        # An earlier run may have been interrupted.
        self.remove()
        return self

    def __exit__(self, error, *_):
        if error:
            print(self.compose("logs", "--tail", "20", check=False).stdout)
        self.auth.close()
        self.remove()
        run("docker", "image", "rm", IMAGE, check=False)

    def remove(self):
        self.write_settings(SUPABASE_URL="unused")
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "1")

    def write_settings(self, **settings):
        """Writes the settings that a user would write into .env."""
        (self.directory / "env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def compose(self, *arguments, check=True):
        files = ["--file", "docker-compose.yml", "--file", self.directory / "override.json"]
        return run("docker", "compose", "--project-name", PROJECT, "--env-file", self.directory / "env", *files,
                   *arguments, env=self.environment, check=check)

    def container(self, service):
        return self.compose("ps", "--all", "--quiet", service).stdout.strip()

    def await_healthy(self, *services):
        for service in services:
            inspect = ["docker", "inspect", "--format", "{{.State.Health.Status}}", self.container(service)]
            wait_until(lambda: run(*inspect).stdout.strip() == "healthy", service, 120)

    def run_image(self, *arguments, options=(), check=True, **settings):
        """Runs the image with other settings, in addition to the running servers."""
        environment = [part for setting in settings.items() for part in ("--env", "=".join(setting))]
        return self.compose("run", "--rm", "--no-deps", "-T", *options, *environment, "server", *arguments, check=check)

    @contextlib.contextmanager
    def another_server(self, **settings):
        address = "127.0.0.1", free_port()
        options = ["--detach", "--name", f"{PROJECT}-another", "--publish", f"{address[0]}:{address[1]}:2024"]
        self.run_image(options=options, **settings)
        try:
            wait_until(lambda: call(address, "GET", "/readyz")[0] == 200, f"a server with {', '.join(settings)}", 60)
            yield address
        finally:
            run("docker", "rm", "--force", f"{PROJECT}-another", check=False)

    def psql(self, text, database="thread_store", role=None, check=True):
        """Runs statements as the superuser, or as another role with its password. Returns the output."""
        user, password = role or ("postgres", "")
        script = 'PGPASSWORD=${PASSWORD:-$(cat /superuser/password)} exec psql -X -qAt -v ON_ERROR_STOP=1 -c "$0" 2>&1'
        return self.compose("run", "--rm", "--no-deps", "-T", "--env", f"PGUSER={user}", "--env", f"PASSWORD={password}",
                            "--env", f"PGDATABASE={database}", "--entrypoint", "/bin/sh", "database-role", "-c", script,
                            text, check=check).stdout.strip()

    def sign_up(self):
        """Creates a user. Returns an access token and the user."""
        body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "secure-password"}
        connection = http.client.HTTPConnection(self.auth.host, self.auth.port, timeout=HANGS)
        status, session = exchange(connection, "POST", "/auth/v1/signup", None, body, apikey=API_KEY)
        expect(status == 200, f"the sign-up was {status}")
        return session["access_token"], session["user"]


class Load:
    """Clients that create threads, write messages to them and record the acknowledged writes."""

    CLIENTS = 12

    def __init__(self, deployment, address):
        self.address, self.stopped = address, threading.Event()
        # The token and the acknowledged messages of each thread, the status and duration of every request, the failures and
        # their times.
        self.threads, self.sent, self.failures, self.failed_at = {}, [], [], []
        tokens = [deployment.sign_up()[0] for _ in range(4)]
        self.clients = [threading.Thread(target=self.write, args=(tokens[n % 4],)) for n in range(self.CLIENTS)]

    def __enter__(self):
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for client in self.clients:
            client.join()

    def write(self, token):
        connection = http.client.HTTPConnection(*self.address, timeout=HANGS)
        while not self.stopped.is_set():
            thread_id = str(uuid.uuid4())
            if not self.send(connection, "/threads", token, {"thread_id": thread_id}):
                continue
            acknowledged = []
            self.threads[thread_id] = token, acknowledged
            for _ in range(5):
                message = {"role": "user", "content": "All work and no play", "id": str(uuid.uuid4())}
                if self.send(connection, f"/threads/{thread_id}/state", token, {"values": {"messages": [message]}}):
                    acknowledged.append(message["id"])

    def send(self, connection, path, token, body):
        start = time.monotonic()
        try:
            status, _ = exchange(connection, "POST", path, token, body)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status = type(error).__name__
        self.sent.append((status, time.monotonic() - start))
        if status != 200:
            self.failures.append(status)
            self.failed_at.append(time.monotonic())
            # As clients do after a 503.
            self.stopped.wait(0.1)
        return status == 200

    def await_more(self, count):
        """Waits until this number of further writes is acknowledged."""
        goal = len(self.sent) - len(self.failures) + count
        wait_until(lambda: len(self.sent) - len(self.failures) >= goal, f"{count} more writes", 90)

    def outcomes(self):
        return ", ".join(f"{self.failures.count(status)} with {status}" for status in dict.fromkeys(self.failures))

    def verify(self):
        """Reads all threads back. A write that was not acknowledged may be stored or not."""
        connection, more = http.client.HTTPConnection(*self.address, timeout=HANGS), 0
        for thread_id, (token, acknowledged) in self.threads.items():
            status, state = exchange(connection, "GET", f"/threads/{thread_id}/state", token)
            expect(status == 200, f"the thread {thread_id} was acknowledged and is {status}")
            stored = [message["id"] for message in (state["values"] or {}).get("messages", [])]
            expect([item for item in stored if item in acknowledged] == acknowledged,
                   f"acknowledged messages of {thread_id} are lost or out of order: {acknowledged}, stored {stored}")
            more += len(stored) - len(acknowledged)
        slowest = max(seconds for _, seconds in self.sent)
        expect(slowest < HANGS, f"a request had no answer for {slowest:.0f} s")
        acknowledged = len(self.sent) - len(self.failures)
        return (f"{acknowledged} writes acknowledged, all there; {len(self.failures)} not"
                f"{f' ({self.outcomes()}), {more} of their messages there' if self.failures else ''}; "
                f"slowest answer {slowest:.1f} s")


def exchange(connection, method, path, token=None, body=None, **headers):
    """The status and the JSON of one answer."""
    if token:
        headers["authorization"] = f"Bearer {token}"
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, headers | {"content-type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    return response.status, json.loads(answer) if answer.startswith((b"{", b"[")) else None


def call(address, *arguments):
    """Sends one request on a separate connection."""
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=HANGS)) as connection:
        return exchange(connection, *arguments)


def run(*command, env=None, check=True):
    """Runs a command of Docker, and shows its output if it fails."""
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        lines = [*done.stdout.splitlines(), *done.stderr.splitlines()][-20:]
        raise Failed("\n".join([f"{' '.join(map(str, command))} ended with code {done.returncode}", *lines]))
    return done


def wait_until(ready, what, seconds):
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ready():
                return
        expect(time.monotonic() < end, f"waited {seconds} s for {what}")
        time.sleep(0.05)


def expect(is_so, otherwise):
    if not is_so:
        raise Failed(otherwise)


def free_port():
    """A port that nobody uses, below the range that the system gives to clients."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = random.randrange(20000, 32000)
            probe.bind(("127.0.0.1", port))
            return port
