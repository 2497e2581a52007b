"""Runs graphs of different shapes with LangGraph's own saver, and prints what the library says.

graphs.py DATABASE_URL USER_ID
graphs.py DATABASE_URL setup      only makes the tables

Prints a JSON list of threads, each with the library's `get_state` and `get_state_history`.
"""

import asyncio
import dataclasses
import datetime
import decimal
import enum
import json
import operator
import sys
import uuid
from typing import Annotated, Any, Literal, TypedDict

import pydantic
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt

try:
    from langgraph.channels.delta import DeltaChannel
    from langgraph.graph.message import _messages_delta_reducer
    from langgraph.types import Overwrite
except ImportError:  # An old release.
    DeltaChannel = None

ANSWERED = "yes"


class State(TypedDict, total=False):
    messages: Annotated[list, add_messages]
    n: int
    log: Annotated[list, operator.add]
    answer: Any
    value: Any


def say(text):
    return lambda state: {"messages": [AIMessage(text, id=f"{text}-{len(state['messages'])}")]}


def graph(nodes, edges, state=State, **options):
    builder = StateGraph(state)
    for name, node in nodes.items():
        builder.add_node(name, node, **options.get(name, {}))
    for one, other in edges:
        builder.add_edge(one, other)
    return builder


def human(text="Hi", id="h-1"):
    return {"messages": [HumanMessage(text, id=id)]}


GRAPHS = []


def case(function):
    GRAPHS.append(function)
    return function


@case
def line(saver, config):
    compiled = graph({"a": say("a"), "b": say("b")}, [(START, "a"), ("a", "b"), ("b", END)]).compile(saver)
    compiled.invoke(human(), config)
    compiled.invoke(human("again", "h-2"), config)
    return compiled


@case
def conditional(saver, config):
    builder = graph({"a": say("a"), "b": say("b"), "c": say("c")}, [(START, "a"), ("b", END), ("c", END)])
    builder.add_conditional_edges("a", lambda state: "c" if len(state["messages"]) > 1 else "b", ["b", "c"])
    compiled = builder.compile(saver)
    compiled.invoke(human(), config)
    return compiled


@case
def join(saver, config):
    builder = graph({"a": say("a"), "b": say("b"), "c": say("c")}, [(START, "a"), (START, "b"), ("c", END)])
    builder.add_edge(["a", "b"], "c")
    compiled = builder.compile(saver)
    compiled.invoke(human(), config)
    return compiled


@case
def waits_at_a_join(saver, config):
    def asks(state):
        return {"answer": interrupt("b?")}

    builder = graph({"a": say("a"), "b": asks, "c": say("c")}, [(START, "a"), (START, "b"), ("c", END)])
    builder.add_edge(["a", "b"], "c")
    compiled = builder.compile(saver)
    compiled.invoke(human(), config)
    return compiled


@case
def sends(saver, config):
    builder = graph(
        {"plan": say("plan"), "work": lambda part: {"log": [part["i"]]}, "sum": say("sum")},
        [(START, "plan"), ("work", "sum"), ("sum", END)],
    )
    builder.add_conditional_edges("plan", lambda state: [Send("work", {"i": i}) for i in (3, 1, 2)], ["work"])
    compiled = builder.compile(saver)
    compiled.invoke(human(), config)
    return compiled


@case
def a_send_that_asks(saver, config):
    def work(part):
        return {"log": [interrupt(f"work {part['i']}?")]}

    builder = graph({"plan": say("plan"), "work": work}, [(START, "plan"), ("work", END)])
    builder.add_conditional_edges("plan", lambda state: [Send("work", {"i": i}) for i in (2, 1)], ["work"])
    compiled = builder.compile(saver)
    compiled.invoke(human(), config)
    return compiled


@case
def asks_and_waits(saver, config):
    def ask(state):
        return {"answer": interrupt({"question": "go on?", "list": [1, None]})}

    compiled = graph({"a": say("a"), "ask": ask}, [(START, "a"), ("a", "ask"), ("ask", END)]).compile(saver)
    compiled.invoke(human(), config)
    return compiled


