"""Shared by the commands of the benchmark: a Postgres, servers, seeds, cases, wrk and pgbench."""

import argparse
import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Callable

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent

# The content of a message, about as long as a sentence or two.
CONTENT = "All work and no play makes a benchmark of a store of conversations a dull thing to read. " * 2
MESSAGE = {"role": "user", "content": CONTENT}
TITLE = "A conversation about something"


def say(text):
    """Progress, on standard error: standard output is for results."""
    print(text, file=sys.stderr, flush=True)


class Failed(Exception):
    """An error that ends a command with one line and code 1."""


# --- Processes --------------------------------------------------------------------------------


def free_port():
    """A free port below the range that the system assigns to clients."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_until(ready, process, what, seconds, log=None):
    """Waits for a process that was just started."""
    def fail(how):
        lines = log.read_text(errors="replace").splitlines()[-5:] if log else []
        raise Failed("\n".join([f"{what} {how}", *lines]))

    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            fail("ended while it started")
        if time.monotonic() > end:
            fail(f"did not start within {seconds} s")
        time.sleep(0.05)
    # Another program may have taken the port and answered.
    if process.poll() is not None:
        fail("ended while it started")


def end_process(process, how=signal.SIGTERM):
    """Stops a process and waits for its end."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def postgres_bin():
    """The directory of the newest installed Postgres."""
    found = pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted((path.parent for path in found), key=lambda path: float(path.parent.name))
    if newest:
        return newest[-1]
    on_path = shutil.which("initdb")
    if not on_path:
        raise Failed("no Postgres is installed")
    return pathlib.Path(on_path).parent


