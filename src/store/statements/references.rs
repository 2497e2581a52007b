//! The table references of a text, and the conditions on their keys.

use std::collections::BTreeSet;

/// A reference to a table of threads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) table: String,
    /// The expressions that its `tenant` equals. For inserted rows: the word `inserted`, if they
    /// have one.
    pub(super) tenants: BTreeSet<String>,
    /// The same for `thread_id`.
    pub(super) thread_ids: BTreeSet<String>,
}

/// The references of a text.
pub(super) fn references(sql: &str) -> Vec<Reference> {
    let tokens = tokens(sql);
    let groups = groups(&tokens);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(table) = token.strip_prefix("thread_store.") else { continue };
        if at > 0 && tokens[at - 1] == "into" {
            let columns = tokens[at + 1..].iter().skip(1).take_while(|token| *token != ")");
            let columns: Vec<_> = columns.filter(|token| *token != ",").collect();
            let has = |name: &str| columns.iter().any(|column| *column == name);
            let inserted = |name| BTreeSet::from_iter(has(name).then(|| "inserted".to_owned()));
            found.push(Reference {
                table: table.to_owned(),
                tenants: inserted("tenant"),
                thread_ids: inserted("thread_id"),
            });
            continue;
        }
        let alias = match tokens.get(at + 1) {
            Some(word) if word == "as" => tokens[at + 2].as_str(),
            _ => table,
        };
        // Conditions of the same query, not of outer or inner ones.
        let own: Vec<_> =
            tokens.iter().zip(&groups).filter(|(_, group)| **group == groups[at]).collect();
        let own: Vec<_> = own.into_iter().map(|(token, _)| token.as_str()).collect();
        let equal = |column: &str| {
            let name = format!("{alias}.{column}");
            let pairs = own.windows(3).filter(|three| three[0] == name && three[1] == "=");
            pairs.map(|three| three[2].to_owned()).collect()
        };
        found.push(Reference {
            table: table.to_owned(),
            tenants: equal("tenant"),
            thread_ids: equal("thread_id"),
        });
    }
    found
}

#[cfg(feature = "embedded")]
/// The functions that a text calls: identifiers before an opening parenthesis.
pub(super) fn calls(sql: &str) -> BTreeSet<String> {
    let tokens = tokens(sql);
    let is_name = |token: &String| token.starts_with(|first: char| first.is_ascii_lowercase());
    let calls = tokens.windows(2).filter(|two| two[1] == "(" && is_name(&two[0]));
    calls.map(|two| two[0].clone()).collect()
}

/// Words, parameters, strings and signs. Casts are left out.
fn tokens(sql: &str) -> Vec<String> {
    let is_word = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '.' | '$');
    let mut tokens = Vec::new();
    let mut rest = sql.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '\'' {
            rest[1..].find('\'').map_or(rest.len(), |end| end + 2)
        } else if let Some(cast) = rest.strip_prefix("::") {
            let name = cast.find(|sign| !is_word(sign)).unwrap_or(cast.len());
            if cast[name..].starts_with("[]") { name + 4 } else { name + 2 }
        } else if is_word(first) {
            rest.find(|sign| !is_word(sign)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(length);
        if !token.starts_with("::") {
            tokens.push(token.to_owned());
        }
        rest = behind.trim_start();
    }
    tokens
}

/// For each token the group that it belongs to: the innermost parentheses, up to a `union`. So a
/// condition in parentheses does not count for the query around them, because it may be part of an
/// `or`.
fn groups(tokens: &[String]) -> Vec<usize> {
    let mut groups = Vec::with_capacity(tokens.len());
    let (mut open, mut next) = (vec![0], 1);
    for token in tokens {
        let current = open.last().copied().unwrap_or_default();
        match token.as_str() {
            "(" => {
                groups.push(current);
                open.push(next);
                next += 1;
            }
            ")" => {
                open.pop();
                groups.push(open.last().copied().unwrap_or_default());
            }
            "union" => {
                groups.push(current);
                open.pop();
                open.push(next);
                next += 1;
            }
            _ => groups.push(current),
        }
    }
    groups
}

#[test]
fn a_condition_of_another_query_does_not_count() {
    let sql = "select from thread_store.thread where thread.tenant = $1::bigint \
               and thread.thread_id = any($2) \
               and (true or exists (select from thread_store.message as m where m.tenant = asked.tenant)) \
               union all select from thread_store.thread where (thread.tenant = $1 or true)";
    let found = references(sql);
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let expected = [
        ("thread", of(&["$1"]), of(&["any"])),
        ("message", of(&["asked.tenant"]), of(&[])),
        ("thread", of(&[]), of(&[])),
    ];
    let found = found.into_iter().map(|one| (one.table, one.tenants, one.thread_ids));
    let expected = expected.map(|(table, tenants, ids)| (table.to_owned(), tenants, ids));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn rows_are_inserted_with_their_key() {
    let sql = "insert into thread_store.thread (thread_id, metadata) select $1, $2";
    let found = references(sql);
    assert_eq!(found.len(), 1);
    assert!(found[0].tenants.is_empty() && !found[0].thread_ids.is_empty(), "{found:?}");
}