@case
def asks_and_is_answered(saver, config):
    compiled = asks_and_waits(saver, config)
    compiled.invoke(Command(resume=ANSWERED), config)
    return compiled


@case
def asks_twice_in_one_node(saver, config):
    def ask(state):
        return {"answer": [interrupt("first"), interrupt("second")]}

    compiled = graph({"ask": ask}, [(START, "ask"), ("ask", END)]).compile(saver)
    compiled.invoke(human(), config)
    compiled.invoke(Command(resume="A1"), config)
    return compiled


@case
def two_ask_and_one_is_answered(saver, config):
    def ask(name):
        return lambda state: {"messages": [AIMessage(f"{name}:{interrupt('q' + name)}", id=name)]}

    compiled = graph(
        {"a": ask("a"), "b": ask("b")}, [(START, "a"), (START, "b"), ("a", END), ("b", END)]
    ).compile(saver)
    compiled.invoke(human(), config)
    state = compiled.get_state(config)
    first = next(task for task in state.tasks if task.name == "a").interrupts[0]
    try:
        compiled.invoke(Command(resume={first.id: ANSWERED}), config)
    except AttributeError:  # An old release answers one question at a time.
        pass
    return compiled


@case
def fails(saver, config):
    def bad(state):
        raise ValueError("bad")

    compiled = graph({"a": say("a"), "bad": bad}, [(START, "a"), ("a", "bad"), ("bad", END)]).compile(saver)
    try:
        compiled.invoke(human(), config)
    except ValueError:
        pass
    return compiled


@case
def one_of_two_fails(saver, config):
    def bad(state):
        raise ValueError("bad")

    compiled = graph(
        {"ok": say("ok"), "bad": bad}, [(START, "ok"), (START, "bad"), ("ok", END), ("bad", END)]
    ).compile(saver)
    try:
        compiled.invoke(human(), config)
    except ValueError:
        pass
    return compiled


@case
def stops_before_a_node(saver, config):
    compiled = graph(
        {"a": say("a"), "b": say("b")}, [(START, "a"), ("a", "b"), ("b", END)]
    ).compile(saver, interrupt_before=["b"])
    compiled.invoke(human(), config)
    return compiled


@case
def commands(saver, config):
    def route(state) -> Command[Literal["b"]]:
        return Command(goto="b", update={"log": ["routed"]})

    builder = StateGraph(State)
    builder.add_node("a", route)
    builder.add_node("b", say("b"))
    builder.add_edge(START, "a")
    builder.add_edge("b", END)
    compiled = builder.compile(saver)
    compiled.invoke(human(), config)
    return compiled


@case
def removals_and_replacements(saver, config):
    compiled = graph(
        {
            "a": lambda state: {"messages": [AIMessage("one", id="x"), AIMessage("two", id="y")]},
            "b": lambda state: {"messages": [RemoveMessage(id="x"), AIMessage("TWO", id="y")]},
        },
        [(START, "a"), ("a", "b"), ("b", END)],
    ).compile(saver)
    compiled.invoke(human(), config)
    try:
        compiled.update_state(config, {"messages": [RemoveMessage(id="__remove_all__"), AIMessage("new", id="z")]})
    except ValueError:  # An old release removes one at a time.
        compiled.update_state(config, {"messages": [RemoveMessage(id="y")]})
    return compiled


@case
def forks(saver, config):
    compiled = line(saver, config)
    history = list(compiled.get_state_history(config))
    older = history[3].config
    compiled.update_state(older, {"messages": [HumanMessage("edited", id="h-9")]}, as_node="a")
    compiled.invoke(None, config)
    return compiled


@case
def subgraphs(saver, config):
    inner = graph({"in": say("in")}, [(START, "in"), ("in", END)]).compile()
    deeper = graph({"mid": inner, "after": say("after")}, [(START, "mid"), ("mid", "after"), ("after", END)]).compile()
    compiled = graph({"outer": deeper, "last": say("last")}, [(START, "outer"), ("outer", "last"), ("last", END)]).compile(saver)
    compiled.invoke(human(), config)
    return compiled


