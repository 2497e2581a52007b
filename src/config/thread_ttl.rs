//! The default ttl of threads (`LANGGRAPH_THREAD_TTL`), in the two forms of the reference server: a
//! number of minutes, or the object of `langgraph.json` under `checkpointer.ttl`.

use std::time::Duration;

use serde::Deserialize;

use crate::store::{Strategy, Ttl};

/// The default ttl of threads, and how often the server looks for expired threads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThreadTtl {
    /// The ttl of a thread that is created without one.
    pub default: Option<Ttl>,
    /// Pause between two sweeps of expired threads. Readers never see an expired thread.
    pub sweep_interval: Duration,
}

/// The values without the setting.
impl Default for ThreadTtl {
    fn default() -> ThreadTtl {
        ThreadTtl { default: None, sweep_interval: Duration::from_secs(30) }
    }
}

/// The object of `langgraph.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    strategy: Strategy,
    #[serde(default)]
    default_ttl: Option<f64>,
    #[serde(default)]
    sweep_interval_minutes: Option<f64>,
    #[serde(default)]
    #[expect(dead_code, reason = "a sweep continues until nothing is left, in bounded batches")]
    sweep_limit: Option<u64>,
}

const MUST_BE: &str = "must be a number of minutes, or JSON such as \
                       {\"strategy\": \"delete\", \"default_ttl\": 43200}";

/// Longest pause between two sweeps, in minutes: a week.
const LONGEST_PAUSE: f64 = 10_080.0;

/// Parses `LANGGRAPH_THREAD_TTL`.
pub(super) fn thread_ttl(text: &str) -> Result<ThreadTtl, String> {
    let text = text.trim();
    let form = if text.starts_with('{') {
        serde_json::from_str(text).map_err(|error| format!("{MUST_BE}: {error}"))?
    } else {
        let minutes = text.parse().map_err(|_| MUST_BE)?;
        Form {
            strategy: Strategy::Delete,
            default_ttl: Some(minutes),
            sweep_interval_minutes: None,
            sweep_limit: None,
        }
    };
    let Form { strategy, default_ttl, sweep_interval_minutes, sweep_limit: _ } = form;
    let mut ttl = ThreadTtl::default();
    if let Some(minutes) = default_ttl {
        let default = Ttl::new(minutes, strategy);
        let problem = || format!("the minutes must be above 0 and at most {}", Ttl::MAX_MINUTES);
        ttl.default = Some(default.ok_or_else(problem)?);
    }
    if let Some(minutes) = sweep_interval_minutes {
        let pause = Some(minutes).filter(|minutes| (0.0..=LONGEST_PAUSE).contains(minutes));
        let pause = pause.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
        let pause = pause.filter(|pause| *pause >= Duration::from_secs(1));
        let problem = "`sweep_interval_minutes` must be at least a second and at most 10080";
        ttl.sweep_interval = pause.ok_or(problem)?;
    }
    Ok(ttl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_reference_server_are_read() {
        let delete = |minutes| Ttl { minutes, strategy: Strategy::Delete };
        for (text, default, sweep) in [
            ("43200", Some(delete(43_200.0)), 30),
            (" 0.5 ", Some(delete(0.5)), 30),
            (r#"{"default_ttl": 5}"#, Some(delete(5.0)), 30),
            (
                r#"{"strategy": "delete", "sweep_interval_minutes": 60, "default_ttl": 43200}"#,
                Some(delete(43_200.0)),
                3600,
            ),
            (
                r#"{"strategy": "keep_latest", "default_ttl": 1, "sweep_limit": 1000}"#,
                Some(Ttl { minutes: 1.0, strategy: Strategy::KeepLatest }),
                30,
            ),
            (r#"{"strategy": "delete", "default_ttl": null}"#, None, 30),
            (r#"{"sweep_interval_minutes": 0.5}"#, None, 30),
        ] {
            let sweep_interval = Duration::from_secs(sweep);
            assert_eq!(thread_ttl(text), Ok(ThreadTtl { default, sweep_interval }), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "30d",
            "0",
            "-1",
            "inf",
            "NaN",
            "1000000001",
            r#"["delete", 5]"#,
            r#"{"ttl": 5}"#,
            r#"{"default_ttl": "5"}"#,
            r#"{"default_ttl": 0}"#,
            r#"{"strategy": "archive", "default_ttl": 5}"#,
            r#"{"sweep_interval_minutes": 0}"#,
            r#"{"sweep_interval_minutes": -1}"#,
            r#"{"sweep_interval_minutes": 1e300}"#,
            r#"{"default_ttl": 5"#,
        ] {
            let problem = thread_ttl(text).unwrap_err();
            assert!(!problem.contains('\n'), "{problem}");
        }
    }
}
