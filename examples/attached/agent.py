"""An agent in a process of its own that keeps its threads with PostgresSaver: docs/agents.md."""

import json
import os
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, MessagesState, StateGraph


def answer(state):
    return {"messages": [AIMessage(f"You said: {state['messages'][-1].content}")]}


builder = StateGraph(MessagesState)
builder.add_node("answer", answer)
builder.add_edge(START, "answer")
builder.add_edge("answer", END)


def user_of(authorization):
    """The id of the user whose access token this is, from the sign-in."""
    headers = {"Authorization": authorization or "", "apikey": os.environ["SUPABASE_ANON_KEY"]}
    request = urllib.request.Request(f"{os.environ['SUPABASE_URL']}/auth/v1/user", headers=headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)["id"]


class Chat(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            user_id = user_of(self.headers["Authorization"])
        except urllib.error.HTTPError as refused:
            return self.send_error(refused.code)
        # The thread's id contains the user's, so that nobody can name another user's thread.
        thread_id = f"{user_id}:{body['chat']}"
        config = {"configurable": {"thread_id": thread_id, "user_id": user_id}}
        state = graph.invoke({"messages": [HumanMessage(body["text"])]}, config)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{state['messages'][-1].content}\n".encode())


with PostgresSaver.from_conn_string(os.environ["DATABASE_URL"]) as saver:
    saver.setup()
    graph = builder.compile(checkpointer=saver)
    server = HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8100"))), Chat)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
