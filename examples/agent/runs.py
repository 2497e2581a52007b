"""Runs of a graph, in the memory of this process, with their events for the clients that listen."""

import asyncio
import json
from uuid import uuid4

from fastapi import HTTPException
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, StreamingResponse
from langchain_core.messages import BaseMessage
from langgraph.types import Command

# The stream modes that clients request, with a graph's names for them.
STREAM_MODES = {"messages-tuple": "messages", "values": "values", "updates": "updates",
                "messages": "messages", "custom": "custom"}
ACTIVE, RUNS, LOCKS = ("pending", "running"), {}, {}


def plain(data):
    """JSON of what a graph streams, with messages as their fields."""
    fields = {BaseMessage: lambda message: message.model_dump()}
    return jsonable_encoder(data, custom_encoder=fields)


class Run:
    """A run with all its events so far, for clients that join it."""

    def __init__(self, graph, thread_id, user, body):
        lock = LOCKS.setdefault(thread_id, asyncio.Lock())
        if body.get("multitask_strategy") == "reject" and lock.locked():
            raise HTTPException(409, "Thread is already running a task.")
        self.id, self.thread_id, self.body = str(uuid4()), thread_id, body
        self.events, self.status, self.news = [], "pending", asyncio.Condition()
        self.values, self.error = {}, None
        self.task = asyncio.create_task(self.perform(graph, user, lock))
        RUNS[self.id] = self

    def view(self):
        return {"run_id": self.id, "thread_id": self.thread_id, "status": self.status,
                "assistant_id": self.body.get("assistant_id"), "metadata": {}}

    def place(self, end=""):
        path = f"/threads/{self.thread_id}/runs/{self.id}"
        return {"Content-Location": path, "Location": path + end}

    async def say(self, event, data):
        async with self.news:
            self.events.append(f"event: {event}\ndata: {json.dumps(plain(data))}\n"
                               f"id: {len(self.events)}\n\n")
            self.news.notify_all()

    async def perform(self, graph, user, lock):
        """Runs the graph to its end, after the earlier runs of its thread."""
        modes = self.body.get("stream_mode") or ["values"]
        modes = [modes] if isinstance(modes, str) else modes
        # The user is the one that thread-store names, never one in a body.
        config = {"configurable": {"thread_id": self.thread_id, "user_id": user}}
        if checkpoint_id := (self.body.get("checkpoint") or {}).get("checkpoint_id"):
            config["configurable"]["checkpoint_id"] = checkpoint_id
        command = self.body.get("command") or {}
        value = Command(resume=command["resume"]) if "resume" in command else self.body.get("input")
        try:
            await self.say("metadata", {"run_id": self.id, "attempt": 1})
            async with lock:
                self.status = "running"
                wanted = {STREAM_MODES[mode] for mode in modes if mode in STREAM_MODES} | {"values"}
                async for mode, data in graph.astream(value, config, stream_mode=[*wanted]):
                    self.values = data if mode == "values" else self.values
                    if any(STREAM_MODES.get(asked) == mode for asked in modes):
                        await self.say(mode, data)
                self.status = "interrupted" if "__interrupt__" in self.values else "success"
        except asyncio.CancelledError:
            self.status = "interrupted"
        except Exception as error:  # The client reads it, as from the LangGraph Server.
            self.error = {"error": type(error).__name__, "message": str(error)}
            await self.say("error", self.error)
            self.status = "error"
        async with self.news:
            self.news.notify_all()

    async def sse(self, since, cancel):
        """The events from a number on, with a comment after 5 s of silence. `cancel`: leaving cancels the run."""
        is_over = lambda: self.status not in ACTIVE
        try:
            while since < len(self.events) or not is_over():
                for event in self.events[since:]:
                    since += 1
                    yield event
                try:
                    async with asyncio.timeout(5), self.news:
                        await self.news.wait_for(lambda: since < len(self.events) or is_over())
                except TimeoutError:
                    yield ": heartbeat\n\n"
        finally:
            if cancel and not is_over():
                self.task.cancel()

    def stream(self, since=0, cancel=False):
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", **self.place("/stream")}
        return StreamingResponse(self.sse(since, cancel), 200, headers, "text/event-stream")

    async def finished(self):
        await asyncio.wait([self.task])
        answer = {"__error__": self.error} if self.error else plain(self.values)
        return JSONResponse(answer, 200, self.place())
