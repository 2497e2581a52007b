//! Ways to an agent other than plain HTTP: through a proxy of the environment, and over TLS.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::agent::{Agent, ordinary};
use super::run;
use crate::support::User;
use crate::support::postgres::test_cluster;
use crate::support::program::Program;
use crate::support::supabase::{Supabase, token};
use crate::upstream::tls::Authority;

/// The program in front of an agent, with these settings too, and a user.
async fn program(agent: &str, supabase: &Supabase, more: &[(&str, &str)]) -> (Program, User) {
    let database = test_cluster().await.database_url().await;
    let all = [
        ("DATABASE_URL", database.as_str()),
        ("SUPABASE_URL", supabase.url.as_str()),
        ("SUPABASE_ANON_KEY", "key"),
        ("AGENT_URL", agent),
    ];
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let settings: Vec<_> = all.iter().chain(more).map(owned).collect();
    let program = tokio::task::spawn_blocking(move || {
        let all: Vec<_> = settings.iter().map(|(name, value)| (&**name, &**value)).collect();
        Program::start(&all)
    });
    let program = program.await.unwrap();
    let user = User {
        id: String::new(),
        token: token(),
        email: String::new(),
        url: program.url.clone(),
        client: thread_store::http_client::builder().no_proxy().build().unwrap(),
    };
    (program, user)
}

#[tokio::test]
async fn an_agent_on_another_machine_is_asked_through_the_proxy_and_one_here_is_not() {
    let proxy = Agent::start(ordinary).await;
    let supabase = Supabase::start().await;
    let settings = [("HTTP_PROXY", proxy.url.as_str())];
    let far = "http://agent.example:8123/api";
    let (_program, ada) = program(far, &supabase, &settings).await;
    let thread = ada.thread(json!({})).await;
    let answer = run(&ada, &thread, json!({})).await;
    answer.expect(200);
    assert!(answer.text.contains("event: values"), "{}", answer.text);
    let asked = format!("POST {far}/threads/{thread}/runs/stream");
    assert_eq!(proxy.request(0).await.line(), asked);

    let near = Agent::start(ordinary).await;
    let (_program, bob) = program(&near.url, &supabase, &settings).await;
    let thread = bob.thread(json!({})).await;
    run(&bob, &thread, json!({})).await.expect(200);
    assert_eq!(near.request(0).await.path(), format!("/threads/{thread}/runs/stream"));
    let (_program, cyd) =
        program(far, &supabase, &[settings[0], ("NO_PROXY", "agent.example")]).await;
    let thread = cyd.thread(json!({})).await;
    run(&cyd, &thread, json!({})).await.expect(503);
    assert_eq!(proxy.heard().len(), 1);
}

#[tokio::test]
async fn an_agent_behind_tls_is_asked_if_its_certificate_is_good() {
    let authority = Authority::new();
    let supabase = Supabase::start().await;
    for (until, status) in [(2100, 200), (2021, 503)] {
        let (tls, listener) = (
            authority.acceptor("localhost", until),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let agent = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = tls.accept(stream).await else { return };
            let mut heard = Vec::new();
            while !heard.ends_with(b"}") {
                assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                           Content-Length: 9\r\n\r\ndata: 1\n\n";
            stream.write_all(answer).await.unwrap();
            stream.flush().await.unwrap();
        });
        let trusted = authority.file.path().to_str().unwrap();
        let (_program, ada) = program(&agent, &supabase, &[("SSL_CERT_FILE", trusted)]).await;
        let thread = ada.thread(json!({})).await;
        let answer = run(&ada, &thread, json!({})).await;
        answer.expect(status);
        assert_eq!(answer.text.contains("data: 1\n\n"), status == 200, "{}", answer.text);
        serving.await.unwrap();
    }
}
