//! A start that cannot be is refused in one line.

use std::net::TcpListener;

use crate::program::directory;
use crate::{Home, refused};

/// A port that nobody uses, below the range that the system gives to clients.
pub(crate) fn free_port() -> u16 {
    let mut port = 20_000 + u16::try_from(uuid::Uuid::new_v4().as_u128() % 12_000).unwrap();
    while TcpListener::bind(("127.0.0.1", port)).is_err() {
        port = 20_000 + (port + 1) % 12_000;
    }
    port
}

#[tokio::test]
async fn a_busy_port_is_one_line_that_names_the_setting() {
    let directory = directory();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap();
    let port = address.port().to_string();
    let settings = [("PORT", port.as_str()), ("DATA_DIR", "data")];
    let (code, lines) = refused(directory.path(), &settings).await;
    assert_eq!((code, lines.len()), (Some(1), 1), "{lines:?}");
    let expected = format!("thread-store: cannot listen on {address}, set PORT");
    assert!(lines[0].starts_with(&expected), "{lines:?}");
    assert!(!directory.path().join("data").exists(), "a database was made for nothing");
}

#[tokio::test]
async fn a_data_directory_in_use_is_one_line_that_names_the_setting() {
    let home = Home::new();
    let mut program = home.start().await;
    let settings = [("PORT", "0"), ("DATA_DIR", "data")];
    let (code, lines) = refused(home.directory.path(), &settings).await;
    assert_eq!((code, lines.len()), (Some(1), 1), "{lines:?}");
    let data_dir = home.directory.path().canonicalize().unwrap().join("data");
    let expected = format!(
        "thread-store: DATA_DIR {} is in use by another thread-store (process {})",
        data_dir.display(),
        program.id()
    );
    assert_eq!(lines[0], expected);
    // The first one is none the worse for it.
    let answer = thread_store::http_client::builder()
        .build()
        .unwrap()
        .get(format!("{}/ok?check_db=1", program.url))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(program.end("-TERM").await.code(), Some(0));
}

#[tokio::test]
async fn a_wrong_setting_is_one_line_that_names_it_and_exits_64() {
    let directory = directory();
    for (setting, value) in [
        ("PORT", "seventy"),
        ("PORT", "65536"),
        ("HOST", "example.com"),
        ("DATABASE_URL", "mysql://user:hunter2@127.0.0.1/db"),
        ("DATABASE_MAX_CONNECTIONS", "0"),
        ("SUPABASE_URL", "ftp://hunter2"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "a=b=c"),
    ] {
        let settings = [("DATA_DIR", "data"), (setting, value)];
        let (code, lines) = refused(directory.path(), &settings).await;
        assert_eq!((code, lines.len()), (Some(64), 1), "{setting}={value}: {lines:?}");
        assert!(lines[0].starts_with(&format!("thread-store: {setting}: ")), "{lines:?}");
        assert!(!lines[0].contains("hunter2"), "{lines:?}");
    }
    assert!(!directory.path().join("data").exists(), "a database was made for nothing");
}
