"""Compares what the server makes of messages with LangGraph's own reducer, `add_messages`.

`messages.json` beside this file has the entries that are sent, and what the reducer made of each when it was recorded.
The script runs the reducer again, so that a release of LangGraph that behaves differently is noticed, and sends each
entry to the server at BASE_URL. `--record` writes what the reducer makes of them to the file instead.

An entry with `here` becomes something else on purpose; `why` says what for."""

import asyncio
import json
import os
import pathlib
import sys
import uuid
from importlib.metadata import version

import httpx
from langchain_core.messages import HumanMessage
from langgraph.graph.message import add_messages

FILE = pathlib.Path(__file__).with_suffix(".json")
# The list that each entry is added to.
PRESENT = {"type": "human", "content": "present", "id": "a"}


def without_defaults(message):
    """A message without the fields that only say that there is nothing."""
    def is_default(name, value):
        return (value is None or value is False or value == {} or (value == [] and name != "content")
                or (name == "status" and value == "success"))
    return {name: value for name, value in message.items() if not is_default(name, value)}


def outcome(messages, sent):
    """What became of the list: a word for a removal, or the message that was added or replaced."""
    if not messages:
        is_all = "__remove_all__" in json.dumps(sent)
        return "clears" if is_all else "removes a"
    message = without_defaults(messages[-1])
    try:
        if uuid.UUID(message["id"]).version == 4:
            del message["id"]
    except ValueError:
        pass
    return message


def of_reducer(sent):
    """What the reducer makes of an entry. `None`: it raises."""
    try:
        messages = add_messages([HumanMessage(PRESENT["content"], id=PRESENT["id"])], [sent])
    except Exception:  # Of many kinds: it checks nothing on purpose.
        return None
    # As JSON, so that equal means equal for a client.
    return json.loads(json.dumps(outcome([message.model_dump() for message in messages], sent)))


async def of_server(client, sent):
    """What the server makes of it. `None`: 422."""
    thread = (await client.post("/threads", json={})).raise_for_status().json()["thread_id"]
    state = f"/threads/{thread}/state"
    (await client.post(state, json={"values": {"messages": [PRESENT]}})).raise_for_status()
    answer = await client.post(state, json={"values": {"messages": [sent]}})
    if answer.status_code == 422:
        detail = answer.json()["detail"]
        assert detail.startswith("values.messages"), detail
        return None
    answer.raise_for_status()
    messages = (await client.get(state)).raise_for_status().json()["values"]["messages"]
    return outcome(messages, sent)


async def user(base_url):
    """A client that is signed in at the server's own sign-in."""
    client = httpx.AsyncClient(base_url=base_url, timeout=30)
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "correct horse"}
    session = (await client.post("/auth/v1/signup", json=body)).raise_for_status().json()
    client.headers["Authorization"] = f"Bearer {session['access_token']}"
    return client


def record(observed):
    """Writes what the reducer makes of each entry, one entry a line."""
    for case in observed["cases"]:
        case["reducer"] = of_reducer(case["sent"])
    versions = {name: version(name) for name in ["langgraph", "langchain-core"]}
    cases = ",\n".join(json.dumps(case, ensure_ascii=False) for case in observed["cases"])
    FILE.write_text(f'{{"versions": {json.dumps(versions)}, "cases": [\n{cases}\n]}}\n')


async def main():
    observed = json.loads(FILE.read_text())
    if sys.argv[1:] == ["--record"]:
        record(observed)
        return
    client, wrong = await user(os.environ["BASE_URL"]), []
    for case in observed["cases"]:
        sent, recorded = case["sent"], case["reducer"]
        if (now := of_reducer(sent)) != recorded:
            wrong.append(f"{json.dumps(sent)}\n  the reducer makes {now}\n  and made          {recorded}")
        expected = case.get("here", recorded) if "here" in case else recorded
        if (here := await of_server(client, sent)) != expected:
            wrong.append(f"{json.dumps(sent)}\n  the server makes {here}\n  instead of       {expected}")
    await client.aclose()
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(observed['cases'])} entries")


asyncio.run(main())
