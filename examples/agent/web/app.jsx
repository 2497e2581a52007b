// A chat with the agent through thread-store: `useStream` as its users write it.
import { useEffect, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import { Client } from "@langchain/langgraph-sdk";
import { useStream } from "@langchain/langgraph-sdk/react";

const parameters = new URLSearchParams(location.search);
const server = parameters.get("server") ?? "http://127.0.0.1:2024";

// thread-store's local sign-in. With Supabase this is supabase.auth.signInWithPassword.
async function signIn(path, email, password) {
  const answer = await fetch(`${server}/auth/v1/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", apikey: "local" },
    body: JSON.stringify({ email, password }),
  });
  const session = await answer.json();
  if (!answer.ok) throw new Error(session.msg ?? answer.statusText);
  return session.access_token;
}

function SignIn({ onToken }) {
  const [error, setError] = useState();
  const submit = (path) => (event) => {
    event.preventDefault();
    const form = event.target.form ?? event.target;
    if (!form.reportValidity()) return;
    const { email, password } = Object.fromEntries(new FormData(form));
    signIn(path, email, password).then(onToken, (failure) => setError(failure.message));
  };
  return (
    <form onSubmit={submit("token?grant_type=password")}>
      <input name="email" type="email" placeholder="E-mail" required />
      <input name="password" type="password" placeholder="Password" required />
      <button>Sign in</button>
      <button type="button" onClick={submit("signup")}>Sign up</button>
      {error && <p role="alert">{error}</p>}
    </form>
  );
}

function Threads({ client, current, onOpen, news }) {
  const [threads, setThreads] = useState([]);
  useEffect(() => {
    client.threads.search({ metadata: { graph_id: "agent" } }).then(setThreads, () => {});
  }, [client, news]);
  const title = (thread) => thread.values?.messages?.[0]?.content ?? thread.thread_id;
  return (
    <nav>
      <button onClick={() => onOpen(undefined)}>New chat</button>
      {threads.map((thread) => (
        <button
          key={thread.thread_id}
          className="thread"
          disabled={thread.thread_id === current}
          onClick={() => onOpen(thread.thread_id)}
        >
          {title(thread)}
        </button>
      ))}
    </nav>
  );
}

function Chat({ token, onSignOut }) {
  const [threadId, setThreadId] = useState(parameters.get("thread") ?? undefined);
  // One object for all renders: the hooks make a new client for each new object.
  const defaultHeaders = useMemo(() => ({ Authorization: `Bearer ${token}` }), [token]);
  const client = useMemo(() => new Client({ apiUrl: server, defaultHeaders }), [defaultHeaders]);
  const open = (id) => {
    if (id) parameters.set("thread", id);
    else parameters.delete("thread");
    history.replaceState(null, "", `?${parameters}`);
    setThreadId(id);
  };
  const stream = useStream({
    apiUrl: server,
    assistantId: "agent",
    messagesKey: "messages",
    fetchStateHistory: true,
    defaultHeaders,
    threadId,
    onThreadId: open,
  });
  const submit = (event) => {
    event.preventDefault();
    const text = new FormData(event.target).get("text");
    event.target.reset();
    const messages = [{ type: "human", content: text }];
    stream.submit({ messages }, {
      streamMode: ["messages-tuple"],
      optimisticValues: (previous) => ({ messages: [...(previous.messages ?? []), ...messages] }),
    });
  };
  return (
    <>
      <button onClick={onSignOut}>Sign out</button>
      <Threads client={client} current={threadId} onOpen={open} news={stream.isLoading} />
      <main>
        {stream.messages.map((message, index) => (
          <p key={message.id ?? index} className={message.type}>{message.content}</p>
        ))}
        {stream.interrupt && (
          <section aria-label="Question">
            <p>{stream.interrupt.value?.question}</p>
            {["yes", "no"].map((resume) => (
              <button key={resume} onClick={() => stream.submit(null, { command: { resume } })}>
                {resume}
              </button>
            ))}
          </section>
        )}
        {stream.error && <p role="alert">{String(stream.error.message ?? stream.error)}</p>}
        {stream.isLoading && <button onClick={() => stream.stop()}>Stop</button>}
      </main>
      <form onSubmit={submit}>
        <input name="text" aria-label="Message" placeholder="Message" autoComplete="off" required />
        <button disabled={stream.isLoading}>Send</button>
      </form>
    </>
  );
}

function App() {
  const [token, setToken] = useState(sessionStorage.getItem("token"));
  const keep = (value) => {
    if (value) sessionStorage.setItem("token", value);
    else sessionStorage.removeItem("token");
    setToken(value);
  };
  return token
    ? <Chat token={token} onSignOut={() => keep(null)} />
    : <SignIn onToken={keep} />;
}

createRoot(document.getElementById("root")).render(<App />);
