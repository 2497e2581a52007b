"""Every method of the real Python `ThreadsClient` and `SyncThreadsClient` that needs no run.

BASE_URL names the server, SUPABASE_URL its sign-in (the server itself if unset), SUPABASE_KEY
may be any text. Exits 0 only if every check holds, and if every public method was called with
every argument it has.
"""

import asyncio
import inspect
import os
import sys
import traceback
import uuid
from types import SimpleNamespace

import httpx
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.client import SyncThreadsClient, ThreadsClient

BASE_URL = os.environ.get("BASE_URL", "http://127.0.0.1:2024")
SUPABASE_URL = os.environ.get("SUPABASE_URL", BASE_URL)
SUPABASE_KEY = os.environ.get("SUPABASE_KEY", "any-key")
PASSWORD = "correct horse"

# Public methods that are not called here, and why.
NEEDS_RUNS = {"stream": "starts a run and follows it; this server stores threads and runs none"}

END = object()


def sign_up():
    credentials = {"email": f"py-{uuid.uuid4()}@example.com", "password": PASSWORD}
    headers = {"apikey": SUPABASE_KEY}
    url = f"{SUPABASE_URL}/auth/v1/signup"
    # Hashing a password takes long where many tests share a processor.
    answer = httpx.post(url, json=credentials, headers=headers, timeout=60)
    answer.raise_for_status()
    session = answer.json()
    return SimpleNamespace(id=session["user"]["id"], token=session["access_token"])


def bearer(user):
    return {"Authorization": f"Bearer {user.token}"}


class Threads:
    """`client.threads`, which notes the arguments that its methods are called with.

    The sync client's methods run in threads of their own, so one story serves both.
    """

    def __init__(self, make_client, user, used):
        client = make_client(url=BASE_URL, headers=bearer(user) if user else None)
        self.http = client.http.client
        self.threads = client.threads
        self.used = used

    def __getattr__(self, name):
        method = getattr(self.threads, name)

        def call(*args, **kwargs):
            arguments = inspect.signature(method).bind(*args, **kwargs).arguments
            self.used.setdefault(name, set()).update(arguments)
            if name == "join_stream":
                return Stream(self.http, method, args, kwargs)
            if inspect.iscoroutinefunction(method):
                return method(*args, **kwargs)
            return asyncio.to_thread(method, *args, **kwargs)

        return call


class Stream:
    """The parts of a joined stream, of either client."""

    def __init__(self, http, method, args, kwargs):
        self.http, self.method, self.args, self.kwargs = http, method, args, kwargs
        self.parts = None

    async def open(self):
        self.parts = self.method(*self.args, **self.kwargs)
        if inspect.isawaitable(self.parts):
            self.parts = await self.parts

    async def next(self):
        if self.parts is None:
            await self.open()
        if hasattr(self.parts, "__anext__"):
            return await anext(self.parts, END)
        return await asyncio.to_thread(next, self.parts, END)

    async def updates(self, count):
        """The next parts, which have to be updates of state."""
        parts = [await self.next() for _ in range(count)]
        assert all(part is not END and part.event == "state_update" for part in parts), parts
        return parts

    async def all_while(self, act):
        """Opens the stream, acts, and gives every part there is until the server ends it."""
        loop, opened = asyncio.get_running_loop(), asyncio.Event()
        is_async = isinstance(self.http, httpx.AsyncClient)

        def note(response):
            if response.url.path.endswith("/stream"):
                loop.call_soon_threadsafe(opened.set)

        async def note_async(response):
            note(response)

        self.http.event_hooks = {"response": [note_async if is_async else note]}
        collecting = asyncio.create_task(self.rest())
        await asyncio.wait_for(opened.wait(), 30)
        self.http.event_hooks = {}
        await act()
        return await asyncio.wait_for(collecting, 30)

    async def rest(self):
        parts = []
        while (part := await self.next()) is not END:
            parts.append(part)
        return parts


async def refused(status, call):
    try:
        answer = await call
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == status, error
        return str(error)
    raise AssertionError(f"expected {status}, got {answer}")


def notes(states):
    return [state["values"].get("note") for state in states]


