//! What LangGraph's own checkpointers write to Postgres, read without Python or JavaScript (D30).
//!
//! Nothing here knows SQL: rows come in as bytes and text, JSON text goes out. `stored` decodes one
//! value by its type, `document` reads the `checkpoint` column, `channels` puts the values of a
//! checkpoint together, `replay` those of delta channels, and `tasks` says what is to run next.
//!
//! No object is ever built. A value that names a class is shown by its parts, as the reference server
//! shows it, and the name of the class is skipped.

mod channels;
mod cipher;
mod document;
mod json;
mod msgpack;
mod newest;
mod numpy;
mod reader;
mod replay;
mod stored;
mod tasks;
#[cfg(test)]
mod tests;
mod text;
mod unreadable;

pub use channels::{Blob, Values, is_state_channel};
pub use cipher::AesKey;
pub use document::Document;
pub use newest::newest_values;
pub use replay::{is_replayed, replay};
pub use stored::decode;
pub use tasks::{Place, Run, Write, run_of};
pub use unreadable::{MAX_DECODED, MAX_DEPTH, Unreadable};
