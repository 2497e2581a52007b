//! Exports, and imports of what was exported.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;

use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::import::eventful;
use crate::support::steps::{human, new_id};
use crate::support::{TestServer, User};

/// The turns of a text as a parser of `CommonMark` finds them: the heading, and what stands in fences below.
fn turns(text: &str) -> Vec<(String, Vec<String>)> {
    let mut turns: Vec<(String, Vec<String>)> = Vec::new();
    let (mut in_heading, mut in_code) = (false, false);
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Heading { level: HeadingLevel::H2, .. }) => {
                turns.push((String::new(), Vec::new()));
                in_heading = true;
            }
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::Start(Tag::CodeBlock(_)) => {
                turns.last_mut().unwrap().1.push(String::new());
                in_code = true;
            }
            Event::End(TagEnd::CodeBlock) => {
                let code = turns.last_mut().unwrap().1.last_mut().unwrap();
                assert_eq!(code.pop(), Some('\n'));
                in_code = false;
            }
            Event::Text(text) if in_heading => turns.last_mut().unwrap().0.push_str(&text),
            Event::Text(text) if in_code => {
                turns.last_mut().unwrap().1.last_mut().unwrap().push_str(&text);
            }
            Event::Html(html) | Event::InlineHtml(html) => assert_eq!(&*html, "", "{text}"),
            _ => {}
        }
    }
    turns
}

/// The lines of an export of all threads, after checking that it is whole.
async fn lines(user: &User, query: &str) -> Vec<Value> {
    let answer = user.get(&format!("/export{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let mut lines: Vec<Value> =
        answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.pop(), Some(json!({ "end": true })));
    lines
}

fn threads(lines: &[Value]) -> Vec<String> {
    let ids = lines.iter().filter_map(|line| line["thread"]["thread_id"].as_str());
    ids.map(str::to_owned).collect()
}

#[tokio::test]
async fn markdown_has_a_turn_for_each_message_with_the_text_that_was_sent() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({ "metadata": { "title": "# *Plans* <b>\n&amp; `x`" } })).await;
    let first = user.write(&id, json!({ "messages": [human("0", "on the way")] })).await;
    user.write(&id, json!({ "messages": [human("1", "another branch")] })).await;
    let texts = [
        "on the way",
        "```\ncode\n```\nand\n~~~~\nmore\n~~~~",
        "````md\n```rust\nfn main() {}\n```\n````",
        "C:\\new\\table  \nnext line",
        "## User\n\n```\n## Assistant",
        " \n\n leading and trailing \n\n",
        "<script>alert(1)</script>\n\n---\n> - 1. [x](y)\n\ttab",
        "`````````` ~",
        "",
        "    indented\n\\`\\*",
    ];
    let rest: Vec<_> = texts[1..]
        .iter()
        .enumerate()
        .map(|(n, text)| json!({ "type": "ai", "id": format!("m{n}"), "content": text }))
        .collect();
    user.fork(&id, &first, json!({ "messages": rest })).await;
    let answer = user.get(&format!("/threads/{id}/export?format=markdown")).await;
    assert_eq!(answer.header("content-type"), "text/markdown; charset=utf-8");
    assert!(answer.header("content-disposition").contains(&format!("{id}.md")));
    let found = turns(&answer.text);
    let bodies: Vec<_> = found.iter().map(|(_, code)| code.join("|")).collect();
    assert_eq!(bodies, texts, "{}", answer.text);
    assert_eq!(found[0].0, "human");
    assert!(found[1..].iter().all(|(role, _)| role == "ai"));
    assert!(answer.text.contains("There is 1 other."), "{}", answer.text);
    let title: String = Parser::new(&answer.text)
        .take_while(|event| !matches!(event, Event::End(_)))
        .filter_map(
            |event| if let Event::Text(text) = event { Some(text.into_string()) } else { None },
        )
        .collect();
    assert_eq!(title, "# *Plans* <b> &amp; `x`");

    let blocks =
        json!([{ "type": "text", "text": "see" }, { "type": "image_url", "image_url": "x" }]);
    let calls = json!([{ "id": "c", "name": "f", "args": { "a": "```" }, "type": "tool_call" }]);
    let tool = json!({ "type": "tool", "tool_call_id": "c", "content": "42", "id": "t" });
    let other = user.thread(json!({})).await;
    user.write(
        &other,
        json!({ "messages": [
        { "type": "ai", "id": "a", "content": blocks, "tool_calls": calls }, tool
    ] }),
    )
    .await;
    let answer = user.get(&format!("/threads/{other}/export?format=markdown")).await;
    let found = turns(&answer.text);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].1[0], "see");
    let call: Value = serde_json::from_str(&found[0].1[1]).unwrap();
    assert_eq!(call[0]["args"]["a"], "```");
    assert!(answer.text.contains("Left out: image\\_url"), "{}", answer.text);
    assert_eq!(found[1], ("tool".to_owned(), vec!["42".to_owned()]));
}

