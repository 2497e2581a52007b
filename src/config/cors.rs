//! Origins that browsers may call from (`CORS_ALLOW_ORIGINS`).

use http::HeaderValue;
use url::{Host, Url};

/// Origins that browsers may call from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Any, as on the reference server.
    Any,
    /// These.
    These(Vec<Origin>),
}

impl CorsOrigins {
    /// Whether the setting lists this origin, exactly or by its domain: `*` lists none.
    #[cfg(feature = "local-auth")]
    pub(crate) fn names(&self, origin: &HeaderValue) -> bool {
        matches!(self, CorsOrigins::These(these) if these.iter().any(|o| o.matches(origin)))
    }
}

/// An origin that browsers may call from, or all origins of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This one, spelled as browsers send it: `https://app.example`.
    Exact(HeaderValue),
    /// The origins of every subdomain, `https://*.app.example`.
    Subdomains {
        /// The part before the `*`: `https://`.
        before: String,
        /// The part after the `*`: `.app.example`, with the port if there is one.
        behind: String,
    },
}

impl Origin {
    /// Whether an `Origin` header matches. It is compared byte by byte, because browsers have one
    /// spelling for an origin.
    #[must_use]
    pub fn matches(&self, origin: &HeaderValue) -> bool {
        let (before, behind) = match self {
            Origin::Exact(exact) => return exact == origin,
            Origin::Subdomains { before, behind } => (before.as_str(), behind.as_str()),
        };
        let Ok(origin) = origin.to_str() else { return false };
        let labels = origin.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
        let is_label = |label: &str| {
            let is_part =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
            !label.is_empty() && label.bytes().all(is_part)
        };
        labels.is_some_and(|labels| labels.split('.').all(is_label))
    }
}

/// `*`, or origins separated by commas.
pub(super) fn origins(text: &str) -> Result<CorsOrigins, String> {
    if text.trim() == "*" {
        return Ok(CorsOrigins::Any);
    }
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let origins: Vec<_> = parts.map(origin).collect::<Result<_, _>>()?;
    if origins.is_empty() {
        return Err("must name an origin, or be `*`".to_owned());
    }
    Ok(CorsOrigins::These(origins))
}

fn origin(text: &str) -> Result<Origin, String> {
    let shown: String = text.chars().take(200).collect();
    let must_be = "must be `*`, or origins such as `https://app.example` separated by commas";
    let Some((before, behind)) = text.split_once('*') else {
        let exact = HeaderValue::from_str(text).ok().filter(|_| is_origin(text));
        return exact.map(Origin::Exact).ok_or_else(|| format!("{must_be}, not {shown:?}"));
    };
    // With a label in the place of the star it must be an origin like any other.
    let is_pattern = before.ends_with("://")
        && behind.starts_with('.')
        && !behind.contains('*')
        && is_origin(&format!("{before}x{behind}"))
        && is_domain(behind);
    if is_pattern {
        return Ok(Origin::Subdomains { before: before.to_owned(), behind: behind.to_owned() });
    }
    let form = "must have a `*` only in the form `https://*.app.example`, for all subdomains";
    Err(format!("{form}, not {shown:?}"))
}

/// Spelled as browsers spell it: a scheme, a host in lower case, no default port, no path.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

/// Whether the part after a star is a domain whose subdomains may belong to one owner. `.com` is
/// not, and `.localhost`, which is this machine, is. `.0.0.1` has no subdomains.
fn is_domain(behind: &str) -> bool {
    let name = behind.trim_start_matches('.').split(':').next().unwrap_or_default();
    let is_name = matches!(Host::parse(name), Ok(Host::Domain(_)));
    let last = name.rsplit('.').next().unwrap_or_default();
    is_name
        && !last.bytes().all(|byte| byte.is_ascii_digit())
        && (name.contains('.') || name == "localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(setting: &str, origin: &'static str) -> bool {
        match origins(setting).unwrap() {
            CorsOrigins::Any => true,
            CorsOrigins::These(origins) => {
                let origin = HeaderValue::from_static(origin);
                origins.iter().any(|allowed| allowed.matches(&origin))
            }
        }
    }

    #[test]
    fn a_star_stands_for_the_subdomains_of_a_domain_and_for_nothing_else() {
        for origin in ["https://a.vercel.app", "https://a-b.vercel.app", "https://a.b.vercel.app"] {
            assert!(allows("https://*.vercel.app", origin), "{origin}");
        }
        for origin in [
            "https://vercel.app",
            "https://.vercel.app",
            "https://evilvercel.app",
            "https://a..vercel.app",
            "https://a.vercel.app.evil.example",
            "https://a.vercel.app:8443",
            "https://evil.example/.vercel.app",
            "https://evil.example?.vercel.app",
            "https://evil.example#.vercel.app",
            "https://evil.example:80@a.vercel.app",
            "https://A.vercel.app",
            "HTTPS://a.vercel.app",
            "http://a.vercel.app",
            "null",
        ] {
            assert!(!allows("https://*.vercel.app", origin), "{origin}");
        }
        assert!(allows("http://*.localhost:3000", "http://a.localhost:3000"));
        assert!(!allows("http://*.localhost:3000", "http://a.localhost"));
        assert!(!allows("http://*.localhost:3000", "http://a.localhost:30000"));
    }

    #[test]
    fn a_star_in_any_other_place_is_refused() {
        for setting in [
            "https://*",
            "https://*:8443",
            "*://app.example",
            "*.vercel.app",
            "https://*vercel.app",
            "https://a-*.vercel.app",
            "https://a.*.vercel.app",
            "https://*.*.vercel.app",
            "https://*.vercel.*",
            "https://*.com",
            "https://*.0.0.1",
            "https://*.vercel.app:*",
            "https://*.vercel.app:443",
            "https://*.vercel.app/",
            "https://*.Vercel.app",
            "https://u@*.vercel.app",
            "https://app.example,*",
            "https://*.b\u{fc}cher.example",
            ",",
        ] {
            assert!(origins(setting).is_err(), "{setting}");
        }
    }
}
