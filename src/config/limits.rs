//! Limits on the resources that clients may occupy.

use std::time::Duration;

use super::values::{number, seconds};

/// Limits on the resources that clients may occupy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Limits {
    /// Largest request body in bytes, 1024 to 1073741824. Larger ones get 413
    #[arg(long = "max-body-bytes", env = "MAX_BODY_BYTES", default_value = "33554432")]
    #[arg(value_name = "BYTES", value_parser = number::<usize, 1024, 1_073_741_824>)]
    pub body_bytes: usize,

    /// Maximum number of active requests for threads, 1 to 1000000. Further ones get 503. Open
    /// streams do not count
    #[arg(long = "max-requests", env = "MAX_REQUESTS", default_value = "2048")]
    #[arg(value_name = "NUMBER", value_parser = number::<u64, 1, 1_000_000>)]
    pub requests: u64,

    /// Maximum number of one user's active requests for threads, 1 to 1000000. Further ones get
    /// 429. Unset: an eighth of `MAX_REQUESTS`
    #[arg(long = "max-requests-per-user", env = "MAX_REQUESTS_PER_USER")]
    #[arg(value_name = "NUMBER", value_parser = number::<u64, 1, 1_000_000>)]
    pub requests_per_user: Option<u64>,

    /// Maximum number of open streams, 0 to 1000000. Further ones get 503
    #[arg(long = "max-streams", env = "MAX_STREAMS", default_value = "10000")]
    #[arg(value_name = "NUMBER", value_parser = number::<u64, 0, 1_000_000>)]
    pub streams: u64,

    /// Maximum number of one user's open streams, 0 to 1000000. Further ones get 429. Unset: an
    /// eighth of `MAX_STREAMS`
    #[arg(long = "max-streams-per-user", env = "MAX_STREAMS_PER_USER")]
    #[arg(value_name = "NUMBER", value_parser = number::<u64, 0, 1_000_000>)]
    pub streams_per_user: Option<u64>,

    /// Maximum total bytes of request bodies in memory, without the first 65536 of each, 1048576 to
    /// 1099511627776. Further bodies wait. A value below `MAX_BODY_BYTES` counts as
    /// `MAX_BODY_BYTES`
    #[arg(long = "max-body-memory", env = "MAX_BODY_MEMORY", default_value = "134217728")]
    #[arg(value_name = "BYTES", value_parser = number::<u64, 1_048_576, 1_099_511_627_776>)]
    pub body_memory: u64,

    /// Maximum total bytes of one user's request bodies in memory, 1048576 to 1099511627776, raised
    /// to `MAX_BODY_BYTES` if it is less. Unset: a quarter of `MAX_BODY_MEMORY`
    #[arg(long = "max-body-memory-per-user", env = "MAX_BODY_MEMORY_PER_USER")]
    #[arg(value_name = "BYTES", value_parser = number::<u64, 1_048_576, 1_099_511_627_776>)]
    pub body_memory_per_user: Option<u64>,

    /// Maximum total bytes of answers that are being made or that clients have not yet taken,
    /// 1048576 to 1099511627776. Further large answers wait, others get 503
    #[arg(long = "max-answer-memory", env = "MAX_ANSWER_MEMORY", default_value = "134217728")]
    #[arg(value_name = "BYTES", value_parser = number::<u64, 1_048_576, 1_099_511_627_776>)]
    pub answer_memory: u64,

    /// Maximum total bytes of one user's answers, 1048576 to 1099511627776. Further large answers
    /// wait, others get 429. Unset: a quarter of `MAX_ANSWER_MEMORY`
    #[arg(long = "max-answer-memory-per-user", env = "MAX_ANSWER_MEMORY_PER_USER")]
    #[arg(value_name = "BYTES", value_parser = number::<u64, 1_048_576, 1_099_511_627_776>)]
    pub answer_memory_per_user: Option<u64>,

    /// Maximum number of threads of one user, 1 to 1000000. Further ones are refused with 403.
    /// Unset: no limit
    #[arg(long = "max-threads-per-user", env = "MAX_THREADS_PER_USER")]
    #[arg(value_name = "NUMBER", value_parser = number::<u32, 1, 1_000_000>)]
    pub threads_per_user: Option<u32>,

    /// Maximum size of the stored state of one thread in bytes, 1024 to 1099511627776. Writes
    /// beyond it are refused with 403. Unset: no limit
    #[arg(long = "max-state-bytes", env = "MAX_STATE_BYTES")]
    #[arg(value_name = "BYTES", value_parser = number::<i64, 1024, 1_099_511_627_776>)]
    pub state_bytes: Option<i64>,

    /// Seconds within which the head of the first request must arrive on a new connection, 1 to
    /// 3600. Otherwise the connection is closed
    #[arg(long = "header-timeout", env = "HEADER_TIMEOUT", default_value = "10")]
    #[arg(value_name = "SECONDS", value_parser = seconds::<1, 3600>)]
    pub header_timeout: Duration,

    /// Seconds within which the body of a request must arrive, 1 to 3600. Later ones get 408
    #[arg(long = "body-timeout", env = "BODY_TIMEOUT", default_value = "60")]
    #[arg(value_name = "SECONDS", value_parser = seconds::<1, 3600>)]
    pub body_timeout: Duration,

    /// Longest time for which a client may take nothing of a pending answer. Not a setting.
    #[arg(skip = Duration::from_secs(30))]
    pub stall_timeout: Duration,

    /// How often the token of an open stream is verified again. Not a setting.
    #[arg(skip = Duration::from_secs(10))]
    pub stream_check: Duration,
}