@case
def a_subgraph_that_asks(saver, config):
    def ask(state):
        return {"answer": interrupt("inside?")}

    inner = graph({"ask": ask}, [(START, "ask"), ("ask", END)]).compile()
    compiled = graph({"outer": inner}, [(START, "outer"), ("outer", END)]).compile(saver)
    compiled.invoke(human(), config)
    return compiled


class Colour(str, enum.Enum):
    RED = "red"


class Profile(pydantic.BaseModel):
    name: str
    born: datetime.date


@dataclasses.dataclass
class Point:
    x: int
    y: float


@case
def values_of_all_kinds(saver, config):
    def values(state):
        return {
            "value": {
                "date": datetime.date(2026, 1, 2),
                "time": datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, datetime.timezone.utc),
                "set": {"a"},
                "bytes": b"\x00\x01\xff",
                "uuid": uuid.UUID(int=5),
                "price": decimal.Decimal("1.10"),
                "colour": Colour.RED,
                "profile": Profile(name="Ada", born=datetime.date(1815, 12, 10)),
                "point": Point(1, 2.5),
                "tuple": (1, 2),
                "keys": {7: "int", "deep": [{"x": [None, True, 1e300, -0.5, 2**63 - 1]}]},
                "text": "Gr\u00fc\u00dfe \u2028 \U0001f600 \x01",
            },
            "n": 2**62,
        }

    def tool(state):
        return {
            "messages": [
                AIMessage("", id="t", tool_calls=[{"name": "look", "args": {"q": "x"}, "id": "c", "type": "tool_call"}]),
                ToolMessage("42", tool_call_id="c", name="look", id="r", artifact={"rows": [1]}),
            ]
        }

    compiled = graph({"values": values, "tool": tool}, [(START, "values"), ("values", "tool"), ("tool", END)]).compile(saver)
    compiled.invoke(human(), config)
    return compiled


@case
def deferred(saver, config):
    builder = StateGraph(State)
    builder.add_node("a", say("a"))
    builder.add_node("b", say("b"))
    builder.add_node("b2", say("b2"))
    try:
        builder.add_node("c", say("c"), defer=True)
    except TypeError:
        builder.add_node("c", say("c"))
    for one, other in [(START, "a"), (START, "b"), ("b", "b2"), ("a", "c"), ("b2", "c"), ("c", END)]:
        builder.add_edge(one, other)
    compiled = builder.compile(saver)
    compiled.invoke(human(), config)
    return compiled


@case
def loops(saver, config):
    builder = graph({"a": say("a")}, [(START, "a")])
    builder.add_conditional_edges("a", lambda state: END if len(state["messages"]) > 5 else "a", ["a", END])
    compiled = builder.compile(saver)
    compiled.invoke(human(), config)
    return compiled


@case
def saved_at_the_end_only(saver, config):
    compiled = graph({"a": say("a"), "b": say("b")}, [(START, "a"), ("a", "b"), ("b", END)]).compile(saver)
    for turn in range(3):
        try:
            compiled.invoke(human("turn", f"h-{turn}"), config, durability="exit")
        except TypeError:
            compiled.invoke(human("turn", f"h-{turn}"), config)
    return compiled


