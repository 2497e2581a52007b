//! The rules for every statement, checked on its text.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::references::references;
use super::{statements, texts};
use crate::store::sql::Form;

/// Statements about any threads of a tenant.
const OF_A_TENANT: [&str; 10] = [
    "threads/search",
    "threads/list",
    "threads/search_recent",
    "threads/search_own",
    "threads/count",
    "threads/quota",
    "threads/find",
    "threads/count_found",
    "digest/stale",
    "agent/candidates",
];

/// Statements that read the threads of all tenants, with the reasons.
const OF_ALL_TENANTS: [(&str, &str); 5] = [
    ("digest/next", "the task that keeps digests, whose work nobody waits for"),
    ("threads/expired", "the sweeper, whose work nobody waits for"),
    ("schema/ping", "reads no row"),
    ("agent/unsettled", "finds what agents have written, for nobody"),
    ("agent/settled", "keeps what was found, each row by its tenant"),
];

/// Whether a tenant is compared with a parameter or with the column of the request's row.
fn is_known(tenant: &str, form: Form) -> bool {
    let is_parameter = tenant.starts_with('$');
    let is_column = ["asked.tenant", "mine.tenant", "inserted"].contains(&tenant);
    is_parameter || is_column || (form == Form::AllTenants && tenant == "thread.tenant")
}

#[test]
fn every_reference_to_a_table_has_its_tenant_and_its_thread() {
    for text in texts() {
        if OF_ALL_TENANTS.iter().any(|(name, _)| *name == text.name) {
            continue;
        }
        for reference in references(&text.sql) {
            let what = format!("{} ({}): {reference:?}\n{}", text.name, text.case, text.sql);
            let has_thread = !reference.thread_ids.is_empty();
            match reference.table.as_str() {
                // Its key is the thread id alone.
                "thread_directory" => assert!(has_thread, "{what}"),
                "thread" | "checkpoint" | "channel_value" | "message" | "run" | "digest"
                | "digest_text" => {
                    let tenants = &reference.tenants;
                    assert!(!tenants.is_empty(), "{what}");
                    assert!(tenants.iter().all(|tenant| is_known(tenant, text.form)), "{what}");
                    let is_of_tenant =
                        reference.table == "thread" && OF_A_TENANT.contains(&text.name);
                    assert!(has_thread || is_of_tenant, "{what}");
                }
                // Agents' tables have no tenant: they are reached by the row of a visible thread.
                name if name.starts_with("agent_") => {}
                _ => panic!("an unknown table: {what}"),
            }
        }
    }
}

/// A text for split tables and one tenant contains the tenant as a parameter everywhere.
#[test]
fn a_statement_of_one_tenant_compares_with_its_parameter_only() {
    let of_one = texts().into_iter().filter(|text| text.form == Form::OneTenant);
    let mut read = 0;
    for text in of_one {
        for reference in references(&text.sql) {
            let is_parameter = |tenant: &String| tenant == "$1" || tenant == "inserted";
            assert!(reference.tenants.iter().all(is_parameter), "{}: {}", text.name, text.sql);
            read += 1;
        }
    }
    assert!(read > 50, "{read}");
}

/// Citus refuses an update or a deletion that returns the value of a function that is not immutable. The
/// only one in the columns of a thread is the time.
#[test]
fn a_change_does_not_return_the_time() {
    let mut changes = BTreeSet::new();
    for text in texts() {
        for (at, _) in text.sql.match_indices("returning ") {
            let (before, after) = text.sql.split_at(at);
            let writes = ["insert into", "update thread_store", "delete from"];
            let write = writes.iter().max_by_key(|write| before.rfind(**write)).unwrap();
            let mut depth = 0;
            let is_returned = |sign: &char| {
                depth += i32::from(*sign == '(') - i32::from(*sign == ')');
                depth >= 0
            };
            let returned: String = after.chars().take_while(is_returned).collect();
            if *write == "insert into" {
                continue;
            }
            let times = ["_timestamp", "now()"];
            assert!(times.iter().all(|time| !returned.contains(time)), "{}: {returned}", text.name);
            changes.insert(text.name);
        }
    }
    assert!(changes.contains("threads/patch") && changes.len() > 3, "{changes:?}");
}

/// The statements are listed by hand. This test finds missing ones.
#[test]
fn every_statement_is_listed() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut declared = 0;
    for file in files(&source) {
        let text = fs::read_to_string(&file).unwrap();
        for (_, rest) in
            text.match_indices("static ").map(|(at, word)| text.split_at(at + word.len()))
        {
            let Some((name, rest)) = rest.split_once(": ") else { continue };
            let count = match rest {
                _ if rest.starts_with("Statement =") => 1,
                _ if rest.starts_with("[Statement; ") => {
                    rest["[Statement; ".len()..].split(']').next().unwrap().parse().unwrap()
                }
                _ => continue,
            };
            assert!(name.chars().all(|sign| sign.is_ascii_uppercase() || sign == '_'), "{name}");
            declared += count;
        }
    }
    let listed = statements();
    let names: BTreeSet<_> = listed.iter().map(|(statement, _)| statement.name).collect();
    assert_eq!(names.len(), listed.len(), "two statements have one name");
    assert_eq!(listed.len(), declared, "a statement is missing in `statements()`: {names:?}");
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}
