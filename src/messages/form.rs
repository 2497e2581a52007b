//! An entry of `messages` by its index, its form, and its refusals.

use super::Refused;
use crate::json::{Members, quoted};

/// An entry by its index in the list. `None`: it was sent without a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) index: Option<usize>,
}

/// The form of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    OpenAi,
    LangChain,
}

impl Entry {
    /// Parses the object at `field` of the message.
    pub(super) fn members<'a>(self, sent: &'a str, field: &str) -> Result<Members<'a>, Refused> {
        if !sent.starts_with('{') {
            return Err(self.refuse(field, "must be an object"));
        }
        // The text is a JSON object, so parsing fails only if it has too many keys.
        Members::read(sent).map_err(|_| self.refuse(field, "an object with too many keys"))
    }

    pub(super) fn refuse(self, field: &str, why: &str) -> Refused {
        let index = self.index.map(|index| format!("[{index}]")).unwrap_or_default();
        Refused(format!("values.messages{index}{field}: {why}"))
    }

    pub(super) fn refuse_name(self, field: &str, name: &str, others: &str) -> Refused {
        let name = quoted(name);
        self.refuse(
            field,
            &format!(
                "{name} must be one of user, human, assistant, ai, system, developer, {others}"
            ),
        )
    }
}
