//! Why stored values cannot be shown.

/// Maximum nesting of lists, maps and extensions.
pub const MAX_DEPTH: usize = 512;

/// Maximum bytes of one value as JSON.
pub const MAX_DECODED: usize = 64 * 1024 * 1024;

/// Why a stored value cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is a Python pickle, which is a program.
    #[error("a pickle, which only Python can read")]
    Pickle,
    /// The value is encrypted, and there is no key.
    #[error("encrypted, and LANGGRAPH_AES_KEY is not set")]
    NoKey,
    /// The value is encrypted with another key, or was altered.
    #[error("encrypted with a key other than LANGGRAPH_AES_KEY")]
    WrongKey,
    /// An unknown serializer.
    #[error("of unknown type {0}")]
    Type(String),
    /// An unknown MessagePack extension.
    #[error("with an unknown extension of MessagePack: {0}")]
    Extension(i8),
    /// A numpy array whose items are not plain numbers.
    #[error("a numpy array of an unknown type")]
    Array,
    /// The bytes do not match the type.
    #[error("damaged")]
    Malformed,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// More than [`MAX_DECODED`].
    #[error("larger than {MAX_DECODED} bytes")]
    TooLarge,
    /// A delta channel between two snapshots, with the agent's own reducer.
    #[error("a delta channel with an unknown reducer")]
    Reducer,
    /// A delta channel with missing writes.
    #[error("a delta channel with a gap in its history")]
    Gap,
}
