"""A LangGraph agent behind thread-store, which signs its users in and checks who owns a thread.

It speaks the part of the LangGraph Server's runs protocol that SDKs and chat front ends need. Its
checkpoints are in the database that thread-store has attached, so /threads shows what it writes.
"""

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from graph import builder
from runs import ACTIVE, RUNS, Run

GRAPH = {"assistant_id": "agent", "graph_id": "agent", "name": "agent", "config": {},
         "context": {}, "metadata": {"created_by": "system"}, "version": 1,
         "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}


@asynccontextmanager
async def lifespan(app):
    async with AsyncPostgresSaver.from_conn_string(os.environ["DATABASE_URL"]) as saver:
        await saver.setup()
        app.state.graph, app.state.saver = builder.compile(checkpointer=saver), saver
        yield


def caller(request: Request):
    """The user whom thread-store has signed in. A request without the key has bypassed thread-store."""
    if request.headers.get("x-api-key") != os.environ.get("AGENT_API_KEY"):
        raise HTTPException(401, "x-api-key is not AGENT_API_KEY")
    return request.headers["x-forwarded-user"]


async def begin(request: Request, user: Annotated[str, Depends(caller)]):
    """A run in the thread of the path, or in a new one without an owner."""
    thread_id = request.path_params.get("thread_id") or str(uuid4())
    return Run(app.state.graph, thread_id, user, await request.json())


def known(thread_id: str, run_id: str, user: Annotated[str, Depends(caller)]):
    run = RUNS.get(run_id)
    if not run or run.thread_id != thread_id:
        raise HTTPException(404, "Run not found")
    return run


app = FastAPI(lifespan=lifespan)
New, Known = Annotated[Run, Depends(begin)], Annotated[Run, Depends(known)]


@app.post("/threads/{thread_id}/runs/stream")
async def run_stream(run: New):
    return run.stream(cancel=run.body.get("on_disconnect") == "cancel")


@app.post("/threads/{thread_id}/runs/wait")
async def run_wait(run: New):
    return await run.finished()


@app.post("/threads/{thread_id}/runs")
async def run_create(run: New):
    return JSONResponse(run.view(), 200, run.place())


@app.post("/runs/stream")
async def stateless_stream(run: New):
    return run.stream(cancel=True)


@app.post("/runs/wait")
async def stateless_wait(run: New):
    answer = await run.finished()
    await app.state.saver.adelete_thread(run.thread_id)
    return answer


@app.get("/threads/{thread_id}/runs", dependencies=[Depends(caller)])
async def run_list(thread_id: str):
    return [run.view() for run in reversed(RUNS.values()) if run.thread_id == thread_id]


@app.get("/threads/{thread_id}/runs/{run_id}")
async def run_get(run: Known):
    return run.view()


@app.get("/threads/{thread_id}/runs/{run_id}/join")
async def run_join(run: Known):
    return await run.finished()


@app.get("/threads/{thread_id}/runs/{run_id}/stream")
async def run_join_stream(run: Known, request: Request, cancel_on_disconnect: bool = False):
    seen = int(request.headers.get("last-event-id", len(run.events)))
    return run.stream(max(0, seen), cancel_on_disconnect)


@app.post("/threads/{thread_id}/runs/{run_id}/cancel")
async def run_cancel(run: Known, wait: bool = False):
    if run.status not in ACTIVE:
        raise HTTPException(404, "No matching runs to cancel.")
    run.task.cancel()
    if wait:
        await asyncio.wait([run.task])
    return Response(status_code=202)


@app.post("/assistants/search", dependencies=[Depends(caller)])
async def assistants():
    return [GRAPH]


# The files of the chat page. Its requests go to thread-store and never to this agent.
app.mount("/", StaticFiles(directory=Path(__file__).parent / "web/dist", html=True))
