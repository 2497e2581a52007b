//! What is read of rows that the real savers wrote.

use serde_json::{Value, json};

use super::agent::{Agent, JAVASCRIPT};

const PYTHON_ROWS: &str = include_str!("../../agents/fixtures/data_python_agent.sql");
const DELTA_ROWS: &str = include_str!("../../agents/fixtures/data_python_delta.sql");
const JAVASCRIPT_ROWS: &str = include_str!("../../agents/fixtures/data_js_agent.sql");
const OFFICIAL: &str = include_str!("../../agents/fixtures/official_state.json");

/// The thread whose state the reference server has shown.
const FIRST: &str = "11111111-1111-4111-8111-111111111111";
/// One that waits for an answer.
const INTERRUPTED: &str = "22222222-2222-4222-8222-222222222222";

#[tokio::test]
async fn a_state_is_the_one_that_the_reference_server_shows() {
    let mut agent = Agent::start().await;
    agent.restore(PYTHON_ROWS).await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.name_owner("ada", &ada).await;
    agent.attach().await;

    let official: Value = serde_json::from_str(OFFICIAL).unwrap();
    let history = ada.post(&format!("/threads/{FIRST}/history"), json!({ "limit": 100 })).await;
    let history = history.expect(200);
    let history = history.as_array().unwrap();
    assert_eq!(history.len(), 8);
    let step_3 = history.iter().find(|state| state["metadata"]["step"] == 3).unwrap();
    let id = step_3["checkpoint_id"].as_str().unwrap();
    let state = ada.get(&format!("/threads/{FIRST}/state/{id}")).await.expect(200);
    assert_eq!(&state, step_3, "the history and the state at its checkpoint agree");
    assert_eq!(state["values"], official["values"]);
    assert_eq!(state["next"], official["next"]);
    assert_eq!(state["created_at"], "2026-11-25T02:33:21.818336+00:00");
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&state), fields(&official));
    let (task, shown) = (&state["tasks"][0], &official["tasks"][0]);
    let mut names = fields(task);
    names.sort();
    let mut expected = fields(shown);
    expected.sort();
    assert_eq!(names, expected);
    for field in ["name", "path", "error", "checkpoint", "state"] {
        assert_eq!(task[field], shown[field], "{field}");
    }
    assert_eq!(task["interrupts"][0]["value"], shown["interrupts"][0]["value"]);
    assert_eq!(state["interrupts"], task["interrupts"]);
    // It was answered later, and the record of the step keeps what its task made.
    assert!(task["result"]["messages"].is_array(), "{task}");

    let now = ada.get(&format!("/threads/{FIRST}/state")).await.expect(200);
    // It was edited by hand as the node before `tool`.
    assert_eq!(now["next"], json!(["tool"]));
    assert_eq!(now["checkpoint_id"], history[0]["checkpoint_id"]);
    let thread = ada.get(&format!("/threads/{FIRST}")).await.expect(200);
    // Nobody has gone on with it for long.
    assert_eq!(thread["status"], "interrupted");
    assert_eq!(thread["values"], now["values"]);
    assert_eq!(thread["metadata"], json!({ "owner": ada.id }));
    assert_eq!(thread["created_at"], "2026-11-25T02:33:21.794248+00:00");
    assert_eq!(thread["updated_at"], "2026-11-25T02:33:21.942231+00:00");
}

#[tokio::test]
async fn a_thread_that_waits_for_an_answer_says_so_and_is_found_by_it() {
    let mut agent = Agent::start().await;
    agent.restore(PYTHON_ROWS).await;
    let server = agent.server().await;
    let bob = server.user().await;
    agent.name_owner("bob", &bob).await;
    agent.attach().await;
    let state = bob.get(&format!("/threads/{INTERRUPTED}/state")).await.expect(200);
    assert_eq!(state["next"], json!(["ask"]));
    assert_eq!(state["interrupts"][0]["value"], json!({ "question": "go on?", "when": "now" }));
    let task = state["tasks"][0]["id"].as_str().unwrap().to_owned();
    let thread = bob.get(&format!("/threads/{INTERRUPTED}")).await.expect(200);
    assert_eq!(thread["status"], "interrupted");
    assert_eq!(thread["interrupts"], json!({ task: state["interrupts"] }));
    let search = json!({ "status": "interrupted" });
    let found = bob.post("/threads/search", search.clone()).await.expect(200);
    assert_eq!(found, json!([thread]));
    assert_eq!(bob.post("/threads/count", search).await.expect(200), 1);
    assert_eq!(
        bob.post("/threads/search", json!({ "status": "idle" })).await.expect(200),
        json!([])
    );
}