#[tokio::test]
async fn a_thread_as_json_has_every_state_of_every_branch_and_the_current_one_first() {
    let server = TestServer::start().await;
    let (user, other) = (server.user().await, server.user().await);
    let id = eventful(&user, 1).await;
    let export = user.get(&format!("/threads/{id}/export")).await.expect(200);
    assert_eq!(export["states"], json!(user.history(&id).await));
    assert_eq!(export["states"][0]["values"], user.values(&id).await);
    assert_eq!(export["thread"]["thread_id"], json!(id));
    assert!(export["thread"].get("values").is_none() && export["thread"].get("title").is_none());
    let missing = new_id();
    for format in ["json", "markdown"] {
        let path = |id: &str| format!("/threads/{id}/export?format={format}");
        let foreign = other.get(&path(&id)).await;
        assert_eq!(foreign.status, 404);
        let nothing = other.get(&path(&missing)).await;
        assert_eq!(foreign.text.replace(&id, &missing), nothing.text);
        assert_eq!(server.nobody().get(&path(&id)).await.status, 403);
    }
    assert_eq!(user.get(&format!("/threads/{id}/export?format=pdf")).await.status, 422);
    assert_eq!(user.get("/export?cursor=x").await.status, 422);
}

#[tokio::test]
async fn all_threads_come_in_order_and_go_on_behind_a_cursor() {
    let server = TestServer::start().await;
    let (user, other) = (server.user().await, server.user().await);
    other.thread(json!({})).await;
    let mut ids = Vec::new();
    for n in 0..60 {
        ids.push(user.thread(json!({ "metadata": { "n": n } })).await);
    }
    user.write(&ids[0], json!({ "n": 1 })).await;
    user.write(&ids[0], json!({ "n": 2 })).await;
    ids.rotate_left(1);
    let all = lines(&user, "").await;
    assert_eq!(threads(&all), ids);
    let states: Vec<_> = all.iter().filter(|line| line.get("state").is_some()).collect();
    assert_eq!(states.len(), 2);
    assert_eq!(states[0]["state"]["values"], json!({ "n": 2 }));
    let cursors: Vec<_> = all.iter().filter_map(|line| line["cursor"].as_str()).collect();
    assert_eq!(cursors.len(), 60);
    let rest = lines(&user, &format!("?cursor={}", cursors[54])).await;
    assert_eq!(threads(&rest), ids[55..]);
}

#[tokio::test]
async fn an_export_ends_while_somebody_writes_and_has_every_thread() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let mut ids = Vec::new();
    for _ in 0..60 {
        ids.push(user.thread(json!({})).await);
    }
    let writer = {
        let (user, ids) = (user.clone(), ids.clone());
        tokio::spawn(async move {
            for n in 0..usize::MAX {
                user.write(&ids[n * 7 % 60], json!({ "n": n })).await;
                user.thread(json!({})).await;
            }
        })
    };
    let found = threads(&lines(&user, "").await);
    writer.abort();
    assert!(ids.iter().all(|id| found.contains(id)));
    assert!(found.len() < 240, "{}", found.len());
}

