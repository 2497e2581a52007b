//! Routes of the reference server that need graphs (D23).

use reqwest::Method;
use serde_json::json;

use crate::support::steps::new_id;
use crate::support::{Answer, TestServer};

#[tokio::test]
async fn routes_of_graphs_say_that_this_server_runs_none() {
    let server = TestServer::start().await;
    let (user, nobody) = (server.user().await, server.nobody());
    let thread = user.thread(json!({})).await;
    for (path, what) in [
        ("/runs", "runs"),
        ("/runs/stream", "runs"),
        ("/runs/wait", "runs"),
        ("/runs/batch", "runs"),
        ("/runs/cancel", "runs"),
        ("/runs/crons", "crons"),
        ("/runs/crons/search", "runs"),
        ("/threads/{id}/runs", "runs"),
        ("/threads/{id}/runs/stream", "runs"),
        ("/threads/{id}/runs/wait", "runs"),
        ("/threads/{id}/runs/1/join", "runs"),
        ("/threads/{id}/runs/crons", "runs"),
        ("/threads/{id}/commands", "runs"),
        ("/assistants", "assistants"),
        ("/assistants/search", "assistants"),
        ("/assistants/1/graph", "assistants"),
        ("/assistants/1/versions", "assistants"),
        ("/crons", "crons"),
        ("/crons/search", "crons"),
        ("/store/items", "store items"),
        ("/store/items/search", "store items"),
        ("/store/namespaces", "store items"),
        ("/mcp", "graphs over MCP"),
        ("/a2a/1", "graphs over A2A"),
    ] {
        // Also for a thread that is not there: the route is what is missing.
        for id in [thread.clone(), new_id()] {
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                let path = path.replace("{id}", &id);
                let request = user.request(method.clone(), &path).body("{");
                let answer = Answer::of(request).await;
                assert_eq!(answer.status, 404, "{method} {path}");
                let expected = format!(
                    "thread-store stores threads and does not run graphs: {what} are not served"
                );
                assert_eq!(answer.detail(), expected, "{method} {path}");
            }
        }
        let path = path.replace("{id}", &thread);
        assert_eq!(Answer::of(nobody.request(Method::POST, &path)).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn any_other_path_is_plainly_not_found() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    for path in [
        "/nope",
        "/Threads",
        "/threads/{id}/nope",
        "/threads/{id}/state/x/y",
        "//threads",
        "/threads//state/",
        "/assistant",
        "/storex",
        "/docs/nope/x",
        "/openapi.yaml",
        "/%00",
    ] {
        let answer = user.get(&path.replace("{id}", &id)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.detail().as_str()),
            (404, "Not Found"),
            "{path}"
        );
    }
    for (method, path, allow) in [
        (Method::GET, "/threads", "POST"),
        (Method::PUT, "/threads/search", "POST"),
        (Method::POST, "/threads/{id}", "GET,HEAD,PATCH,DELETE"),
        (Method::GET, "/threads/{id}/copy", "POST"),
        (Method::DELETE, "/threads/{id}/history", "GET,HEAD,POST"),
        (Method::POST, "/threads/{id}/storage", "GET,HEAD"),
        (Method::GET, "/threads/{id}/stream/events", "POST"),
        (Method::POST, "/ok", "GET,HEAD"),
    ] {
        let answer = Answer::of(user.request(method.clone(), &path.replace("{id}", &id))).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.detail(), "Method Not Allowed");
        let mut allowed: Vec<_> = answer.header("allow").split(',').collect();
        let mut expected: Vec<_> = allow.split(',').collect();
        // What search takes beside POST reads as a thread id.
        allowed.retain(|name| path != "/threads/search" || *name == "POST");
        allowed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(allowed, expected, "{method} {path}");
    }
}
