//! What is left alone, refused or reported.

use serde_json::{Value, json};
use tokio::process::Command;

use super::{eventful, import, import_with, kept, same, servers};
use crate::support::TestServer;
use crate::support::steps::noise;

#[tokio::test]
async fn threads_that_went_on_in_the_destination_are_left_as_they_are() {
    let (_source, _destination, from, to) = servers().await;
    let (went_on, parted) = (eventful(&from, 1).await, eventful(&from, 2).await);
    import(&from, &to).await.succeeded();
    for id in [&went_on, &parted] {
        to.write(id, json!({ "there": 1 })).await;
    }
    to.patch(&format!("/threads/{went_on}"), json!({ "metadata": { "number": -1 } })).await;
    from.write(&parted, json!({ "here": 1 })).await;
    let before = (kept(&to, &went_on).await, kept(&to, &parted).await);
    let said = import(&from, &to).await;
    assert_eq!((said.code, said.written()), (Some(1), 0), "{}", said.report);
    assert_eq!(said.number("threads already in the destination"), 1);
    assert_eq!(said.number("threads with other metadata in the destination: not changed"), 1);
    let parting = format!("{parted}  the destination has other states, from state 9 on");
    assert!(said.report.contains(&parting), "{}", said.report);
    assert!(
        said.errors.contains("thread-store: 1 thread could not be copied\n"),
        "{}",
        said.errors
    );
    same(&(kept(&to, &went_on).await, kept(&to, &parted).await), &before);
}

#[tokio::test]
async fn a_thread_of_somebody_else_is_reported_and_the_rest_is_imported() {
    let (source, destination, from, to) = servers().await;
    let other = destination.user().await;
    let taken = eventful(&from, 1).await;
    other.thread(json!({ "thread_id": taken })).await;
    let own = eventful(&from, 2).await;
    eventful(&source.user().await, 3).await;
    let said = import(&from, &to).await;
    assert_eq!((said.code, said.number("threads imported")), (Some(1), 1), "{}", said.report);
    assert!(
        said.report
            .contains(&format!("{taken}  the id belongs to another user in the destination"))
    );
    assert_eq!(to.found(json!({})).await, [own]);
    assert_eq!(kept(&other, &taken).await, [Value::Null; 0]);
}

#[tokio::test]
async fn refused_credentials_end_the_import_with_one_line_that_names_the_variable() {
    let (_source, _destination, from, to) = servers().await;
    eventful(&from, 1).await;
    for (source, destination, named) in [
        ("not-a-token", &*to.token, "SOURCE_TOKEN"),
        (&*from.token, "not-a-token", "DESTINATION_TOKEN"),
    ] {
        let said = import_with((&from.url, source), (&to.url, destination), &[]).await;
        assert_eq!(said.code, Some(1));
        let error = said.error();
        assert!(error.contains(named) && error.contains("401"), "{error}");
    }
    let token = to.token.as_str();
    let directory = tempfile::tempdir().unwrap();
    let mut nobody = Command::new(env!("CARGO_BIN_EXE_thread-store"));
    let nobody = nobody.env_clear().env("T", token).current_dir(directory.path());
    let nobody =
        nobody.args(["import", "--from", &from.url, "--to", &to.url, "--to-token-env", "T"]);
    let output = nobody.output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the source") && said.contains("without credentials: "), "{said}");
    assert_eq!((output.status.code(), to.count(json!({})).await), (Some(1), 0));
}

#[tokio::test]
async fn caps_of_the_destination_are_reported_and_a_later_run_goes_on_from_there() {
    let source = TestServer::start().await;
    let from = source.user().await;
    let destination = TestServer::start_with(|config| {
        config.limits.threads_per_user = Some(2);
        config.limits.state_bytes = Some(20_000);
    })
    .await;
    let to = destination.user().await;
    let long = from.thread(json!({})).await;
    for _ in 0..3 {
        from.write(&long, json!({ "k": noise(9_000) })).await;
    }
    for number in 0..3 {
        eventful(&from, number).await;
    }
    let said =
        import_with((&from.url, &from.token), (&to.url, &to.token), &["--concurrency", "1"]).await;
    assert_eq!((said.code, to.count(json!({})).await), (Some(1), 2), "{}", said.report);
    let refused = said.report.matches("A user can have at most 2 threads").count();
    assert_eq!((refused, said.report.matches("(403").count()), (2, 3), "{}", said.report);
    let too_long = format!("{long}  state 3 of 3: The state of a thread can take at most 20000 ");
    assert!(said.report.contains(&too_long), "{}", said.report);
    assert_eq!(to.history(&long).await.len(), 2);

    // Without the caps the same command does the rest.
    let uncapped = destination.start_beside().await;
    let said = import(&from, &to.at(&uncapped)).await;
    assert_eq!(said.succeeded().number("threads imported"), 2);
    for id in from.found(json!({})).await {
        assert_eq!(kept(&to, &id).await, kept(&from, &id).await);
    }
}