def ids(threads):
    return [thread["thread_id"] for thread in threads]


async def noted(world, *texts):
    """A thread with one checkpoint a text; its id and the checkpoints, oldest first."""
    thread_id = (await world.mine.create())["thread_id"]
    written = [await world.mine.update_state(thread_id, {"note": text}) for text in texts]
    return thread_id, [answer["checkpoint"] for answer in written]


async def the_tutorial(world):
    thread = await world.mine.create()
    assert thread["metadata"] == {"owner": world.me.id}, thread
    message = await refused(403, world.nobody.create())
    assert "Authorization" in message, message
    for read in (world.theirs.get, world.theirs.get_state, world.theirs.get_history):
        message = await refused(404, read(thread["thread_id"]))
        assert message == f"Thread with ID {thread['thread_id']} not found", message
    assert await world.theirs.search() == []
    assert await world.theirs.count() == 0
    assert await world.mine.get(thread["thread_id"]) == thread


async def create_takes_all_it_has(world):
    mine, thread_id = world.mine, str(uuid.uuid4())
    thread = await mine.create(
        thread_id=thread_id,
        metadata={"a": 1, "owner": "somebody else"},
        graph_id="agent",
        if_exists="raise",
        ttl=5,
        params={"ignored": "yes"},
    )
    expected = {"a": 1, "graph_id": "agent", "owner": world.me.id}
    assert (thread["thread_id"], thread["metadata"]) == (thread_id, expected), thread
    assert (thread["status"], thread["values"], thread["interrupts"]) == ("idle", None, {}), thread
    message = await refused(409, mine.create(thread_id=thread_id))
    assert message == f"Thread with ID {thread_id} already exists", message
    again = await mine.create(thread_id=thread_id, if_exists="do_nothing", metadata={"b": 2})
    assert again == thread, again
    await refused(409, world.theirs.create(thread_id=thread_id, if_exists="do_nothing"))
    await refused(422, mine.create(thread_id="no-uuid"))
    await refused(422, mine.create(ttl=-1))
    theirs = await mine.create(headers=bearer(world.other))
    assert theirs["metadata"]["owner"] == world.other.id, theirs


async def create_applies_supersteps(world):
    def update(as_node, values):
        return {"values": values, "as_node": as_node}

    human, ai = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
    thread = await world.mine.create(
        supersteps=[
            {"updates": [update("__input__", {"messages": [human], "n": 1})]},
            {"updates": [update("a", {"messages": [ai]}), update("b", {"n": 2})]},
        ]
    )
    history = await world.mine.get_history(thread["thread_id"])
    assert [len(state["values"]["messages"]) for state in history] == [2, 1], history
    assert [state["values"]["n"] for state in history] == [2, 1], history
    assert [state["metadata"]["as_node"] for state in history] == ["b", "__input__"], history
    assert [message["type"] for message in thread["values"]["messages"]] == ["human", "ai"]
    thread_id = str(uuid.uuid4())
    broken = [{"updates": [update("a", {"n": 1})]}, {"updates": [update("a", 5)]}]
    await refused(422, world.mine.create(thread_id=thread_id, supersteps=broken))
    await refused(404, world.mine.get(thread_id))


async def get_shows_the_ttl_when_asked(world):
    plain = await world.mine.create(ttl={"ttl": 30, "strategy": "keep_latest"})
    thread_id = plain["thread_id"]
    assert "ttl" not in await world.mine.get(thread_id)
    ttl = (await world.mine.get(thread_id, include=["ttl"]))["ttl"]
    assert (ttl["ttl_minutes"], ttl["strategy"]) == (30, "keep_latest"), ttl
    assert (await world.mine.get(thread_id, params={"include": "ttl"}))["ttl"] == ttl
    assert "ttl" in await world.mine.get(thread_id, include=["other", "ttl"])
    await refused(404, world.mine.get(thread_id, headers=bearer(world.other)))
    await refused(422, world.mine.get("no-uuid"))


