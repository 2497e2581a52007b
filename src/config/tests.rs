//! Settings as a whole, without the environment.

use secrecy::ExposeSecret as _;

use super::*;

fn config(arguments: &[&str]) -> Result<Config, String> {
    let arguments = [&["thread-store"], arguments].concat();
    let arguments = command_line::parse_words(&arguments).map_err(|error| error.to_string())?;
    match arguments.read().map_err(|error| error.to_string())? {
        (Command::Serve(config), _) => Ok(*config),
        (other, _) => Err(format!("{other:?}")),
    }
}

#[test]
fn defaults_serve_on_loopback_with_nothing_to_install() {
    let config = config(&[]).unwrap();
    assert_eq!((config.host.to_string().as_str(), config.port), ("127.0.0.1", 2024));
    assert!(matches!(config.database, Database::Embedded { .. }));
    assert!(matches!(config.sign_in, SignIn::Local));
    assert_eq!(config.data_dir, PathBuf::from(".thread-store"));
}

#[test]
fn a_wrong_value_is_one_line_that_names_the_setting() {
    for (arguments, setting) in [
        (["--port", "70000"], "PORT"),
        (["--port", "x"], "PORT"),
        (["--host", "example"], "HOST"),
        (["--database-url", "mysql://u:hunter2@h/d"], "DATABASE_URL"),
        (["--database-url", "postgres://u:hunter2@h:port/d"], "DATABASE_URL"),
        (["--database-direct-url", "mysql://u:hunter2@h/d"], "DATABASE_DIRECT_URL"),
        (["--database-direct-url", "postgres://u:hunter2@h/d"], "DATABASE_URL"),
        (["--database-migrate", "later"], "DATABASE_MIGRATE"),
        (["--database-migrate", "false"], "DATABASE_MIGRATE"),
        (["--database-max-connections", "0"], "DATABASE_MAX_CONNECTIONS"),
        (["--supabase-url", "example.supabase.co"], "SUPABASE_URL"),
        (["--supabase-url", "https://u:hunter2@example.com"], "SUPABASE_URL"),
        (["--supabase-url", "https://example.com/?x=1"], "SUPABASE_URL"),
        (["--supabase-service-key", "hunter2 x"], "SUPABASE_SERVICE_KEY"),
        (["--postgres-archive-url", "ftp://x"], "POSTGRES_ARCHIVE_URL"),
        (["--rust-log", "a=b=c"], "RUST_LOG"),
        (["--log-format", "xml"], "LOG_FORMAT"),
        (["--supabase-auth-mode", "local"], "SUPABASE_AUTH_MODE"),
        (["--supabase-auth-mode", "jwks"], "SUPABASE_AUTH_MODE"),
        (["--supabase-auth-cache-ttl", "1h"], "SUPABASE_AUTH_CACHE_TTL"),
        (["--supabase-auth-cache-ttl", "3601"], "SUPABASE_AUTH_CACHE_TTL"),
        (["--log-users", "name"], "LOG_USERS"),
        (["--metrics-port", "2024"], "METRICS_PORT"),
        (["--metrics-port", "x"], "METRICS_PORT"),
        (["--cors-allow-origins", "app.example"], "CORS_ALLOW_ORIGINS"),
        (["--cors-allow-origins", "https://app.example/"], "CORS_ALLOW_ORIGINS"),
        (["--cors-allow-origins", "https://app.example,*"], "CORS_ALLOW_ORIGINS"),
        (["--max-body-bytes", "1k"], "MAX_BODY_BYTES"),
        (["--max-requests", "0"], "MAX_REQUESTS"),
        (["--max-streams", "1000001"], "MAX_STREAMS"),
        (["--max-threads-per-user", "0"], "MAX_THREADS_PER_USER"),
        (["--max-threads-per-user", "1000001"], "MAX_THREADS_PER_USER"),
        (["--max-threads-per-user", "ten"], "MAX_THREADS_PER_USER"),
        (["--max-state-bytes", "1023"], "MAX_STATE_BYTES"),
        (["--max-state-bytes", "1GB"], "MAX_STATE_BYTES"),
        (["--header-timeout", "0"], "HEADER_TIMEOUT"),
        (["--body-timeout", "3601"], "BODY_TIMEOUT"),
        (["--shutdown-delay", "601"], "SHUTDOWN_DELAY"),
        (["--oidc-issuer", "https://example.com"], "OIDC_AUDIENCE"),
        (["--oidc-audience", "api"], "OIDC_ISSUER"),
        (["--agent-url", "127.0.0.1:8123"], "AGENT_URL"),
        (["--agent-url", "http://u:hunter2@agent"], "AGENT_URL"),
        (["--agent-url", "http://agent/?x=1"], "AGENT_URL"),
        (["--agent-url", "http://localhost:2024"], "AGENT_URL"),
        (["--agent-api-key", "hunter2"], "AGENT_API_KEY"),
        (["--agent-api-key", "hunter2 x"], "AGENT_API_KEY"),
        (["--agent-forward-token", "true"], "AGENT_FORWARD_TOKEN"),
        (["--agent-forward-token", "yes"], "AGENT_FORWARD_TOKEN"),
        (["--agent-forward", "store"], "AGENT_FORWARD"),
        (["--agent-forward", "stores"], "AGENT_FORWARD"),
        (["--agent-owner-key", "a b"], "AGENT_OWNER_KEY"),
        (["--agent-owner-key", "thread_id"], "AGENT_OWNER_KEY"),
        (["--agent-owner-key", "langgraph_auth_user_id"], "AGENT_OWNER_KEY"),
    ] {
        let line = config(&arguments).unwrap_err();
        assert!(line.starts_with(&format!("{setting}: ")), "{line}");
        assert!(!line.contains('\n') && !line.contains("hunter2"), "{line}");
    }
}

