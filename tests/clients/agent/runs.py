"""Runs through thread-store with the Python SDK: BASE_URL and SUPABASE_URL name the server.

The agent behind it is examples/agent, or its graph in `langgraph dev`.
"""

import asyncio
import os
import time
import uuid

import httpx
from langgraph_sdk import get_client

SERVER = os.environ["BASE_URL"]


async def sign_up():
    user = {"email": f"{uuid.uuid4().hex}@example.com", "password": "secure-password"}
    async with httpx.AsyncClient(base_url=os.environ["SUPABASE_URL"]) as auth:
        session = await auth.post("/auth/v1/signup", json=user, headers={"apikey": "local"})
        return session.raise_for_status().json()["access_token"]


async def client():
    return get_client(url=SERVER, headers={"Authorization": f"Bearer {await sign_up()}"})


def say(text):
    return {"messages": [{"role": "user", "content": text}]}


async def refused(call, status=404):
    try:
        await call
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == status, error
    else:
        raise AssertionError("this should have been refused")


async def first(events):
    async for event in events:
        return event


async def streaming(ada, thread_id):
    """An answer arrives word by word, as it is made."""
    words, times, last = [], [], None
    async for part in ada.runs.stream(thread_id, "agent", input=say("one two three four"),
                                      stream_mode=["messages-tuple", "values"]):
        if part.event == "messages" and part.data[0]["type"] == "AIMessageChunk":
            words.append(part.data[0]["content"])
            times.append(time.monotonic())
        if part.event == "values":
            last = part.data
    assert "".join(words) == "You said: one two three four", words
    assert len(words) >= 6 and times[-1] - times[0] > 0.1, (words, times)
    assert last["messages"][-1]["content"] == "".join(words), last


async def waiting(ada, thread_id):
    values = await ada.runs.wait(thread_id, "agent", input=say("five"))
    assert values["messages"][-1]["content"] == "You said: five", values
    assert len(values["messages"]) == 4, values
    stateless = await ada.runs.wait(None, "agent", input=say("six"))
    assert [m["content"] for m in stateless["messages"]] == ["six", "You said: six"], stateless
    events = [part async for part in ada.runs.stream(None, "agent", input=say("x"))]
    assert events[-1].data["messages"][-1]["content"] == "You said: x", events


async def interrupting(ada, thread_id):
    values = await ada.runs.wait(thread_id, "agent", input=say("delete all"))
    assert values["__interrupt__"][0]["value"] == {"question": "Really delete all?"}, values
    values = await ada.runs.wait(thread_id, "agent", command={"resume": "no"})
    assert values["messages"][-1]["content"] == "Then I will not.", values


async def joining(ada, thread_id):
    long = say("word " * 40)
    run = await ada.runs.create(thread_id, "agent", input=long, stream_mode=["messages-tuple"])
    joined = ada.runs.join_stream(thread_id, run["run_id"])
    assert (await first(joined)) is not None
    await ada.runs.join(thread_id, run["run_id"])
    assert (await ada.runs.get(thread_id, run["run_id"]))["status"] == "success"
    assert run["run_id"] in [other["run_id"] for other in await ada.runs.list(thread_id)]
    return run["run_id"]


async def cancelling(ada, thread_id):
    run = await ada.runs.create(thread_id, "agent", input=say("word " * 400))
    for _ in range(100):
        if (await ada.runs.get(thread_id, run["run_id"]))["status"] == "running":
            break
        await asyncio.sleep(0.05)
    await ada.runs.cancel(thread_id, run["run_id"], wait=True)
    for _ in range(100):
        status = (await ada.runs.get(thread_id, run["run_id"]))["status"]
        if status == "interrupted":
            return
        await asyncio.sleep(0.05)
    raise AssertionError(status)


async def second_protocol(ada):
    """`threads.stream` makes its thread itself, and listens while it starts a run."""
    async with ada.threads.stream(assistant_id="agent") as session:
        await session.run.start(input=say("one two"))
        async for event in session.events:
            state = event["params"]["data"] if event["method"] == "lifecycle" else {}
            if state.get("event") == "completed" and not event["params"]["namespace"]:
                break
    thread = await ada.threads.get(session.thread_id)
    assert thread["metadata"]["graph_id"] == "agent", thread


async def main():
    ada, bob = await client(), await client()
    thread_id = (await ada.threads.create())["thread_id"]
    await streaming(ada, thread_id)
    await waiting(ada, thread_id)
    await interrupting(ada, thread_id)
    run_id = await joining(ada, thread_id)
    await cancelling(ada, thread_id)
    await refused(bob.runs.wait(thread_id, "agent", input=say("mine")))
    await refused(bob.runs.get(thread_id, run_id))
    await refused(bob.runs.cancel(thread_id, run_id))
    try:
        async for _ in bob.runs.stream(thread_id, "agent", input=say("mine")):
            raise AssertionError("an event of a foreign thread")
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 404, error
    own = (await bob.threads.create())["thread_id"]
    await refused(bob.runs.get(own, run_id))
    if_not = str(uuid.uuid4())
    await bob.runs.wait(if_not, "agent", input=say("new"), if_not_exists="create")
    assert (await bob.threads.get(if_not))["metadata"]["graph_id"] == "agent"
    if os.environ.get("SECOND_PROTOCOL") and hasattr(ada.threads, "stream"):
        await asyncio.wait_for(second_protocol(ada), 30)
    await ada.threads.delete(thread_id)
    await refused(ada.runs.get(thread_id, run_id))
    print("runs.py: all checks passed")


asyncio.run(main())