async def update_merges_metadata_and_sets_the_ttl(world):
    thread_id = (await world.mine.create(metadata={"a": 1, "b": {"c": 1}}))["thread_id"]
    thread = await world.mine.update(
        thread_id, metadata={"b": {"d": 2}, "e": None}, ttl=7, params={"ignored": "yes"}
    )
    expected = {"a": 1, "b": {"d": 2}, "e": None, "owner": world.me.id}
    assert thread["metadata"] == expected, thread
    assert (await world.mine.get(thread_id, include=["ttl"]))["ttl"]["ttl_minutes"] == 7
    nothing = await world.mine.update(thread_id, metadata={"f": 3}, return_minimal=True)
    assert nothing is None, nothing
    found = await world.mine.get(thread_id)
    assert found["metadata"] == {**expected, "f": 3}, found
    await refused(404, world.mine.update(thread_id, metadata={}, headers=bearer(world.other)))


async def delete_ends_a_thread(world):
    thread_id, _ = await noted(world, "x")
    await refused(404, world.mine.delete(thread_id, headers=bearer(world.other)))
    assert await world.mine.delete(thread_id, params={"ignored": "yes"}) is None
    await refused(404, world.mine.delete(thread_id))
    await refused(404, world.mine.get_state(thread_id))


async def search_takes_all_it_has(world):
    mine, tag = world.mine, uuid.uuid4().hex
    made = [await mine.create(metadata={"tag": tag, "n": n, "deep": {"n": n}}) for n in range(4)]
    made = ids(made)
    for n, thread_id in enumerate(made[:3]):
        await mine.update_state(thread_id, {"note": "even" if n % 2 == 0 else "odd", "l": [n, 9]})
    filters = {"metadata": {"tag": tag}}
    assert ids(await mine.search(**filters)) == [made[n] for n in (2, 1, 0, 3)]
    by_age = {"sort_by": "created_at", "sort_order": "asc", **filters}
    assert ids(await mine.search(**by_age)) == made
    assert ids(await mine.search(**by_age, limit=2, offset=1)) == made[1:3]
    assert ids(await mine.search(**by_age, status="idle")) == made
    assert await mine.search(**by_age, status="busy") == []
    assert ids(await mine.search(**by_age, values={"note": "even"})) == [made[0], made[2]]
    assert ids(await mine.search(**by_age, ids=made[2:])) == made[2:]
    assert ids(await mine.search(metadata={"tag": tag, "deep": {"n": 2}})) == [made[2]]
    for key in ("thread_id", "status", "updated_at", "state_updated_at"):
        found = await mine.search(**{**by_age, "sort_by": key})
        assert sorted(ids(found)) == sorted(made), found
    extract = {"last": "values.l[-1]", "n": "metadata.deep.n", "none": "values.x.y"}
    found = await mine.search(
        **by_age, limit=1, select=["thread_id", "status"], extract=extract, params={"ignored": "yes"}
    )
    extracted = {"last": 9, "n": 0, "none": None}
    assert found == [{"thread_id": made[0], "status": "idle", "extracted": extracted}], found
    assert await mine.search(**filters, headers=bearer(world.other)) == []
    assert await world.theirs.search(metadata={"tag": tag, "owner": world.me.id}) == []
    await refused(422, mine.search(limit=0))
    await refused(422, mine.search(select=["nothing"]))


async def count_agrees_with_search(world):
    mine, tag = world.mine, uuid.uuid4().hex
    made = ids([await mine.create(metadata={"tag": tag}) for _ in range(12)])
    await mine.update_state(made[0], {"note": "x"})
    assert await mine.count(metadata={"tag": tag}, params={"ignored": "yes"}) == 12
    assert await mine.count(metadata={"tag": tag}, values={"note": "x"}) == 1
    assert await mine.count(metadata={"tag": tag}, status="idle") == 12
    assert await mine.count(metadata={"tag": tag}, status="error") == 0
    assert await mine.count(metadata={"tag": tag}, headers=bearer(world.other)) == 0


