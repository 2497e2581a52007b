//! Text for search and display: the form in which it is compared, the parsing of queries, and lines
//! and snippets.

mod normalise;
mod query;
mod snippet;

pub use normalise::{Normalised, normalise, one_line};
pub use query::{Query, Unusable};
pub use snippet::{Snippet, snippet};
