//! The signing secret, and what the database holds.

use super::*;

#[tokio::test]
async fn a_restart_on_the_same_directory_keeps_everybody_signed_in() {
    let dir = TempDir::new().unwrap();
    let before = Auth::start_in(dir.path()).await;
    let session = before.sign_up("ada@example.com").await;
    let after = Auth::start_again_in(dir.path(), Arc::clone(&before.server)).await;
    assert_eq!(after.user(access(&session)).await.ok()["id"], session["user"]["id"]);
    let renewed = after.refresh(renewal(&session)).await.ok();
    before.user(access(&renewed)).await.ok();

    let elsewhere = TempDir::new().unwrap();
    let stranger = Auth::start_again_in(elsewhere.path(), Arc::clone(&before.server)).await;
    assert_eq!(stranger.user(access(&session)).await.body["error_code"], "bad_jwt");
}

#[tokio::test]
async fn servers_that_start_together_agree_on_one_private_secret() {
    let server = Arc::new(TestServer::start().await);
    let dir = TempDir::new().unwrap();
    let data_dir = dir.path().join("not").join("there yet");
    let starts = (0..4).map(|_| Auth::start_again_in(&data_dir, Arc::clone(&server)));
    let servers = join_all(starts).await;
    let session = servers[0].sign_up("ada@example.com").await;
    for other in &servers {
        other.user(access(&session)).await.ok();
    }
    let files: Vec<_> = fs::read_dir(&data_dir).unwrap().map(|it| it.unwrap()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_secret_is_made_private_again_and_a_damaged_one_is_not_used() {
    let server = TestServer::start().await;
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("local-auth-secret");
    let open = async || {
        let site = "http://127.0.0.1".parse().unwrap();
        LocalAuth::open(server.pool.clone(), dir.path(), site, CorsOrigins::Any).await
    };
    open().await.unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    open().await.unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&file, "short").unwrap();
    let message = open().await.unwrap_err().to_string();
    assert!(message.contains("local-auth-secret"), "{message}");
    assert!(!message.contains("short"));
}

#[tokio::test]
async fn the_database_holds_neither_passwords_nor_refresh_tokens() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let rows = auth.rows().await;
    assert!(rows.contains("ada@example.com"));
    assert!(!rows.contains(PASSWORD) && !rows.contains(renewal(&session)), "{rows}");
    let hash: String = sqlx::query_scalar("select password_hash from local_auth.users")
        .fetch_one(&auth.pool)
        .await
        .unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
}

#[tokio::test]
async fn a_link_and_its_code_are_in_the_log_and_nowhere_else() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    let challenge = json!({ "code_challenge": "c".repeat(43), "code_challenge_method": "s256" });
    for (path, of_client) in [("/recover", json!({})), ("/otp", json!({})), ("/otp", challenge)] {
        auth.pass_a_minute().await;
        let mut body = of_client;
        body["email"] = json!("ada@example.com");
        let answer = auth.post(path, &body).await;
        let (link, code) = auth.last_link();
        let token = in_query(&link, "token").unwrap();
        let told = format!("{:?} {}", answer.headers, answer.body);
        assert!(!told.contains(&token) && !told.contains(&code), "{told}");
        let rows = auth.rows().await;
        assert!(rows.contains("ada@example.com"));
        assert!(!rows.contains(token.trim_start_matches("pkce_")), "{rows}");
        assert!(!rows.contains(&format!("\"{code}\"")), "{rows}");
        assert_eq!(answer.ok(), json!({}));
    }
}