async def copy_takes_the_history_along(world):
    thread_id, checkpoints = await noted(world, "1", "2")
    copied = await world.mine.copy(thread_id, params={"ignored": "yes"})
    assert copied["thread_id"] != thread_id
    history = await world.mine.get_history(copied["thread_id"])
    assert notes(history) == ["2", "1"], history
    assert [state["checkpoint_id"] for state in history] == [
        checkpoint["checkpoint_id"] for checkpoint in reversed(checkpoints)
    ]
    assert all(s["checkpoint"]["thread_id"] == copied["thread_id"] for s in history), history
    await world.mine.update_state(copied["thread_id"], {"note": "3"})
    assert (await world.mine.get_state(thread_id))["values"] == {"note": "2"}
    await refused(404, world.mine.copy(thread_id, headers=bearer(world.other)))


async def prune_deletes_or_keeps_the_latest(world):
    (kept, _), (gone, _) = await noted(world, "1", "2"), await noted(world, "1")
    await refused(404, world.mine.prune([kept], headers=bearer(world.other)))
    pruned = await world.mine.prune([kept], strategy="keep_latest", params={"ignored": "yes"})
    assert pruned == {"pruned_count": 1}, pruned
    assert notes(await world.mine.get_history(kept)) == ["2"]
    await refused(404, world.mine.prune([gone, str(uuid.uuid4())]))
    assert await world.mine.prune([gone, gone]) == {"pruned_count": 1}
    await refused(404, world.mine.get(gone))
    assert await world.mine.prune([]) == {"pruned_count": 0}


async def get_state_in_all_its_forms(world):
    mine = world.mine
    empty = await mine.get_state((await mine.create())["thread_id"])
    assert (empty["values"], empty["next"], empty["checkpoint"]) == ({}, [], None), empty
    thread_id, checkpoints = await noted(world, "1", "2", "3")
    middle = checkpoints[1]
    newest = await mine.get_state(thread_id, subgraphs=True, params={"ignored": "yes"})
    assert newest["values"] == {"note": "3"}, newest
    assert newest["parent_checkpoint"] == middle, newest
    by_id = await mine.get_state(thread_id, checkpoint_id=middle["checkpoint_id"], subgraphs=True)
    by_object = await mine.get_state(thread_id, middle, subgraphs=True)
    assert notes([by_id, by_object]) == ["2", "2"], (by_id, by_object)
    assert by_object["checkpoint"] == middle, by_object
    fields = ["values", "next", "checkpoint"]
    for state in (
        await mine.get_state(thread_id, select=fields),
        await mine.get_state(thread_id, checkpoint_id=middle["checkpoint_id"], select=fields),
        await mine.get_state(thread_id, middle, select=fields),
    ):
        assert list(state) == fields, state
    unknown = str(uuid.uuid4())
    nowhere = await mine.get_state(thread_id, checkpoint_id=unknown)
    assert (nowhere["values"], nowhere["checkpoint_id"]) == ({}, unknown), nowhere
    for at in ({}, {"checkpoint_id": middle["checkpoint_id"]}, {"checkpoint": middle}):
        await refused(404, mine.get_state(thread_id, **at, headers=bearer(world.other)))


async def one_key_of_the_values_can_be_selected(world):
    """`values.<key>`, as the client documents it."""
    mine = world.mine
    thread_id = (await mine.create())["thread_id"]
    message = {"type": "human", "content": "hi", "id": "m"}
    for n in range(2):
        await mine.update_state(thread_id, {"messages": [message], "n": n, "a.b": n})
    newest = await mine.get_state(thread_id)
    only = {"messages": newest["values"]["messages"]}
    at = newest["checkpoint"]
    for state in (
        await mine.get_state(thread_id, select=["values.messages"]),
        await mine.get_state(thread_id, checkpoint_id=at["checkpoint_id"], select=["values.messages"]),
        await mine.get_state(thread_id, at, select=["values.messages"]),
    ):
        assert state == {"values": only}, state
    two = await mine.get_state(thread_id, select=["values.n", "values.a.b", "values.x", "next"])
    assert two == {"values": {"n": 1, "a.b": 1}, "next": []}, two
    whole = await mine.get_state(thread_id, select=["values", "values.n"])
    assert whole == {"values": newest["values"]}, whole
    history = await mine.get_history(thread_id, select=["values.n"])
    assert history == [{"values": {"n": 1}}, {"values": {"n": 0}}], history
    await refused(422, mine.get_state(thread_id, select=["valuesn"]))


