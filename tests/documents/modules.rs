//! The shape of `src/`: no circle in what its modules import, and no long file.
//!
//! The children of a folder are units, a folder with everything in it. Among the units of one folder
//! imports have one direction: so it is at the top, where the units are the areas that
//! ARCHITECTURE.md lists, and in every folder below. An import counts for the module that defines
//! the item, whichever re-export names it. A folder's `mod.rs` and its own children may refer to each
//! other. Tests may import anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Most lines of a file in `src/`.
const MAX_LINES: usize = 400;

/// The names of a module from the root of the crate.
type ModulePath = Vec<String>;

#[test]
fn modules_import_in_one_direction() -> Result<()> {
    let graph = Graph::read(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    // A reader that finds nothing finds no circle either.
    ensure!(graph.has_edge("store/threads/get", "authz/scope"), "re-exports are not followed");
    ensure!(graph.has_edge("server/router", "http/middleware/admit"), "paths are not read");
    let circles = graph.circles();
    ensure!(circles.is_empty(), "circles of imports:\n{}", circles.join("\n"));
    Ok(())
}

#[test]
fn the_store_and_the_authorization_know_nothing_of_http() -> Result<()> {
    let graph = Graph::read(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let outer = ["api", "auth", "authn", "config", "http", "metrics", "server"];
    for (from, to) in &graph.edges {
        let (from, to) = (from.join("/"), to.join("/"));
        let area = to.split('/').next().unwrap_or_default();
        let is_inner = from.starts_with("store") || from.starts_with("authz");
        ensure!(!(is_inner && outer.contains(&area)), "{from} imports {to}");
    }
    for area in ["auth", "authn", "authz", "config", "json", "messages", "shares", "store"] {
        ensure!(!graph.uses(area, "axum"), "src/{area} uses axum");
    }
    for area in ["auth", "authn", "authz", "api", "http", "messages"] {
        ensure!(!graph.uses(area, "sqlx"), "src/{area} uses sqlx");
    }
    ensure!(graph.uses("api", "axum") && graph.uses("store", "sqlx"), "nothing is found");
    Ok(())
}

/// A statement of SQL is in the store, or in that of the local sign-in.
#[test]
fn statements_are_in_the_stores_only() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files)?;
    rust_files(&root.join("examples"), &mut files)?;
    let (mut inside, mut outside) = (0, Vec::new());
    let is_sql = |text: &str| {
        let calls = ["sqlx::query", "query_as(", "query_scalar(", "raw_sql(", "AssertSqlSafe("];
        calls.iter().any(|call| text.contains(call)) || text.contains("thread_store.thread")
    };
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let path = file.strip_prefix(root)?.display().to_string();
        // The private Postgres is administered, which is no statement about threads or users.
        let is_store =
            ["src/store/", "src/local_sign_in/store/", "src/embedded_postgres/cluster.rs"]
                .iter()
                .any(|store| path.starts_with(store));
        match (is_sql(&text), is_store) {
            (true, true) => inside += 1,
            (true, false) => outside.push(path),
            (false, _) => {}
        }
    }
    ensure!(outside.is_empty(), "SQL outside the stores: {outside:?}");
    ensure!(inside > 20, "found {inside} files only");
    Ok(())
}

#[test]
fn every_area_is_on_the_map_and_all_on_the_map_is_there() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    let named: BTreeSet<_> = text.split('`').filter(|word| word.starts_with("src/")).collect();
    for path in &named {
        ensure!(root.join(path).exists(), "ARCHITECTURE.md names {path}");
    }
    for entry in std::fs::read_dir(root.join("src"))? {
        let name = entry?.file_name().to_str().context("a name that is no text")?.to_owned();
        let is_named = named.iter().any(|path| path.trim_end_matches('/') == format!("src/{name}"));
        let is_named = is_named || ["lib.rs", "time.rs"].contains(&name.as_str());
        ensure!(is_named, "src/{name} is not in ARCHITECTURE.md");
    }
    Ok(())
}

#[test]
fn no_file_is_too_long() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files)?;
    ensure!(files.len() > 100, "found {} files only", files.len());
    let mut long = Vec::new();
    for file in files {
        let lines = std::fs::read_to_string(&file)?.lines().count();
        if lines > MAX_LINES {
            long.push(format!("{}: {lines} lines", file.display()));
        }
    }
    ensure!(long.is_empty(), "over {MAX_LINES} lines:\n{}", long.join("\n"));
    Ok(())
}

