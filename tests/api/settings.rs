//! Where settings come from, as the program itself finds them.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::deadline::output_of;

/// What a `.env` of these tests sets, and what the program says if it was read.
const WRONG_PORT: &str = "PORT=70000\n";
const READ: &str = "thread-store: PORT: must be a number from 0 to 65535\n";
/// What it says if none was.
const NOT_READ: &str = "thread-store: DATABASE_URL: is required: a private Postgres is migrated by \
                        the server that starts it\n";

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn put(path: &Path, mode: u32) {
    std::fs::write(path, WRONG_PORT).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn said_in(directory: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thread-store"));
    let output = output_of(command.arg("migrate").env_clear().current_dir(directory));
    let Output { status, stderr, .. } = output.unwrap();
    assert_eq!(status.code(), Some(64));
    String::from_utf8(stderr).unwrap()
}

#[track_caller]
fn refuses(directory: &Path, says: &str) {
    let line = said_in(directory);
    assert!(line.starts_with("thread-store: .env: ") && line.lines().count() == 1, "{line}");
    assert!(line.contains(says), "not {says:?} in {line}");
}

#[test]
fn only_the_env_file_of_the_working_directory_is_read() {
    let directory = directory();
    let below = directory.path().join("a/b");
    std::fs::create_dir_all(&below).unwrap();
    put(&directory.path().join(".env"), 0o644);
    put(&directory.path().join("a/.env"), 0o644);
    assert_eq!(said_in(directory.path()), READ);
    assert_eq!(said_in(&below), NOT_READ);
}

#[test]
fn an_env_file_that_others_may_write_is_refused() {
    let directory = directory();
    let file = directory.path().join(".env");
    for mode in [0o600, 0o640, 0o644, 0o400, 0o755] {
        put(&file, mode);
        assert_eq!(said_in(directory.path()), READ, "{mode:o}");
        std::fs::remove_file(&file).unwrap();
    }
    for mode in [0o660, 0o664, 0o646, 0o602, 0o666, 0o777] {
        put(&file, mode);
        refuses(directory.path(), "because other users may write it: run `chmod go-w .env`");
        std::fs::remove_file(&file).unwrap();
    }
}

/// Only root can give files away. Elsewhere the file of a stranger is one of the system's.
#[test]
fn an_env_file_of_somebody_else_is_refused() {
    let directory = directory();
    let file = directory.path().join(".env");
    if rustix::process::geteuid().is_root() {
        put(&file, 0o644);
        chown(&file, Some(4711), None).unwrap();
        refuses(directory.path(), "must belong to the user who runs the program, or to root");
        // Nor by a link of theirs to a file of ours, or of ours to one of theirs.
        let ours = directory.path().join("ours");
        put(&ours, 0o644);
        std::fs::remove_file(&file).unwrap();
        symlink(&ours, &file).unwrap();
        std::os::unix::fs::lchown(&file, Some(4711), None).unwrap();
        refuses(directory.path(), "must belong to");
        std::fs::remove_file(&file).unwrap();
        chown(&ours, Some(4711), None).unwrap();
        symlink(&ours, &file).unwrap();
        refuses(directory.path(), "must belong to");
    } else {
        // Root's is read: the operator of a machine may set what its users run.
        symlink("/etc/passwd", &file).unwrap();
        refuses(directory.path(), "must have only lines of the form NAME=value");
    }
}

#[test]
fn an_env_file_may_be_a_link_and_nothing_but_a_file() {
    let directory = directory();
    let (file, other) = (directory.path().join(".env"), directory.path().join("settings"));
    put(&other, 0o600);
    symlink(&other, &file).unwrap();
    assert_eq!(said_in(directory.path()), READ);
    std::fs::remove_file(&file).unwrap();

    symlink("nowhere", &file).unwrap();
    refuses(directory.path(), "cannot be read");
    std::fs::remove_file(&file).unwrap();

    std::fs::create_dir(&file).unwrap();
    refuses(directory.path(), "is not a file");
    std::fs::remove_dir(&file).unwrap();

    // Opening a pipe would wait for somebody who writes to it.
    let made = Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    refuses(directory.path(), "is not a file");
}

#[test]
fn an_env_file_that_is_none_is_refused_without_its_text() {
    let directory = directory();
    let file = directory.path().join(".env");
    for text in ["hunter2 hunter2\n", "KEY=hunter2 hunter2\n"] {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        refuses(directory.path(), "lines of the form NAME=value");
        assert!(!said_in(directory.path()).contains("hunter2"));
    }
    std::fs::write(&file, b"KEY=\xff\n").unwrap();
    refuses(directory.path(), "must be a text file in UTF-8");
}

#[test]
fn flags_override_the_environment_and_the_environment_overrides_the_env_file() {
    let directory = directory();
    put(&directory.path().join(".env"), 0o600);
    let said = |flag: &[&str], port: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thread-store"));
        command.args(flag).arg("migrate").env_clear().env("PORT", port);
        let output = output_of(command.current_dir(directory.path())).unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(said(&[], "1"), NOT_READ);
    // A variable that is there and empty is there, for compose files that pass all of them.
    assert_eq!(said(&[], ""), NOT_READ);
    assert_eq!(said(&["--port", "x"], "1"), READ);
    assert_eq!(said(&["--port", "1"], "x"), NOT_READ);
}
