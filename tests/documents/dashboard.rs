//! The dashboard in `deploy/` shows what a running server measures: all of it, and nothing else.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "what is missing has to fail its test"
)]

use crate::deadline;

#[expect(dead_code, reason = "shared with the tests of the API")]
#[path = "../api/support/postgres.rs"]
mod postgres;
#[expect(dead_code, reason = "shared with the tests of the API")]
#[path = "../api/support/program.rs"]
mod program;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use postgres::test_cluster;
use program::Program;

/// Labels that Prometheus itself adds to what it scrapes.
const ADDED: [&str; 2] = ["job", "instance"];

/// The names of labels by the name of their series.
type Series = BTreeMap<String, BTreeSet<String>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_shows_the_metrics_of_a_running_server() {
    let url = test_cluster().await.database_url().await;
    let start = move || Program::start(&[("DATABASE_URL", &url)]);
    let program = tokio::task::spawn_blocking(start).await.unwrap();
    // Requests are measured once there was one. All else is there from the start.
    let scrape = async || {
        let answer = thread_store::http_client::builder()
            .build()
            .unwrap()
            .get(format!("{}/metrics", program.url))
            .send()
            .await
            .unwrap();
        answer.text().await.unwrap()
    };
    scrape().await;
    let text = scrape().await;
    let exposed = series(&text);

    let mut shown = BTreeSet::new();
    for query in queries() {
        for (name, labels) in selectors(&query) {
            let known = exposed.get(&name);
            assert!(known.is_some(), "no server has {name}, which is in {query}");
            let known = known.unwrap();
            for label in labels.iter().chain(&groups(&query)) {
                let is_known = known.contains(label) || ADDED.contains(&label.as_str());
                assert!(is_known, "{name} has no label {label}, which is in {query}");
            }
            shown.insert(name);
        }
    }
    assert!(shown.len() > 10, "{shown:?}");
    for metric in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = metric.split(' ').next().unwrap();
        let is_shown = shown.iter().any(|shown| shown.starts_with(name));
        assert!(is_shown, "{name} is not on the dashboard");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
}

/// All queries of the dashboard, those of its variables included.
fn queries() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(text) if ["expr", "definition"].contains(&name.as_str()) => {
                            found.push(text.clone());
                        }
                        value => collect(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let dashboard: Value =
        serde_json::from_str(&crate::document("deploy/grafana-dashboard.json").unwrap()).unwrap();
    let ids: Vec<_> = dashboard["panels"].as_array().unwrap().iter().map(|p| &p["id"]).collect();
    assert!(ids.iter().all(|id| ids.iter().filter(|other| other == &id).count() == 1));
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    found
}

/// The series that a scrape shows.
fn series(text: &str) -> Series {
    let mut series = Series::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (head, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = head.split_once('{').unwrap_or((head, ""));
        series.entry(name.to_owned()).or_default().extend(names_of(labels));
    }
    series
}

/// The names of series in a query, each with the labels that it is selected by.
fn selectors(query: &str) -> Vec<(String, BTreeSet<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (start, _) in query.match_indices('{') {
        let name = query[..start].rsplit(|c| !is_name(c)).next().unwrap();
        let labels = query[start + 1..].split('}').next().unwrap();
        found.push((name.to_owned(), names_of(labels)));
    }
    if let Some(rest) = query.strip_prefix("label_values(") {
        found.push((rest.split(|c| !is_name(c)).next().unwrap().to_owned(), BTreeSet::new()));
    }
    assert!(!found.is_empty(), "nothing in {query}");
    found
}

/// The labels that a query groups by.
fn groups(query: &str) -> BTreeSet<String> {
    let lists = query.split(" by (").skip(1).map(|rest| rest.split(')').next().unwrap());
    lists.flat_map(|list| list.split(", ")).map(str::to_owned).collect()
}

/// The names in a list of labels with values.
fn names_of(labels: &str) -> BTreeSet<String> {
    let names = labels.split(',').filter_map(|label| label.split_once('='));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}
