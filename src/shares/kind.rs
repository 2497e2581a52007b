//! The kinds of things that users have shares of.

use std::fmt;

/// What users have shares of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Requests that are worked on.
    Requests,
    /// Open streams.
    Streams,
    /// Requests whose body is read or worked on.
    Bodies,
    /// Bytes of these bodies beyond the first 64 KiB of each.
    BodyBytes,
    /// Requests with large bodies that are worked on.
    LargeBodies,
    /// Bytes of answers that the client has not taken.
    AnswerBytes,
    /// Requests whose token is being verified.
    Verifications,
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Kind; 7] = [
        Kind::Requests,
        Kind::Streams,
        Kind::Bodies,
        Kind::BodyBytes,
        Kind::LargeBodies,
        Kind::AnswerBytes,
        Kind::Verifications,
    ];

    /// What it is called in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Requests => "requests",
            Kind::Streams => "streams",
            Kind::Bodies => "bodies",
            Kind::BodyBytes => "body_bytes",
            Kind::LargeBodies => "large_bodies",
            Kind::AnswerBytes => "answer_bytes",
            Kind::Verifications => "verifications",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Requests => "requests",
            Kind::Streams => "open streams",
            Kind::Bodies => "requests with bodies",
            Kind::BodyBytes => "bytes in request bodies",
            Kind::LargeBodies => "requests with large bodies",
            Kind::AnswerBytes => "bytes in answers that were not read",
            Kind::Verifications => "tokens to verify",
        })
    }
}
