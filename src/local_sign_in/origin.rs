//! Checks which pages may use the local sign-in.
//!
//! Every client that can reach it can sign up, so only this machine may reach it. A browser on this
//! machine can reach it on behalf of any page of the internet, in two ways. A page whose own name
//! resolves to a loopback address (DNS rebinding) sends that name as `Host`. Any other page sends
//! its origin as `Origin`, also with requests for which browsers send no preflight (`text/plain`).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::Url;

use super::error::Refusal;
use crate::authn::is_loopback;
use crate::authz::Denied;
use crate::config::CorsOrigins;
use crate::http::Error;

/// Maximum bytes of an address to redirect to. It is limited because it is logged.
const MAX_REDIRECT: usize = 2000;

/// Addresses on this machine, and the origins in the settings.
#[derive(Debug, Clone)]
pub(super) struct Origins {
    named: CorsOrigins,
    site: Url,
}

impl Origins {
    /// `site` is the sign-in's own address, the target of redirects whose requested address is not
    /// allowed.
    pub(super) fn new(named: CorsOrigins, site: Url) -> Origins {
        Origins { named, site }
    }

    /// The target of a redirect: the requested address if it is on this machine, otherwise the
    /// site's own.
    pub(super) fn redirect_to(&self, asked: Option<&str>) -> Url {
        let asked = asked
            .filter(|asked| asked.len() <= MAX_REDIRECT)
            .and_then(|asked| Url::parse(asked).ok());
        asked.filter(is_on_this_machine).unwrap_or_else(|| self.site.clone())
    }

    /// The site's own address.
    pub(super) fn site(&self) -> &Url {
        &self.site
    }

    fn allow(&self, origin: &HeaderValue) -> bool {
        let is_near = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
        is_near.is_some_and(|origin| is_on_this_machine(&origin)) || self.named.names(origin)
    }
}

fn is_on_this_machine(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.host().is_some_and(|host| is_loopback(&host))
}

/// Middleware around the whole server, which refuses requests for a host that is not this machine.
pub(crate) async fn loopback_host(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter();
    let mut hosts = hosts.map(|host| host.to_str().ok().and_then(|host| host.parse().ok()));
    let is_near = |host: &Authority| {
        let is_plain = !host.as_str().contains('@');
        is_plain && url::Host::parse(host.host()).is_ok_and(|host| is_loopback(&as_ref(&host)))
    };
    let is_far = hosts.any(|host| !host.as_ref().is_some_and(is_near))
        || request.uri().authority().is_some_and(|host| !is_near(host));
    if is_far {
        let detail = "Host must be localhost or a loopback address: the local sign-in is for this \
                      machine only. Set SUPABASE_URL or OIDC_ISSUER to serve other hosts";
        let denied = Denied { status: StatusCode::FORBIDDEN, detail: detail.to_owned() };
        return Error::from(denied).into_response();
    }
    next.run(request).await
}

fn as_ref(host: &url::Host<String>) -> url::Host<&str> {
    match host {
        url::Host::Domain(name) => url::Host::Domain(name),
        url::Host::Ipv4(address) => url::Host::Ipv4(*address),
        url::Host::Ipv6(address) => url::Host::Ipv6(*address),
    }
}

/// Middleware around the sign-in, which refuses pages of other machines that `CORS_ALLOW_ORIGINS`
/// does not list. Followed links and requests of programs have no `Origin`.
pub(super) async fn known_origin(
    State(origins): State<Arc<Origins>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let is_known = headers.get_all(header::ORIGIN).iter().all(|origin| origins.allow(origin));
    let is_sent_across = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
        && !headers.contains_key(header::ORIGIN)
        && request.method() != Method::GET;
    if !is_known || is_sent_across {
        return Refusal::ORIGIN.into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn origins(named: CorsOrigins) -> Origins {
        Origins::new(named, Url::parse("http://127.0.0.1:2024").unwrap())
    }

    #[test]
    fn pages_of_this_machine_and_those_that_are_named_are_known() {
        let named = CorsOrigins::These(vec![Origin::Exact(HeaderValue::from_static(
            "https://app.example",
        ))]);
        for origin in [
            "http://localhost:3000",
            "https://localhost",
            "http://127.0.0.1:5173",
            "http://[::1]:5173",
            "http://app.localhost:8080",
        ] {
            for named in [CorsOrigins::Any, named.clone()] {
                assert!(origins(named).allow(&HeaderValue::from_static(origin)), "{origin}");
            }
        }
        for origin in [
            "null",
            "",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "file://",
            "chrome-extension://localhost",
        ] {
            for named in [CorsOrigins::Any, named.clone()] {
                assert!(!origins(named).allow(&HeaderValue::from_static(origin)), "{origin}");
            }
        }
        let app = HeaderValue::from_static("https://app.example");
        assert!(origins(named).allow(&app) && !origins(CorsOrigins::Any).allow(&app));
    }

    #[test]
    fn redirects_stay_on_this_machine() {
        let origins = origins(CorsOrigins::Any);
        for good in ["http://localhost:3000/welcome?a=1", "http://127.0.0.1:1/", "https://[::1]/x"]
        {
            assert_eq!(origins.redirect_to(Some(good)).as_str(), good);
        }
        for bad in [
            "https://evil.example",
            "//evil.example",
            "/welcome",
            "javascript:alert(1)",
            "app://localhost",
            "http://user:password@localhost",
            "http://localhost@evil.example",
            "",
            &format!("http://localhost/{}", "x".repeat(2000)),
        ] {
            assert_eq!(origins.redirect_to(Some(bad)).as_str(), "http://127.0.0.1:2024/", "{bad}");
        }
        assert_eq!(origins.redirect_to(None).as_str(), "http://127.0.0.1:2024/");
    }
}
