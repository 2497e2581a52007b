//! The kinds of resources that users have shares of.

use std::fmt;

/// A kind of resource that users have shares of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Active requests.
    Requests,
    /// Open streams.
    Streams,
    /// Requests whose body is in memory.
    Bodies,
    /// Bytes of these bodies beyond the first 64 KiB of each.
    BodyBytes,
    /// Active requests with large bodies.
    LargeBodies,
    /// Bytes of answers that clients have not taken.
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

    /// Its name in metrics.
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
