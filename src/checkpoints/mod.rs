//! Decodes the data of LangGraph's own checkpointers in Postgres, without Python or JavaScript
//! (D30).
//!
//! This module contains no SQL: its input is bytes and text of rows, its output is JSON text.
//! `stored` decodes one value by its type, `document` parses the `checkpoint` column, `channels`
//! assembles the values of a checkpoint, `replay` those of delta channels, and `tasks` finds the
//! next tasks.
//!
//! No object is ever built. A value of a class is shown by its parts, as in the reference server,
//! and the name of the class is skipped.

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