async def update_state_writes_onto_what_it_is_told_to(world):
    mine = world.mine
    thread_id, checkpoints = await noted(world, "1", "2")
    first = checkpoints[0]
    written = await mine.update_state(
        thread_id, {"x": 1}, as_node="node", checkpoint=first, params={"ignored": "yes"}
    )
    assert written["checkpoint"]["thread_id"] == thread_id, written
    fork = await mine.get_state(thread_id)
    assert fork["values"] == {"note": "1", "x": 1}, fork
    assert (fork["checkpoint"], fork["parent_checkpoint"]) == (written["checkpoint"], first), fork
    assert (fork["metadata"]["as_node"], fork["metadata"]["step"]) == ("node", 1), fork
    await mine.update_state(thread_id, {"x": 2}, checkpoint_id=first["checkpoint_id"])
    assert (await mine.get_state(thread_id))["parent_checkpoint"] == first
    await mine.update_state(thread_id, None)
    await mine.update_state(thread_id, [{"x": 3}, {"y": 4}])
    newest = await mine.get_state(thread_id)
    assert newest["values"] == {"note": "1", "x": 3, "y": 4}, newest
    assert (await mine.get(thread_id))["values"] == newest["values"]
    await refused(422, mine.update_state(thread_id, 5))
    await refused(404, mine.update_state(thread_id, {}, checkpoint_id=str(uuid.uuid4())))
    await refused(404, mine.update_state(thread_id, {"x": 9}, headers=bearer(world.other)))


async def messages_follow_their_reducer(world):
    mine = world.mine
    thread_id = (await mine.create())["thread_id"]

    async def contents(*messages):
        await mine.update_state(thread_id, {"messages": list(messages)})
        state = await mine.get_state(thread_id)
        return [(message["type"], message["content"]) for message in state["values"]["messages"]]

    hello, again = {"role": "user", "content": "hello", "id": "1"}, ["ai", "again"]
    assert await contents(hello, again) == [("human", "hello"), ("ai", "again")]
    replaced = await contents({"type": "human", "content": "bye", "id": "1"}, "more")
    assert replaced == [("human", "bye"), ("ai", "again"), ("human", "more")], replaced
    removed = await contents({"type": "remove", "id": "1"})
    assert removed == [("ai", "again"), ("human", "more")], removed
    assert await contents({"type": "remove", "id": "__remove_all__"}) == []


async def history_in_all_its_forms(world):
    mine = world.mine
    thread_id, checkpoints = await noted(world, *"abcde")
    assert notes(await mine.get_history(thread_id)) == list("edcba")
    assert notes(await mine.get_history(thread_id, limit=2, params={"ignored": "yes"})) == ["e", "d"]
    third = checkpoints[2]
    for before in (
        third["checkpoint_id"],
        third,
        {"checkpoint_id": third["checkpoint_id"]},
        {"configurable": third},
    ):
        assert notes(await mine.get_history(thread_id, before=before)) == ["b", "a"], before
    paged, before = [], None
    while page := await mine.get_history(thread_id, limit=2, before=before):
        paged += notes(page)
        before = page[-1]["checkpoint"]
    assert paged == list("edcba"), paged
    assert notes(await mine.get_history(thread_id, metadata={"step": 1})) == ["b"]
    assert await mine.get_history(thread_id, metadata={"source": "loop"}) == []
    assert notes(await mine.get_history(thread_id, checkpoint=third)) == ["c"]
    selected = await mine.get_history(thread_id, limit=1, select=["checkpoint"])
    assert selected == [{"checkpoint": checkpoints[4]}], selected
    await refused(422, mine.get_history(thread_id, limit=0))
    await refused(422, mine.get_history(thread_id, before="nothing"))
    await refused(404, mine.get_history(thread_id, headers=bearer(world.other)))