#[test]
fn without_supabase_only_a_loopback_host_is_served() {
    assert!(config(&["--host", "::1"]).is_ok());
    let refused = config(&["--host", "0.0.0.0"]).unwrap_err();
    assert!(refused.starts_with("SUPABASE_URL: is required on HOST 0.0.0.0"), "{refused}");
    let open = ["--host", "0.0.0.0", "--supabase-url", "https://example.supabase.co/"];
    assert!(config(&open).is_ok());
}

#[test]
fn the_servers_own_address_is_not_taken_for_a_supabase_project() {
    for url in ["http://127.0.0.1:2024", "http://localhost:2024/", "http://[::1]:2024"] {
        let refused = config(&["--supabase-url", url]).unwrap_err();
        assert!(refused.starts_with("SUPABASE_URL: is this server's own address"), "{refused}");
    }
    assert!(config(&["--supabase-url", "http://127.0.0.1:8000"]).is_ok());
}

#[test]
fn any_of_the_key_settings_is_taken_and_none_is_printed() {
    for flag in ["service", "secret", "anon", "publishable"] {
        let flag = format!("--supabase-{flag}-key");
        let config = config(&["--supabase-url", "https://example.com", &flag, "hunter2"]).unwrap();
        let SignIn::Supabase { api_key, .. } = &config.sign_in else { panic!("not Supabase") };
        assert_eq!(api_key.as_ref().unwrap().expose_secret(), "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

#[test]
fn an_agent_is_told_the_user_id_and_nothing_else_unless_the_settings_say_so() {
    assert!(config(&[]).unwrap().agent.is_none());
    let url = ["--agent-url", "http://agent:8123/api/"];
    let plain = config(&url).unwrap().agent.unwrap();
    assert_eq!((plain.owner_key.as_str(), plain.forward_token), ("user_id", false));
    assert!(plain.forward.is_empty() && plain.api_key.is_none());
    let more = ["--agent-api-key", "hunter2", "--agent-forward-token", "true"];
    let open = ["--agent-forward", "store, crons", "--agent-owner-key", "owner"];
    let config = config(&[&url[..], &more, &open].concat()).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let agent = config.agent.unwrap();
    assert_eq!(agent.forward, [crate::agent::Area::Store, crate::agent::Area::Crons]);
    assert_eq!((agent.owner_key.as_str(), agent.forward_token), ("owner", true));
}

#[test]
fn the_database_password_is_not_in_debug_output() {
    let config = config(&["--database-url", "postgres://u:hunter2@h/d"]).unwrap();
    let debug = format!("{config:?}");
    assert!(debug.contains("h:5432/d") && !debug.contains("hunter2"), "{debug}");
}

#[test]
fn empty_values_count_as_unset() {
    let names =
        ["database-url", "supabase-url", "supabase-service-key", "port", "host", "data-dir"];
    let names = names.iter().chain(&["database-max-connections", "supabase-auth-cache-ttl"]);
    let names = names.chain(&["log-users", "metrics-port", "cors-allow-origins"]);
    let names = names.chain(&["max-body-bytes", "max-requests", "max-streams"]);
    let names = names.chain(&["max-threads-per-user", "max-state-bytes"]);
    let names = names.chain(&["header-timeout", "body-timeout", "shutdown-delay"]);
    let empty: Vec<_> = names.map(|name| format!("--{name}=")).collect();
    let config = config(&empty.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert_eq!((config.port, config.data_dir), (2024, PathBuf::from(".thread-store")));
    assert!(matches!(config.database, Database::Embedded { .. }));
    assert!(matches!(config.sign_in, SignIn::Local));
}