/// Runs an import of a file.
async fn import(file: &Path, to: &User, more: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_thread-store"))
        .env_clear()
        .env("DESTINATION_TOKEN", &to.token)
        .arg("import")
        .arg("--from-file")
        .arg(file)
        .args(["--to", &to.url, "--to-token-env", "DESTINATION_TOKEN"])
        .args(more)
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

/// An export without what an import cannot keep: times, who wrote, and the ids of checkpoints, which are
/// replaced by their places.
fn kept(lines: Vec<Value>) -> Vec<String> {
    let mut places = HashMap::new();
    for line in lines.iter().rev() {
        if let Some(id) = line["state"]["checkpoint_id"].as_str() {
            let place = places.len();
            places.insert(id.to_owned(), place);
        }
    }
    let lines = lines.into_iter().filter(|line| line.get("cursor").is_none()).map(|mut line| {
        for field in ["created_at", "updated_at", "state_updated_at"] {
            line["thread"].as_object_mut().and_then(|thread| thread.remove(field));
            line["state"].as_object_mut().and_then(|state| state.remove(field));
        }
        for part in ["thread", "state"] {
            for field in ["owner", "user_id"] {
                let metadata = line[part]["metadata"].as_object_mut();
                metadata.and_then(|metadata| metadata.remove(field));
            }
        }
        line["thread"]["ttl"].as_object_mut().and_then(|ttl| ttl.remove("expires_at"));
        let mut text = line.to_string();
        for (id, place) in &places {
            text = text.replace(id, &place.to_string());
        }
        text
    });
    lines.collect()
}

#[tokio::test]
async fn what_was_exported_imported_and_exported_again_is_the_same() {
    let (source, destination) = (TestServer::start().await, TestServer::start().await);
    let (from, to) = (source.user().await, destination.user().await);
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(eventful(&from, n).await);
    }
    ids.push(
        from.thread(json!({ "metadata": { "title": "ü\n\"q\"" }, "ttl": { "ttl": 5 } })).await,
    );
    from.write(&ids[0], json!({ "n": 3 })).await;
    let answer = from.get("/export").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("threads.jsonl");
    std::fs::write(&file, &answer.text).unwrap();
    let (code, said) = import(&file, &to, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    let by_update = json!({ "sort_by": "updated_at", "limit": 100 });
    assert_eq!(to.found(by_update.clone()).await, from.found(by_update).await);
    let again = lines(&to, "").await;
    assert_eq!(kept(again), kept(lines(&from, "").await));
    // A second run writes nothing.
    let (code, said) = import(&file, &to, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("9 "), "{said}");

    let third = destination.user().await;
    let (code, said) = import(&file, &third, &["--metadata", "{\"number\":3}"]).await;
    assert_eq!(code, Some(1), "the ids belong to somebody else: {said}");
    let elsewhere = TestServer::start().await;
    let other = elsewhere.user().await;
    let (code, said) = import(&file, &other, &["--metadata", "{\"number\":3}"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(other.found(json!({})).await, [ids[3].clone()]);
    let one = from.get(&format!("/threads/{}/export", ids[5])).await;
    std::fs::write(&file, &one.text).unwrap();
    let (code, said) = import(&file, &other, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(other.values(&ids[5]).await, from.values(&ids[5]).await);
    assert_eq!(other.history(&ids[5]).await.len(), from.history(&ids[5]).await.len());
}

#[tokio::test]
async fn a_file_that_is_no_whole_export_is_refused_before_anything_is_written() {
    let server = TestServer::start().await;
    let user = server.user().await;
    user.thread(json!({})).await;
    let whole = user.get("/export").await.text;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("threads.jsonl");
    let other = TestServer::start().await;
    let to = other.user().await;
    for (text, why) in [
        (whole.replace("{\"end\":true}\n", ""), "the end of the export is missing"),
        (whole[..whole.len() / 2].to_owned(), "line 1 is not a line"),
        ("{\"thread\":{}}\n{\"end\":true}".to_owned(), "without an id"),
        (String::new(), "the end of the export is missing"),
    ] {
        std::fs::write(&file, text).unwrap();
        let (code, said) = import(&file, &to, &[]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(why), "{said}");
    }
    let (code, said) = import(&directory.path().join("missing"), &to, &[]).await;
    assert_eq!((code, said.contains("cannot be read")), (Some(1), true), "{said}");
    assert_eq!(to.count(json!({})).await, 0);
}
