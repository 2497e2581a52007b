//! What is not shown of a stored value, and why.

/// Most levels of lists, maps and extensions in each other.
pub const MAX_DEPTH: usize = 512;

/// Most bytes of JSON that one value may become.
pub const MAX_DECODED: usize = 64 * 1024 * 1024;

/// Why a stored value cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is a Python pickle, which is a program.
    #[error("a pickle, which only Python can read")]
    Pickle,
    /// It is encrypted, and there is no key.
    #[error("encrypted, and LANGGRAPH_AES_KEY is not set")]
    NoKey,
    /// It is encrypted with another key, or was changed.
    #[error("encrypted with another key than LANGGRAPH_AES_KEY")]
    WrongKey,
    /// A serializer that is not known.
    #[error("of the type {0}, which is not known")]
    Type(String),
    /// An extension of MessagePack that is not known.
    #[error("with an extension of MessagePack that is not known: {0}")]
    Extension(i8),
    /// An array of numpy whose items are no plain numbers.
    #[error("an array of numpy of a type that is not known")]
    Array,
    /// The bytes are not what the type says.
    #[error("damaged")]
    Malformed,
    /// More levels than [`MAX_DEPTH`].
    #[error("nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// More than [`MAX_DECODED`].
    #[error("larger than {MAX_DECODED} bytes")]
    TooLarge,
    /// A delta channel between two snapshots whose reducer is the agent's own.
    #[error("a delta channel whose reducer is not known")]
    Reducer,
    /// A delta channel of which a part is missing.
    #[error("a delta channel with a gap in its history")]
    Gap,
}