async def a_joined_stream_replays_and_then_follows(world):
    mine = world.mine
    thread_id, _ = await noted(world, "1", "2")
    stream = mine.join_stream(
        thread_id,
        last_event_id="-",
        stream_mode=["lifecycle", "state_update"],
        params={"ignored": "yes"},
    )
    replayed = await stream.updates(2)
    await mine.update_state(thread_id, {"note": "3"})
    live = (await stream.updates(1))[0]
    assert notes(part.data["state"] for part in [*replayed, live]) == ["1", "2", "3"]
    assert live.data["thread_id"] == thread_id, live
    assert live.data["state"] == await mine.get_state(thread_id), live
    # From the middle on, and then until the thread's end.
    since = mine.join_stream(thread_id, last_event_id=replayed[0].id, stream_mode="state_update")

    async def write_and_delete():
        await mine.update_state(thread_id, {"note": "4"})
        await mine.delete(thread_id)

    parts = await since.all_while(write_and_delete)
    # For either stream the last update may be too late: the thread is gone.
    seen = notes(part.data["state"] for part in parts)
    assert seen in (["2", "3"], ["2", "3", "4"]), seen
    left = notes(part.data["state"] for part in await stream.rest())
    assert left in ([], ["4"]), left


async def a_stream_in_other_modes_is_silent(world):
    for modes in ({}, {"stream_mode": "lifecycle"}, {"stream_mode": ["run_modes", "lifecycle"]}):
        thread_id, _ = await noted(world, "1")

        async def write_and_delete():
            await world.mine.update_state(thread_id, {"note": "2"})
            await world.mine.delete(thread_id)

        stream = world.mine.join_stream(thread_id, **modes)
        assert await stream.all_while(write_and_delete) == [], modes


async def a_stream_is_refused_like_anything_else(world):
    thread_id, _ = await noted(world, "1")
    others = world.mine.join_stream(thread_id, headers=bearer(world.other))
    await refused(404, others.next())
    await refused(422, world.mine.join_stream(thread_id, stream_mode="values").next())
    await refused(422, world.mine.join_stream(thread_id, last_event_id="zzz").next())


CHECKS = [
    the_tutorial,
    create_takes_all_it_has,
    create_applies_supersteps,
    get_shows_the_ttl_when_asked,
    update_merges_metadata_and_sets_the_ttl,
    delete_ends_a_thread,
    search_takes_all_it_has,
    count_agrees_with_search,
    copy_takes_the_history_along,
    prune_deletes_or_keeps_the_latest,
    get_state_in_all_its_forms,
    one_key_of_the_values_can_be_selected,
    update_state_writes_onto_what_it_is_told_to,
    messages_follow_their_reducer,
    history_in_all_its_forms,
    a_joined_stream_replays_and_then_follows,
    a_stream_in_other_modes_is_silent,
    a_stream_is_refused_like_anything_else,
]


def never_used(client, used):
    """Public methods and their arguments that no check has used."""
    for name, method in inspect.getmembers(client, inspect.isfunction):
        if name.startswith("_") or name in NEEDS_RUNS:
            continue
        if name not in used:
            yield name
        for argument in list(inspect.signature(method).parameters)[1:]:
            if argument not in used.get(name, ()):
                yield f"{name}({argument}=)"


async def check_all(client, make_client):
    """How many checks fail with a client. Each has users of its own."""
    failed, used = 0, {}
    for check in CHECKS:
        world = SimpleNamespace(me=sign_up(), other=sign_up())
        world.mine = Threads(make_client, world.me, used)
        world.theirs = Threads(make_client, world.other, used)
        world.nobody = Threads(make_client, None, used)
        name = f"{client.__name__}: {check.__name__.replace('_', ' ')}"
        try:
            await asyncio.wait_for(check(world), 120)
            print(f"ok    {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
    for what in never_used(client, used):
        failed += 1
        print(f"FAIL  {client.__name__}.{what} is neither used here nor listed as needing runs")
    return failed


async def main():
    failed = await check_all(ThreadsClient, get_client)
    failed += await check_all(SyncThreadsClient, get_sync_client)
    print("langgraph_sdk (Python): " + (f"{failed} failed" if failed else "all checks hold"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
