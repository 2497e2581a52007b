//! Rights of the agent's role, and of this server's.

use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use thread_store::store::{AttachError, Attaching};
use uuid::Uuid;

use super::agent::{Agent, attach, until};

/// Makes a role, once in a cluster, and lets it connect.
async fn role(agent: &mut Agent, name: &str) -> String {
    let database = agent.database.get_database().unwrap();
    let name = format!("{name}_{database}");
    agent.run(&format!("create role {name} login")).await;
    name
}

#[tokio::test]
async fn an_agent_whose_role_may_do_nothing_here_is_heard() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    let name = role(&mut agent, "agent_app").await;
    for table in ["checkpoints", "checkpoint_blobs", "checkpoint_writes"] {
        agent.run(&format!("alter table SCHEMA.{table} owner to {name}")).await;
    }
    agent.run(&format!("alter role {name} set search_path = ''")).await;
    agent.attach().await;
    let connection = agent.database.clone().username(&name).connect().await.unwrap();
    let (database, schema) = (agent.database.clone(), agent.schema.clone());
    let mut app = Agent { database, connection, schema };
    let id = Uuid::new_v4().to_string();
    app.begin(&id, &ada, json!({ "n": 1 })).await;
    assert_eq!(ada.get(&format!("/threads/{id}")).await.expect(200)["values"], json!({ "n": 1 }));
    app.begin("user:7:chat", &ada, json!({ "n": 2 })).await;
    until("the other is there too", async || {
        ada.post("/threads/count", json!({})).await.expect(200) == 2
    })
    .await;
    // Nothing else of ours is open to it: no table, and none of the functions.
    for sql in [
        "select from thread_store.thread",
        "select thread_store.agent_settle('x', gen_random_uuid())",
        "select thread_store.agent_enter('x', gen_random_uuid(), '{}', now(), now())",
        "create trigger mine after insert on public.checkpoints for each row \
         execute function thread_store.agent_wrote('checkpoints')",
    ] {
        let refused = app.connection.execute(AssertSqlSafe(sql)).await.unwrap_err();
        let code = refused.as_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "42501", "{sql}: {refused}");
    }
}

#[tokio::test]
async fn a_function_of_another_role_is_never_called_by_the_trigger() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    // What a hostile role might put in the path of whoever writes.
    agent
        .run(
            "create schema evil;
             create function evil.statement_timestamp() returns timestamptz language plpgsql as
                 $$ begin raise exception 'called'; end $$;
             create function evil.jsonb_typeof(jsonb) returns text language plpgsql as
                 $$ begin raise exception 'called'; end $$;
             set search_path = evil, pg_catalog, public",
        )
        .await;
    let id = Uuid::new_v4().to_string();
    agent.begin(&id, &ada, json!({ "n": 1 })).await;
    ada.get(&format!("/threads/{id}")).await.expect(200);
}

#[tokio::test]
async fn row_security_that_hides_rows_is_named_at_once_and_later() {
    let mut agent = Agent::start().await;
    let name = role(&mut agent, "server").await;
    agent.run(&format!("create schema thread_store authorization {name}")).await;
    for table in ["checkpoints", "checkpoint_blobs", "checkpoint_writes"] {
        let grant = "select, insert, update, delete, trigger";
        agent.run(&format!("grant {grant} on SCHEMA.{table} to {name}")).await;
    }
    let database = agent.database.clone().username(&name);
    agent.run("alter table SCHEMA.checkpoints enable row level security").await;
    let refused = attach(&database, "public", None).await.unwrap_err();
    let expected = format!("row security hides rows of public.checkpoints from role {name}");
    assert!(refused.to_string().starts_with(&expected), "{refused}");
    agent.run("alter table SCHEMA.checkpoints disable row level security").await;
    agent.run(&format!("revoke trigger on SCHEMA.checkpoint_writes from {name}")).await;
    let refused = attach(&database, "public", None).await.unwrap_err();
    assert!(matches!(refused, AttachError::Check(_)), "{refused:?}");
    assert!(
        refused.to_string().contains("may not trigger on public.checkpoint_writes"),
        "{refused}"
    );
    agent.run(&format!("grant trigger on SCHEMA.checkpoint_writes to {name}")).await;
    attach(&database, "public", None).await.unwrap();
    let (connection, schema) = (agent.clone_connection().await, agent.schema.clone());
    let ours = Agent { database, connection, schema };
    let sign_in = crate::support::TestServer::start().await;
    let server = crate::support::TestServer::start_with(|config| {
        config.database = thread_store::config::Database::external(ours.database.clone());
        config.sign_in = crate::schema::sign_in_at(&sign_in);
    })
    .await;
    let ready = async || server.nobody().get("/readyz").await.expect(200)["agents"].clone();
    until("it can read", async || ready().await == "up").await;
    agent.run("alter table SCHEMA.checkpoint_blobs enable row level security").await;
    until("it says that it cannot", async || ready().await == "down").await;
    agent.run("alter table SCHEMA.checkpoint_blobs disable row level security").await;
    until("it can again", async || ready().await == "up").await;
}

#[tokio::test]
async fn roles_that_can_read_the_tables_past_the_server_are_named() {
    let mut agent = Agent::start().await;
    let make = "do $$ begin create role anon; exception when duplicate_object then null; end $$";
    agent.run(make).await;
    let readers = async |agent: &Agent| {
        let attaching = Attaching::begin(&agent.database, "public", "user_id").await.unwrap();
        attaching.readers
    };
    assert_eq!(readers(&agent).await, [""; 0]);
    agent.run("grant select on SCHEMA.checkpoint_blobs to anon").await;
    assert_eq!(readers(&agent).await, ["anon"]);
    agent.run("alter table SCHEMA.checkpoint_blobs enable row level security").await;
    assert_eq!(readers(&agent).await, [""; 0]);
}