class Postgres:
    """A cluster of its own with stock settings, fsync included.

    Only `max_connections` is higher, because several servers and pgbench share it."""

    def __init__(self, directory):
        self.bin = postgres_bin()
        self.port = free_port()
        self.directory = directory / "postgres"
        self.directory.mkdir()
        self.become = []
        if os.geteuid() == 0:
            self.become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
            shutil.chown(self.directory, "postgres")
        log_file = directory / "postgres.log"
        with open(log_file, "wb") as log:
            subprocess.run(
                [*self.become, self.bin / "initdb", f"--pgdata={self.directory}/data", "--auth=trust",
                 "--username=postgres", "--encoding=UTF8", "--locale=C"],
                check=True, stdout=log, stderr=log, cwd=self.directory)
            self.process = subprocess.Popen(
                [*self.become, self.bin / "postgres", "-D", f"{self.directory}/data", "-p", str(self.port),
                 "-k", self.directory, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300"],
                stdout=log, stderr=log, cwd=self.directory)
        ready = [self.bin / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        wait_until(lambda: subprocess.run(ready).returncode == 0, self.process, "Postgres", 60, log_file)

    def stop(self):
        """Ends it without waiting for clients."""
        end_process(self.process, signal.SIGINT)

    def url(self, database):
        """The value of `DATABASE_URL`."""
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def sql(self, text, database="postgres"):
        """Runs statements, each in a transaction of its own."""
        psql = [self.bin / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url(database)]
        done = subprocess.run(psql, input=text, text=True, capture_output=True)
        if done.returncode != 0:
            raise Failed(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def settle(self, database):
        """Vacuums and analyses a database, as autovacuum would later."""
        self.sql("vacuum (analyze) thread_store.thread, thread_store.checkpoint, thread_store.message;",
                 database)


class AuthStandIn:
    """A stand-in for Supabase Auth that knows the users of the cases."""

    def __init__(self, directory):
        program = directory / "auth_stand_in"
        subprocess.run(["cc", "-O2", "-o", program, HERE / "auth_stand_in.c"], check=True)
        self.tokens = {user: unsigned_token(user_id) for user, user_id in USER_IDS.items()}
        known = [f"{token}={USER_IDS[user]}" for user, token in self.tokens.items()]
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen([program, str(port), *known])
        wait_until(lambda: accepts(port), self.process, "the stand-in for Supabase Auth", 10)

    def stop(self):
        """Ends it."""
        end_process(self.process)


def accepts(port):
    """Whether a program listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def unsigned_token(user_id):
    """A token with the shape and claims of Supabase's. Only the stand-in accepts it."""
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    claims = {"sub": user_id, "aud": "authenticated", "exp": int(time.time()) + 86400,
              "role": "authenticated", "email": "user@example.com", "aal": "aal1",
              "app_metadata": {"provider": "email", "providers": ["email"]}, "user_metadata": {}}
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.{'x' * 43}"


class Server:
    """A thread-store that was started here."""

    def __init__(self, name, program, directory, database_url, stand_in, **settings):
        self.program = program
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.directory = directory / f"server-{name}"
        self.directory.mkdir()
        self.environment = {"PATH": os.environ["PATH"], "PORT": str(self.port),
                            "DATA_DIR": str(self.directory / "data"), "DATABASE_URL": database_url,
                            "SUPABASE_URL": stand_in.url, **settings}
        self.log = self.directory / "log"
        self.process = None
        self.start()

    def start(self):
        """Starts it, in a directory without `.env`."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program], cwd=self.directory, env=self.environment,
                                            stdout=log, stderr=log)
        wait_until(self.is_ready, self.process, f"the server {self.name}", 60, self.log)

    def is_ready(self):
        """Whether the server can answer requests that need the database."""
        try:
            return call(self.url, "GET", "/ok?check_db=1")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def stop(self):
        """Ends it."""
        if self.process:
            end_process(self.process)
        self.process = None


# --- Requests ---------------------------------------------------------------------------------


def connection_to(url):
    """An HTTP connection to a server."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=60)


def call(url, method, path, token=None, body=None, connection=None):
    """Sends one request. Returns the status and the parsed body."""
    own = connection or connection_to(url)
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
    base = urllib.parse.urlsplit(url).path.rstrip("/")
    own.request(method, base + path, body, headers)
    answer = own.getresponse()
    text = answer.read()
    if own is not connection:
        own.close()
    try:
        return answer.status, json.loads(text) if text else None
    except ValueError:
        return answer.status, None


def expect_ok(status, body, what):
    """Ends the command unless a request succeeded."""
    if status >= 300:
        raise Failed(f"{what}: {status} {str(body)[:300]}")
    return body


def post_all(target, posts):
    """Posts `(path, user, body)` on a few connections. Returns the bodies of the answers, in order."""
    lanes = 8
    tokens = {user: target.token(user) for _, user, _ in posts}

    def lane(number):
        connection = connection_to(target.url)
        answers = []
        for path, user, body in posts[number::lanes]:
            answers.append(expect_ok(*call(target.url, "POST", path, tokens[user], body, connection), path))
        connection.close()
        return answers

    with ThreadPoolExecutor(lanes) as pool:
        by_lane = list(pool.map(lane, range(lanes)))
    return [by_lane[number % lanes][number // lanes] for number in range(len(posts))]


# --- What is measured -------------------------------------------------------------------------


@dataclass
class Case:
    """A request, the user who sends it, and the check of its answer."""

    name: str
    user: str
    method: str
    path: str
    body: str
    holds: Callable[[object], bool]
    # The name of the list of ids for `{id}`. By default it is the user's threads.
    ids: str = ""
    # The users who send the request in random order, if they are several.
    users: list[str] = field(default_factory=list)
    writes: bool = False

    def __post_init__(self):
        self.ids = self.ids or self.user


def case_list():
    """The cases of `bench/run`."""
    def has(count):
        return lambda answer: len(answer) == count

    def is_thread(answer):
        return "thread_id" in answer and "metadata" in answer

    def has_messages(count):
        return lambda answer: len(answer["values"]["messages"]) == count

    search = json.dumps({"limit": 10})
    search_filter = json.dumps({"limit": 10, "metadata": {"topic": "t3"}})
    conditions = json.dumps({"limit": 10, "filter": {
        "$or": [{"metadata.topic": {"$in": ["t3", "t4"]}}, {"metadata.topic": {"$exists": False}}],
        "metadata.resolved": {"$ne": True}}})
    words = json.dumps({"limit": 10, "query": "about conversation -nothing"})
    create = json.dumps({"metadata": {"title": TITLE, "topic": "t1"}})
    patch = json.dumps({"metadata": {"title": "Another title", "pinned": True}})
    message = json.dumps({"values": {"messages": [MESSAGE]}})
    return [
        Case("create", "creator", "POST", "/threads", create, is_thread, writes=True),
        Case("get", "reader", "GET", "/threads/{id}", "", is_thread),
        Case("search", "reader", "POST", "/threads/search", search, has(10)),
        Case("search_owners", "reader", "POST", "/threads/search", search, has(10), users=OWNERS),
        Case("search_filter", "reader", "POST", "/threads/search", search_filter, has(10)),
        Case("conditions", "reader", "POST", "/threads/search", conditions, has(10)),
        Case("words", "reader", "POST", "/threads/search", words, has(10)),
        Case("count", "reader", "POST", "/threads/count", "{}", lambda answer: answer == 100),
        Case("patch", "writer", "PATCH", "/threads/{id}", patch, is_thread, writes=True),
        Case("append", "talker", "POST", "/threads/{id}/state", message,
             lambda answer: "checkpoint" in answer, writes=True),
        Case("state", "listener", "GET", "/threads/{id}/state", "", has_messages(10)),
        Case("history", "listener", "GET", "/threads/{id}/history?limit=10", "",
             lambda answer: len(answer) == 10 and has_messages(10)(answer[0])),
    ]


# --- Seeds ------------------------------------------------------------------------------------

# Each user has its own cases, so that cases do not affect each other.
USERS = ["creator", "reader", "writer", "talker", "listener", "speaker", "big"]
USER_IDS = {user: str(uuid.uuid5(uuid.NAMESPACE_URL, user)) for user in USERS}
# The owners of the other threads of `bench/run`.
OWNERS = [f"owner-{number}" for number in range(100)]
USER_IDS |= {user: str(uuid.UUID(hashlib.md5(user.encode()).hexdigest())) for user in OWNERS}

# Threads of each user. `reader` is the usual owner.
RUN_THREADS = {"creator": 0, "reader": 100, "writer": 2000, "talker": 2000, "listener": 200}
GROW_THREADS = {"creator": 0, "reader": 100, "writer": 100, "talker": 100, "listener": 100, "speaker": 500}


def thread_ids(user, count):
    """The ids of a user's seeded threads. pgbench's scripts compute the same in SQL."""
    digests = (hashlib.md5(f"{user}-{n}".encode()).hexdigest() for n in range(1, count + 1))
    return [f"{d[:8]}-{d[8:12]}-{d[12:16]}-{d[16:20]}-{d[20:]}" for d in digests]


def tenant_of(user_id):
    """The tenant of a user's threads, as the server computes it."""
    return int.from_bytes(hashlib.sha256(user_id.encode()).digest()[:8], "big", signed=True)


# The tenant in SQL, computed from the column `owner`.
TENANT = "('x' || encode(substr(sha256(convert_to(owner, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint"


def insert_threads(postgres, database, rows):
    """Inserts threads. `rows` selects their `n`, `thread_id`, `owner` and `topic`: the least `n` is the newest."""
    postgres.sql(f"""
        with made as (
            insert into thread_store.thread
                (tenant, thread_id, created_at, updated_at, state_updated_at, metadata)
            select {TENANT}, thread_id, moment, moment, moment,
                jsonb_build_object('owner', owner, 'title', '{TITLE}', 'topic', topic)
            from ({rows}) as made,
                lateral (select now() - n * interval '1 second' as moment) as at
            returning thread_id, tenant
        )
        insert into thread_store.thread_directory (thread_id, tenant) select thread_id, tenant from made;
        """, database)


def seed_threads(postgres, database, user, count):
    """Gives a user threads, the first one the newest."""
    insert_threads(postgres, database, f"""
        select n, md5('{user}-' || n)::uuid as thread_id, '{USER_IDS[user]}' as owner, 't' || n % 10 as topic
        from generate_series(1, {count}) as n""")


def seed_others(postgres, database, threads, owners):
    """Fills the store with the threads of generated owners, in random order."""
    insert_threads(postgres, database, f"""
        select n, gen_random_uuid() as thread_id, md5('owner-' || n % {owners})::uuid::text as owner,
            't' || (n / {owners}) % 10 as topic
        from generate_series(1, {threads}) as n""")


def seed_messages(target, user, ids, messages, each=1):
    """Writes messages to threads through the API, `each` with one checkpoint."""
    def body(number):
        return {"values": {"messages": [MESSAGE] * min(each, messages - number)}}
    # One thread after the other within a round: writers to one thread would wait for each other.
    for number in range(0, messages, each):
        post_all(target, [(f"/threads/{thread_id}/state", user, body(number)) for thread_id in ids])


# --- Measuring --------------------------------------------------------------------------------


@dataclass
class Target:
    """A server that is measured: its address and its users."""

    name: str
    url: str
    pid: int | None
    ids: dict = field(default_factory=dict)
    tokens: dict = field(default_factory=dict)

    def token(self, user):
        """The user's access token. A target with one token for all users has it under the empty name."""
        return self.tokens.get(user) or self.tokens[""]

    def check(self, case):
        """The problem with the server's answer to a case, or None."""
        path = case.path
        if "{id}" in path:
            path = path.replace("{id}", self.ids[case.ids][0])
        user = case.users[0] if case.users else case.user
        status, body = call(self.url, case.method, path, self.token(user), case.body or None)
        if status >= 300:
            return f"{status} {str(body)[:200]}"
        try:
            return None if case.holds(body) else f"not the expected answer: {str(body)[:200]}"
        except (KeyError, TypeError, IndexError):
            return f"not the expected answer: {str(body)[:200]}"


@dataclass
class Sample:
    """One measurement. Times are in microseconds."""

    rate: float
    errors: int
    p50: float = 0
    p99: float = 0
    # Processor time of the server per request.
    cpu: float = 0
    # Greatest resident memory of the server, in MB.
    rss: float = 0


def cpu_seconds(pid):
    """Processor time that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def forget_peak(pid):
    """Resets the peak of resident memory, if the system allows it."""
    with contextlib.suppress(OSError):
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_rss(pid):
    """Peak resident memory of a process, in MB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0


def run_wrk(script, url, connections, seconds, environment):
    """Runs wrk with one of the scripts here. Returns its result and all lines that it printed."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency",
               "-s", HERE / script, url]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"], **environment}, text=True, capture_output=True)
    lines = done.stdout.splitlines()
    results = [line for line in lines if line.startswith("result ")]
    if done.returncode != 0 or not results:
        raise Failed(f"wrk, {script}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return json.loads(results[0].removeprefix("result ")), lines


def wrk(directory, target, case, connections, seconds):
    """Measures a case with wrk."""
    ids = directory / "ids"
    ids.write_text("".join(f"{thread_id}\n" for thread_id in target.ids.get(case.ids, [])))
    environment = {"BENCH_METHOD": case.method, "BENCH_PATH": case.path, "BENCH_BODY": case.body,
                   "BENCH_TOKENS": " ".join(target.token(user) for user in case.users or [case.user]),
                   "BENCH_IDS": str(ids),
                   "BENCH_SEED": str(random.randrange(2**31))}
    if target.pid:
        forget_peak(target.pid)
        cpu = cpu_seconds(target.pid)
    result, _ = run_wrk("case.lua", target.url, connections, seconds, environment)
    sample = Sample(result["requests"] / result["seconds"], result["errors"], result["p50"], result["p99"])
    if result["requests"] == 0:
        raise Failed(f"wrk, {case.name}: {target.name} answered nothing")
    if target.pid:
        sample.cpu = (cpu_seconds(target.pid) - cpu) / result["requests"] * 1e6
        sample.rss = peak_rss(target.pid)
    return sample


def pgbench_variables(user, threads):
    """The variables of pgbench's scripts, with the server's values, for a user with this number of threads."""
    owner = USER_IDS[user]
    return {
        "owner": json.dumps(owner),
        "tenant": tenant_of(owner),
        "threads": threads,
        "metadata": json.dumps({"owner": owner, "title": TITLE, "topic": "t1"}),
        "filter": json.dumps({"topic": "t3"}),
        "patch": json.dumps({"title": "Another title", "pinned": True}),
        "message": json.dumps({"type": "human", "content": CONTENT, "additional_kwargs": {},
                               "response_metadata": {}, "name": None, "id": "0" * 36}),
    }


def pgbench(postgres, database, case, clients, seconds, variables):
    """Measures the statement that answers a case."""
    command = [postgres.bin / "pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(2, clients)),
               "-T", str(seconds), "-f", HERE / "pgbench" / f"{case.name}.sql"]
    for name, value in variables.items():
        command += ["-D", f"{name}={value}"]
    done = subprocess.run([*command, postgres.url(database)], text=True, capture_output=True)
    rates = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("tps = ")]
    if done.returncode != 0 or not rates:
        raise Failed(f"pgbench, {case.name}: {done.stderr.strip()[-500:]}")
    return Sample(float(rates[-1]), 0)


def truncate_log(server):
    """Empties the log, which has a line for each request. The server appends, so it continues at the start."""
    os.truncate(server.log, 0)


# --- The commands -----------------------------------------------------------------------------


def arguments(description):
    """Adds the options that all commands have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind; medians are shown")
    parser.add_argument("--warm-up", type=int, default=1, help="seconds for which each case runs before it is measured")
    parser.add_argument("--output", type=pathlib.Path, help="also write the tables to this file")
    return parser


def program_arguments(parser):
    """Adds the options that select the program."""
    parser.add_argument("--program", type=pathlib.Path, help="measure this program, and build nothing")
    parser.add_argument("--no-build", action="store_true", help="measure the release binary as it is")
    parser.add_argument("--directory", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()),
                        help="directory for the temporary database")


def names(text):
    """Words with commas between."""
    return [word for word in text.split(",") if word]


def numbers(text):
    """Numbers with commas between."""
    return [int(word) for word in names(text)]


def program_to_measure(options):
    """The release binary, built if necessary."""
    if options.program:
        program = options.program.resolve()
    else:
        program = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")) / "release/thread-store"
        if not options.no_build:
            say("cargo build --release")
            subprocess.run(["cargo", "build", "--release", "--locked"], cwd=PROJECT, check=True)
    if not os.access(program, os.X_OK):
        raise Failed(f"{program} does not exist: cargo build --release --locked")
    return program.resolve()


@contextlib.contextmanager
def scratch_directory(parent):
    """A directory that the user of the database can enter. It is removed at the end."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="thread-store-bench-", dir=parent))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def output_of(*command):
    """The output of a command, or an empty text."""
    try:
        return subprocess.run(command, cwd=PROJECT, text=True, capture_output=True).stdout.strip()
    except OSError:
        return ""


def circumstances(directory=None):
    """Date, machine and commit, as a line of text."""
    commit = output_of("git", "rev-parse", "--short", "HEAD") or "unknown"
    if output_of("git", "status", "--porcelain", "--untracked-files=no"):
        commit += " with changes"
    model = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), f"commit {commit}",
             f"{os.cpu_count()} × {model[0] if model else platform.machine()}", f"{memory:.0f} GiB",
             f"Linux {platform.release()}"]
    if directory:
        parts.append(output_of(postgres_bin() / "postgres", "--version"))
        parts.append(f"data on {output_of('stat', '-f', '-c', '%T', directory)}")
    parts.append(f"load before {os.getloadavg()[0]:.1f}")
    return ", ".join(parts) + "."


def median(values):
    """The median, or 0 of nothing."""
    values = list(values)
    return statistics.median(values) if values else 0


def of(samples, attribute):
    """The median of an attribute."""
    return median(getattr(sample, attribute) for sample in samples)


def ratio(ours, theirs):
    """The median of the rounds' ratios of rates. The two rates of a round were measured one after the other."""
    return median(a.rate / b.rate for a, b in zip(ours, theirs))


def milliseconds(microseconds):
    """Milliseconds with the significant digits."""
    return f"{microseconds / 1000:.2f}" if microseconds < 100_000 else f"{microseconds / 1000:.0f}"


def table(head, rows):
    """A table that is readable as text and as Markdown."""
    cells = [head, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) if number == 0 else cell.rjust(width)
                               for number, (cell, width) in enumerate(zip(row, widths))) + " |" for row in cells]
    rule = "|" + "|".join("-" * (width + 2) if number == 0 else "-" * (width + 1) + ":"
                          for number, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def publish(text, output):
    """Prints results and keeps them."""
    print(text)
    if output:
        output.write_text(text + "\n")


def main(command):
    """Runs a command. An error becomes one line and an exit code."""
    def interrupt(number, _):
        sys.exit(128 + number)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        sys.exit(command())
    except (Failed, OSError, http.client.HTTPException, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