#[tokio::test]
async fn an_id_that_is_no_uuid_is_served_under_one_and_found_by_itself() {
    let mut agent = Agent::start().await;
    agent.restore(PYTHON_ROWS).await;
    let named = "update SCHEMA.checkpoints set metadata = metadata || '{\"user_id\":\"ada\"}' \
                 where thread_id = 'user:7:chat'";
    agent.run(named).await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.name_owner("ada", &ada).await;
    agent.attach().await;
    let metadata = json!({ "metadata": { "agent_thread_id": "user:7:chat" } });
    let found = ada.post("/threads/search", metadata).await.expect(200);
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    let id = found[0]["thread_id"].as_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 5);
    let state = ada.get(&format!("/threads/{id}/state")).await.expect(200);
    assert_eq!(state["values"], found[0]["values"]);
    assert!(state["values"]["messages"].is_array());
    assert_eq!(state["metadata"]["thread_id"], id);
}

#[tokio::test]
async fn delta_channels_and_subgraphs_are_put_together_from_what_was_written() {
    let mut agent = Agent::start().await;
    agent.restore(DELTA_ROWS).await;
    agent.run("update SCHEMA.checkpoints set metadata = metadata || '{\"user_id\":\"eve\"}'").await;
    let server = agent.server().await;
    let eve = server.user().await;
    agent.name_owner("eve", &eve).await;
    agent.attach().await;
    let of = async |agent_id: &str| {
        let search = json!({ "metadata": { "agent_thread_id": agent_id } });
        let found = eve.post("/threads/search", search).await.expect(200);
        found[0].clone()
    };
    let delta = of("delta-1").await;
    let ids = |values: &Value| -> Vec<String> {
        let messages = values["messages"].as_array().unwrap();
        messages.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
    };
    let newest =
        ["h0", "p1", "w2-2", "w1-2", "h1", "p5", "w2-6", "w1-6", "h2", "p9", "w2-10", "w1-10"];
    assert_eq!(ids(&delta["values"]), newest);
    let id = delta["thread_id"].as_str().unwrap();
    let history = eve.post(&format!("/threads/{id}/history"), json!({ "limit": 50 })).await;
    let history = history.expect(200);
    let counts: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|state| state["values"]["messages"].as_array().map_or(0, Vec::len))
        .collect();
    // A turn is an input, a plan and two workers at once.
    assert_eq!(counts, [12, 10, 9, 8, 8, 6, 5, 4, 4, 2, 1, 0]);
    // Each of a page is the state at its id.
    for state in history.as_array().unwrap() {
        let at = state["checkpoint_id"].as_str().unwrap();
        let alone = eve.get(&format!("/threads/{id}/state/{at}")).await.expect(200);
        assert_eq!(&alone, state);
    }

    let outer = of("sub-1").await;
    assert_eq!(ids(&outer["values"]), ["s0", "in-1"]);
    let ns: String = sqlx::query_scalar(
        "select distinct checkpoint_ns from public.checkpoints where thread_id = 'sub-1' and checkpoint_ns <> ''",
    )
    .fetch_one(&mut agent.connection)
    .await
    .unwrap();
    let id = outer["thread_id"].as_str().unwrap();
    let body = json!({ "checkpoint": { "checkpoint_ns": ns } });
    let inner = eve.post(&format!("/threads/{id}/state/checkpoint"), body).await.expect(200);
    assert_eq!(inner["checkpoint"]["checkpoint_ns"], ns);
    assert_eq!(ids(&inner["values"]), ["s0", "in-1"]);
}

#[tokio::test]
async fn rows_of_the_javascript_saver_are_read() {
    let mut agent = Agent::start().await;
    agent.run(JAVASCRIPT).await;
    agent.restore(JAVASCRIPT_ROWS).await;
    let server = agent.server().await;
    let ada = server.user().await;
    // The saver names no owner: the thread is made here first.
    let id = "33333333-3333-4333-8333-333333333333";
    ada.post("/threads", json!({ "thread_id": id, "metadata": { "title": "Hi" } }))
        .await
        .expect(200);
    agent.attach().await;
    let thread = ada.get(&format!("/threads/{id}")).await.expect(200);
    assert_eq!(thread["metadata"], json!({ "title": "Hi", "owner": ada.id }));
    let values = &thread["values"];
    let types: Vec<_> = values["messages"].as_array().unwrap().iter().map(|m| &m["type"]).collect();
    assert_eq!(types, ["human", "tool", "ai"]);
    assert_eq!(values["title"], "Grüße");
    assert_eq!(values["when"], "2026-01-02T03:04:05.678Z");
    assert_eq!((&values["count"], &values["tags"]), (&json!(1), &json!(["a"])));
    let history = ada.post(&format!("/threads/{id}/history"), json!({ "limit": 50 })).await;
    let history = history.expect(200);
    let next: Vec<_> = history.as_array().unwrap().iter().map(|state| &state["next"]).collect();
    let expected = [json!([]), json!(["forget"]), json!(["ask"]), json!(["vals"]), json!(["tool"])];
    assert_eq!(next[..5], expected.iter().collect::<Vec<_>>()[..]);
    let asked = &history[2]["tasks"][0];
    assert_eq!(asked["interrupts"][0]["value"], json!({ "question": "go on?" }));
    assert_eq!(asked["result"]["answer"], "yes");
}
