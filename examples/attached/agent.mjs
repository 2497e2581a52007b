// An agent in a process of its own that keeps its threads with PostgresSaver: docs/agents.md.

import http from "node:http";
import { AIMessage, HumanMessage } from "@langchain/core/messages";
import { END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import { Client } from "@langchain/langgraph-sdk";

const { DATABASE_URL, PORT = "8100", THREAD_STORE_URL = "http://127.0.0.1:2024" } = process.env;

const answer = (state) => ({ messages: [new AIMessage(`You said: ${state.messages.at(-1).content}`)] });
const builder = new StateGraph(MessagesAnnotation)
  .addNode("answer", answer)
  .addEdge(START, "answer")
  .addEdge("answer", END);
const checkpointer = PostgresSaver.fromConnString(DATABASE_URL);
await checkpointer.setup();
const graph = builder.compile({ checkpointer });

// The saver keeps no owner, so thread-store creates the thread, with the user's own token. It also
// checks whether a thread is the user's: another user's thread is not found.
const threadOf = async (authorization, threadId) => {
  const client = new Client({
    apiUrl: THREAD_STORE_URL,
    apiKey: null,
    defaultHeaders: { authorization },
    callerOptions: { maxRetries: 0 },
  });
  const thread = threadId ? await client.threads.get(threadId) : await client.threads.create();
  return thread.thread_id;
};

const server = http.createServer(async (request, response) => {
  try {
    const chunks = await request.toArray();
    const { thread_id: named, text } = JSON.parse(Buffer.concat(chunks).toString());
    const threadId = await threadOf(request.headers.authorization ?? "", named);
    const config = { configurable: { thread_id: threadId } };
    const state = await graph.invoke({ messages: [new HumanMessage(text)] }, config);
    const content = state.messages.at(-1).content;
    response.end(`${JSON.stringify({ thread_id: threadId, content })}\n`);
  } catch (error) {
    response.writeHead(error.status ?? 500).end(`${error.message}\n`);
  }
});
server.listen(PORT, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