if DeltaChannel is not None:

    class Delta(TypedDict, total=False):
        messages: Annotated[list, DeltaChannel(_messages_delta_reducer, snapshot_frequency=3)]
        log: Annotated[list, operator.add]

    def plan(state):
        return {"messages": [AIMessage("plan", id=f"p-{len(state['messages'])}")]}

    def work(part):
        return {"messages": [AIMessage(f"did {part['i']}", id=f"w-{part['i']}-{part['b']}")], "log": [part["i"]]}

    def fan(state):
        return [Send("work", {"i": i, "b": len(state["messages"])}) for i in (2, 1)]

    def delta_graph(saver):
        builder = StateGraph(Delta)
        builder.add_node("plan", plan)
        builder.add_node("work", work)
        builder.add_edge(START, "plan")
        builder.add_conditional_edges("plan", fan, ["work"])
        builder.add_edge("work", END)
        return builder.compile(saver)

    @case
    def deltas(saver, config):
        compiled = delta_graph(saver)
        for turn in range(4):
            compiled.invoke(human("turn", f"h-{turn}"), config)
        compiled.update_state(config, {"messages": [RemoveMessage(id="h-1")]}, as_node="work")
        compiled.invoke(human("after", "h-9"), config)
        return compiled

    @case
    def deltas_at_the_end_only(saver, config):
        compiled = delta_graph(saver)
        for turn in range(4):
            compiled.invoke(human("turn", f"h-{turn}"), config, durability="exit")
        return compiled

    @case
    def deltas_overwritten_and_forked(saver, config):
        compiled = delta_graph(saver)
        for turn in range(3):
            compiled.invoke(human("turn", f"h-{turn}"), config)
        older = list(compiled.get_state_history(config))[5].config
        compiled.update_state(config, {"messages": Overwrite([HumanMessage("all new", id="o-1")])}, as_node="work")
        compiled.update_state(older, {"messages": [HumanMessage("edited", id="h-8")]}, as_node="work")
        compiled.invoke(human("on", "h-7"), config)
        return compiled


def plain(value):
    """A value as the reference server's JSON has it."""
    if isinstance(value, pydantic.BaseModel):
        return plain(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, dict):
        return {key if isinstance(key, str) else json.dumps(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, datetime.date):
        return [value.year, value.month, value.day]
    if isinstance(value, (uuid.UUID, decimal.Decimal)):
        return str(value)
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return value


def question(one):
    return {"value": plain(one.value), "id": getattr(one, "id", None)}


def shown(state):
    return {
        "values": plain(state.values),
        "next": sorted(state.next),
        "checkpoint_id": state.config["configurable"].get("checkpoint_id"),
        "parent_checkpoint_id": (state.parent_config or {"configurable": {}})["configurable"].get("checkpoint_id"),
        "created_at": state.created_at,
        "metadata": plain({key: state.metadata.get(key) for key in ("source", "step")} if state.metadata else None),
        "tasks": [
            {
                "name": task.name,
                "error": None if task.error is None else str(task.error),
                "interrupts": [question(one) for one in task.interrupts],
                "result": plain(getattr(task, "result", None)),
            }
            for task in state.tasks
        ],
    }


def of_thread(name, compiled, config):
    return {
        "name": name,
        "thread_id": config["configurable"]["thread_id"],
        "now": shown(compiled.get_state(config)),
        "history": [shown(state) for state in compiled.get_state_history(config)],
    }


async def asynchronous(url, user_id):
    """The same saver as most servers use it."""
    async with AsyncPostgresSaver.from_conn_string(url) as saver:
        compiled = graph({"a": say("a"), "b": say("b")}, [(START, "a"), ("a", "b"), ("b", END)]).compile(saver)
        threads = []
        for durability in ("async", "sync"):
            config = {"configurable": {"thread_id": str(uuid.uuid4()), "user_id": user_id}}
            try:
                await compiled.ainvoke(human(), config, durability=durability)
            except TypeError:
                await compiled.ainvoke(human(), config)
            now = await compiled.aget_state(config)
            history = [shown(state) async for state in compiled.aget_state_history(config)]
            threads.append(
                {
                    "name": f"asynchronous, {durability}",
                    "thread_id": config["configurable"]["thread_id"],
                    "now": shown(now),
                    "history": history,
                }
            )
        return threads


def main():
    url, user_id = sys.argv[1:]
    threads = []
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        if user_id == "setup":
            return
        for function in GRAPHS:
            config = {"configurable": {"thread_id": str(uuid.uuid4()), "user_id": user_id}}
            compiled = function(saver, config)
            threads.append(of_thread(function.__name__, compiled, config))
    threads += asyncio.run(asynchronous(url, user_id))
    print(json.dumps(threads))


main()
