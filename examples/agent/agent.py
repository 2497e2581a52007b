"""A LangGraph agent behind thread-store, which signs its users in and checks whose thread it is.

It speaks the part of the LangGraph Server's runs protocol that SDKs and chat front ends need. Its
checkpoints are in the database that thread-store has attached, so /threads shows what it writes.
"""

import asyncio
import json
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.types import Command

from graph import builder

STREAM_MODES = {"messages-tuple": "messages", "values": "values", "updates": "updates",
                "messages": "messages", "custom": "custom"}
GRAPH = {"assistant_id": "agent", "graph_id": "agent", "name": "agent", "config": {},
         "context": {}, "metadata": {"created_by": "system"}, "version": 1,
         "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}


class Run:
    """A run with the events that it has had, for whoever joins it."""

    def __init__(self, thread_id, body):
        self.id, self.thread_id, self.body = str(uuid4()), thread_id, body
        self.events, self.status, self.news = [], "pending", asyncio.Condition()
        self.values, self.error, self.task = {}, None, None

    def view(self):
        return {"run_id": self.id, "thread_id": self.thread_id, "status": self.status,
                "assistant_id": self.body.get("assistant_id"), "metadata": {}}

    async def say(self, event, data):
        async with self.news:
            self.events.append(f"event: {event}\ndata: {json.dumps(plain(data))}\n"
                               f"id: {len(self.events)}\n\n")
            self.news.notify_all()

    async def sse(self, since, cancel):
        """Its events from a number on, with a comment each 5 s. Whoever leaves may cancel it."""
        try:
            while since < len(self.events) or not self.task.done():
                for event in self.events[since:]:
                    since += 1
                    yield event
                try:
                    async with asyncio.timeout(5), self.news:
                        await self.news.wait_for(
                            lambda: since < len(self.events) or self.status not in ACTIVE)
                except TimeoutError:
                    yield ": heartbeat\n\n"
                if since >= len(self.events) and self.status not in ACTIVE:
                    return
        finally:
            if cancel and self.status in ACTIVE:
                self.task.cancel()


ACTIVE, RUNS, LOCKS = ("pending", "running"), {}, {}


def plain(data):
    """JSON of what a graph streams, with messages as their fields."""
    fields = {BaseMessage: lambda message: message.model_dump()}
    return jsonable_encoder(data, custom_encoder=fields)


async def perform(run, user):
    """Runs the graph to its end, after the runs of the thread that came before."""
    body, modes = run.body, run.body.get("stream_mode") or ["values"]
    modes = [modes] if isinstance(modes, str) else modes
    # Whose run it is says thread-store, never a body.
    config = {"configurable": {"thread_id": run.thread_id, "user_id": user}}
    if checkpoint_id := (body.get("checkpoint") or {}).get("checkpoint_id"):
        config["configurable"]["checkpoint_id"] = checkpoint_id
    command = body.get("command") or {}
    value = Command(resume=command["resume"]) if "resume" in command else body.get("input")
    await run.say("metadata", {"run_id": run.id, "attempt": 1})
    try:
        async with LOCKS.setdefault(run.thread_id, asyncio.Lock()):
            run.status = "running"
            wanted = {STREAM_MODES[mode] for mode in modes if mode in STREAM_MODES} | {"values"}
            async for mode, data in app.state.graph.astream(value, config, stream_mode=[*wanted]):
                run.values = data if mode == "values" else run.values
                if any(STREAM_MODES.get(asked) == mode for asked in modes):
                    await run.say(mode, data)
            run.status = "interrupted" if "__interrupt__" in run.values else "success"
    except asyncio.CancelledError:
        run.status = "interrupted"
    except Exception as error:  # The client reads it, as from the LangGraph Server.
        run.error = {"error": type(error).__name__, "message": str(error)}
        await run.say("error", run.error)
        run.status = "error"
    async with run.news:
        run.news.notify_all()


@asynccontextmanager
async def lifespan(app):
    async with AsyncPostgresSaver.from_conn_string(os.environ["DATABASE_URL"]) as saver:
        await saver.setup()
        app.state.graph, app.state.saver = builder.compile(checkpointer=saver), saver
        yield


def caller(request: Request):
    """The user whom thread-store has signed in. Whoever does not know the key comes around it."""
    if request.headers.get("x-api-key") != os.environ.get("AGENT_API_KEY"):
        raise HTTPException(401, "x-api-key is not AGENT_API_KEY")
    return request.headers["x-forwarded-user"]


app = FastAPI(lifespan=lifespan)
Caller = Annotated[str, Depends(caller)]


async def begin(request, user, thread_id=None):
    body = await request.json()
    lock = LOCKS.get(thread_id)
    if body.get("multitask_strategy") == "reject" and lock and lock.locked():
        raise HTTPException(409, "Thread is already running a task.")
    run = Run(thread_id or str(uuid4()), body)
    RUNS[run.id] = run
    run.task = asyncio.create_task(perform(run, user))
    return run


def known(thread_id, run_id):
    run = RUNS.get(run_id)
    if not run or run.thread_id != thread_id:
        raise HTTPException(404, "Run not found")
    return run


def place(run, end=""):
    path = f"/threads/{run.thread_id}/runs/{run.id}"
    return {"Content-Location": path, "Location": path + end}


def stream(run, since, cancel):
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", **place(run, "/stream")}
    return StreamingResponse(run.sse(since, cancel), 200, headers, "text/event-stream")


async def finished(run):
    await asyncio.wait([run.task])
    return JSONResponse({"__error__": run.error} if run.error else plain(run.values), 200, place(run))


@app.post("/threads/{thread_id}/runs/stream")
async def run_stream(thread_id: str, request: Request, user: Caller):
    run = await begin(request, user, thread_id)
    return stream(run, 0, run.body.get("on_disconnect") == "cancel")


@app.post("/threads/{thread_id}/runs/wait")
async def run_wait(thread_id: str, request: Request, user: Caller):
    return await finished(await begin(request, user, thread_id))


@app.post("/runs/stream")
async def stateless_stream(request: Request, user: Caller):
    return stream(await begin(request, user), 0, True)


@app.post("/runs/wait")
async def stateless_wait(request: Request, user: Caller):
    run = await begin(request, user)
    answer = await finished(run)
    await app.state.saver.adelete_thread(run.thread_id)
    return answer


@app.post("/threads/{thread_id}/runs")
async def run_create(thread_id: str, request: Request, user: Caller):
    run = await begin(request, user, thread_id)
    return JSONResponse(run.view(), 200, place(run))


@app.get("/threads/{thread_id}/runs")
async def run_list(thread_id: str, user: Caller):
    return [run.view() for run in reversed(RUNS.values()) if run.thread_id == thread_id]


@app.get("/threads/{thread_id}/runs/{run_id}")
async def run_get(thread_id: str, run_id: str, user: Caller):
    return known(thread_id, run_id).view()


@app.get("/threads/{thread_id}/runs/{run_id}/join")
async def run_join(thread_id: str, run_id: str, user: Caller):
    return await finished(known(thread_id, run_id))


@app.get("/threads/{thread_id}/runs/{run_id}/stream")
async def run_join_stream(thread_id: str, run_id: str, request: Request, user: Caller):
    run = known(thread_id, run_id)
    seen = request.headers.get("last-event-id", str(len(run.events)))
    leaving = request.query_params.get("cancel_on_disconnect") in ("1", "true")
    return stream(run, max(0, int(seen)), leaving)


@app.post("/threads/{thread_id}/runs/{run_id}/cancel")
async def run_cancel(thread_id: str, run_id: str, user: Caller, wait: bool = False):
    run = known(thread_id, run_id)
    if run.status not in ACTIVE:
        raise HTTPException(404, "No matching runs to cancel.")
    run.task.cancel()
    if wait:
        await asyncio.wait([run.task])
    return Response(status_code=202)


@app.post("/assistants/search")
async def assistants(user: Caller):
    return [GRAPH]


# The chat page, whose browser talks to thread-store and never to this server.
app.mount("/", StaticFiles(directory=Path(__file__).parent / "web/dist", html=True))