#[test]
fn a_circle_is_found_through_re_exports_and_in_folders() {
    let circle = |sources: &[(&str, &str)]| {
        let sources = sources.iter().map(|(path, text)| (module_path(path), (*text).to_owned()));
        Graph::of(&sources.collect()).circles()
    };
    assert!(circle(&[("a.rs", "use crate::b::B;"), ("b.rs", "pub struct B;")]).is_empty());
    let direct = circle(&[("a.rs", "use crate::b::B;"), ("b.rs", "fn b() { crate::a::f() }")]);
    assert_eq!(direct, ["a -> b -> a"]);
    let re_exported = circle(&[
        ("a/mod.rs", "mod x;\nmod y;\npub(crate) use x::{\n    X as Other,\n};"),
        ("a/x.rs", "use super::y::Y;\npub(crate) struct X;"),
        ("a/y.rs", "use crate::{a::Other};\npub(crate) struct Y;"),
    ]);
    assert_eq!(re_exported, ["a: x -> y -> x"]);
    let in_tests = circle(&[
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "// crate::a::f()\n#[cfg(test)]\nmod tests {\n    use crate::a::f;\n}"),
    ]);
    assert!(in_tests.is_empty());
}

/// What the modules of the crate import of each other.
struct Graph {
    modules: BTreeSet<ModulePath>,
    /// The first names of the paths in each module: crates and what is in scope.
    names: BTreeSet<(ModulePath, String)>,
    edges: BTreeSet<(ModulePath, ModulePath)>,
}

impl Graph {
    fn read(root: &Path) -> Result<Graph> {
        let (src, mut files) = (root.join("src"), Vec::new());
        rust_files(&src, &mut files)?;
        let mut sources = BTreeMap::new();
        for file in files {
            let path = file.strip_prefix(&src)?.to_str().context("a path that is no text")?;
            let is_test = path.ends_with("tests.rs") || path.split('/').any(|part| part == "tests");
            if !is_test && path != "main.rs" {
                sources.insert(module_path(path), std::fs::read_to_string(&file)?);
            }
        }
        Ok(Graph::of(&sources))
    }

    fn of(sources: &BTreeMap<ModulePath, String>) -> Graph {
        let modules: BTreeSet<_> = sources.keys().cloned().collect();
        let code: BTreeMap<_, _> =
            sources.iter().map(|(module, text)| (module.clone(), without_tests(text))).collect();
        let mut exports = BTreeMap::new();
        for (module, text) in &code {
            for (name, target) in re_exports(module, text, &modules) {
                exports.insert((module.clone(), name), target);
            }
        }
        let mut edges = BTreeSet::new();
        for (module, text) in &code {
            for path in paths(module, text) {
                let target = definition(path, &modules, &exports);
                if target != *module {
                    edges.insert((module.clone(), target));
                }
            }
        }
        let names = code.iter().flat_map(|(module, text)| {
            let before_paths = text.split("::").map(|part| {
                part.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
            });
            before_paths.map(|name| (module.clone(), name.to_owned()))
        });
        let names = names.collect();
        Graph { modules, names, edges }
    }

    fn has_edge(&self, from: &str, to: &str) -> bool {
        self.edges.iter().any(|(one, other)| one.join("/") == from && other.join("/") == to)
    }

    /// Whether an area uses a crate.
    fn uses(&self, area: &str, name: &str) -> bool {
        let of_area = |module: &ModulePath| module.first().is_some_and(|first| first == area);
        self.names.iter().any(|(module, found)| of_area(module) && found == name)
    }

    /// One circle of each folder that has any.
    fn circles(&self) -> Vec<String> {
        let parents: BTreeSet<_> = self
            .modules
            .iter()
            .filter_map(|module| module.split_last().map(|(_, parent)| parent))
            .collect();
        parents.into_iter().filter_map(|parent| self.circle_in(parent)).collect()
    }

    fn circle_in(&self, folder: &[String]) -> Option<String> {
        let unit = |module: &ModulePath| {
            module.starts_with(folder).then(|| module.get(folder.len()).cloned()).flatten()
        };
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in &self.edges {
            if let (Some(from), Some(to)) = (unit(from), unit(to))
                && from != to
            {
                imports.entry(from).or_default().insert(to);
            }
        }
        // A unit that imports only units that are in no circle is in none.
        while let Some(free) = imports
            .iter()
            .find(|(_, targets)| targets.iter().all(|target| !imports.contains_key(target)))
            .map(|(unit, _)| unit.clone())
        {
            imports.remove(&free);
        }
        let mut way = vec![imports.keys().next()?.clone()];
        loop {
            let targets = imports.get(way.last()?)?;
            let next = targets.iter().find(|target| imports.contains_key(*target))?.clone();
            let seen = way.iter().position(|unit| *unit == next);
            way.push(next);
            if let Some(start) = seen {
                let circle = way.get(start..)?.join(" -> ");
                let place = folder.join("/");
                return Some(if place.is_empty() { circle } else { format!("{place}: {circle}") });
            }
        }
    }
}

