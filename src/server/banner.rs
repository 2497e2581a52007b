//! The text that the terminal shows when the server is ready.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::config::{Config, SignIn};

pub(super) fn banner(config: &Config, address: SocketAddr, database: &str) -> String {
    let mut text = String::from("\n  thread-store: the threads API of the LangGraph Server\n\n");
    let _ = writeln!(text, "  - API:      http://{address}");
    let _ = writeln!(text, "  - Docs:     http://{address}/docs");
    #[cfg(feature = "app")]
    if config.page.is_some() {
        let _ = writeln!(text, "  - Page:     http://{address}/app/");
    }
    let _ = writeln!(text, "  - Database: {database}");
    if let Some(agent) = &config.agent {
        let _ = writeln!(text, "  - Agent:    {}", agent.url);
    }
    match &config.sign_in {
        SignIn::Supabase { url, .. } => {
            let _ = writeln!(text, "  - Sign-in:  Supabase at {url}");
        }
        SignIn::Oidc { issuer, .. } => {
            let _ = writeln!(text, "  - Sign-in:  OpenID Connect at {issuer}");
        }
        #[cfg(feature = "local-auth")]
        SignIn::Local => {
            let _ = writeln!(
                text,
                "  - Sign-in:  local, for development. In the client's terminal, not this one:\n"
            );
            let _ = writeln!(text, "      export SUPABASE_URL=http://{address}");
            let _ = writeln!(text, "      export SUPABASE_ANON_KEY=local");
        }
    }
    text.push('\n');
    text
}
