"""Runs a graph with LangGraph's own saver as fast as it can, and says what the saver has acknowledged.

writer.py DATABASE_URL setup      only makes the tables
writer.py DATABASE_URL USER_ID    writes until its input ends

Prints a line of JSON for each checkpoint once `put` has returned, one for each notice of Postgres, and a last one with
the longest time that a `put` or a `put_writes` has taken. An error anywhere ends it with a traceback and a code
other than 0.
"""

import json
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, MessagesState, StateGraph

WRITERS = 3
# Runs of one thread, after which a new one begins.
RUNS = 4
# Threads that the test deletes and prunes meanwhile: one by its UUID, one by a text.
CHURNED = [str(uuid.UUID(int=7)), "chat:churned"]

printing = threading.Lock()
ended = threading.Event()


def tell(**line):
    with printing:
        print(json.dumps(line), flush=True)


class Told(PostgresSaver):
    slowest = 0.0

    def timed(self, write, *arguments):
        begun = time.monotonic()
        result = write(*arguments)
        Told.slowest = max(Told.slowest, time.monotonic() - begun)
        return result

    def put(self, config, checkpoint, metadata, new_versions):
        saved = self.timed(super().put, config, checkpoint, metadata, new_versions)
        names = saved["configurable"]
        tell(thread=names["thread_id"], checkpoint=names["checkpoint_id"])
        return saved

    def put_writes(self, config, writes, task_id, task_path=""):
        return self.timed(super().put_writes, config, writes, task_id, task_path)


def answer(state):
    return {"messages": [AIMessage(f"You said: {state['messages'][-1].content}")]}


def build(saver):
    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=saver)


def write(url, user_id, number):
    with Told.from_conn_string(url) as saver:
        saver.conn.add_notice_handler(lambda notice: tell(notice=notice.message_primary))
        graph = build(saver)
        runs = 0
        while not ended.is_set():
            if runs % RUNS == 0:
                # Half of them by ids that are no UUIDs.
                thread = str(uuid.uuid4())
                thread = thread if runs // RUNS % 2 == 0 else f"kept:{thread}"
            runs += 1
            for thread_id in [thread, CHURNED[(runs + number) % 2]]:
                config = {"configurable": {"thread_id": thread_id, "user_id": user_id}}
                graph.invoke({"messages": [HumanMessage(f"{number}, {runs}")]}, config)


def main():
    url, user_id = sys.argv[1:]
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
    if user_id == "setup":
        return
    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, url, user_id, number) for number in range(WRITERS)]
        for running in writing:
            # One that has failed ends the others too.
            running.add_done_callback(lambda _: ended.set())
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        ended.wait()
    for running in writing:
        running.result()
    tell(slowest=Told.slowest)


main()