/// `a/b.rs` and `a/b/mod.rs` are `a`, `b`.
fn module_path(path: &str) -> ModulePath {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let names = path.split('/').filter(|name| *name != "lib");
    names.map(str::to_owned).collect()
}

/// The code of a file: no comments, and no tests, which stand at the end.
fn without_tests(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The absolute paths that begin with `crate` or `super`.
fn paths(module: &ModulePath, code: &str) -> Vec<ModulePath> {
    let mut found = Vec::new();
    for word in ["crate::", "super::"] {
        for (at, _) in code.match_indices(word) {
            let (before, path) = code.split_at(at);
            let is_inside = before.ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c));
            if !is_inside {
                expand(path, &mut |path| found.extend(absolute(module, &path)));
            }
        }
    }
    found
}

/// The names that a module re-exports, and the absolute paths that they stand for.
fn re_exports(
    module: &ModulePath,
    code: &str,
    modules: &BTreeSet<ModulePath>,
) -> Vec<(String, ModulePath)> {
    let mut found = Vec::new();
    for (at, word) in code.match_indices("use ") {
        let (before, rest) = code.split_at(at);
        let line = before.rsplit(['\n', ';']).next().unwrap_or_default();
        if !line.trim_start().starts_with("pub") {
            continue;
        }
        let path = rest.strip_prefix(word).unwrap_or(rest);
        expand(path, &mut |path| {
            let name = path.last().cloned().unwrap_or_default();
            let (name, path) = match path.iter().position(|part| part == "as") {
                Some(at) => (name, path.split_at(at).0.to_vec()),
                None => (name, path.clone()),
            };
            let child =
                path.first().map(|first| [module.as_slice(), std::slice::from_ref(first)].concat());
            let target = match child {
                Some(child) if modules.contains(&child) => {
                    Some([module.as_slice(), path.as_slice()].concat())
                }
                _ => absolute(module, &path),
            };
            found.extend(target.map(|target| (name, target)));
        });
    }
    found
}

/// Reads a path with its braces: `a::{b, c::D as E}` is `a b` and `a c D as E`.
fn expand(text: &str, found: &mut impl FnMut(ModulePath)) {
    fn tree<'a>(
        mut text: &'a str,
        prefix: &[String],
        found: &mut impl FnMut(ModulePath),
    ) -> &'a str {
        let mut path = prefix.to_vec();
        loop {
            text = text.trim_start();
            if let Some(mut rest) = text.strip_prefix('{') {
                loop {
                    rest = tree(rest, &path, found).trim_start();
                    match rest.strip_prefix(',') {
                        Some(next) if !next.trim_start().starts_with('}') => rest = next,
                        Some(next) => return next.trim_start().strip_prefix('}').unwrap_or(next),
                        None => return rest.strip_prefix('}').unwrap_or(rest),
                    }
                }
            }
            let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '*';
            let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            if !name.is_empty() && name != "self" {
                path.push(name.to_owned());
            }
            if let Some(next) = rest.strip_prefix("::") {
                text = next;
            } else if let Some(next) = rest.strip_prefix(" as ") {
                path.push("as".to_owned());
                text = next;
            } else {
                found(path);
                return rest;
            }
        }
    }
    tree(text, &[], found);
}

/// The path from the root of the crate.
fn absolute(module: &ModulePath, path: &[String]) -> Option<ModulePath> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let rest = match path.first().map(String::as_str) {
        Some("crate") => path.get(1..)?.to_vec(),
        Some("super") => {
            let base = module.get(..module.len().checked_sub(ups)?)?;
            [base, path.get(ups..)?].concat()
        }
        _ => return None,
    };
    Some(rest.into_iter().take_while(|part| part != "as").collect())
}

/// The module that defines what a path names.
fn definition(
    mut path: ModulePath,
    modules: &BTreeSet<ModulePath>,
    exports: &BTreeMap<(ModulePath, String), ModulePath>,
) -> ModulePath {
    // Re-exports of re-exports end; a bound in case two name each other.
    for _ in 0..8 {
        let depth = (0..=path.len())
            .rev()
            .find(|depth| path.get(..*depth).is_some_and(|part| modules.contains(part)));
        let (module, rest) = path.split_at(depth.unwrap_or_default());
        let item = rest.first().map(|item| (module.to_vec(), item.clone()));
        match item.and_then(|item| exports.get(&item)) {
            Some(target) => path = [target.as_slice(), rest.get(1..).unwrap_or_default()].concat(),
            None => return module.to_vec(),
        }
    }
    path
}

fn rust_files(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
