//! Parses clients' values into updates of state.

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::value::RawValue;

use crate::authz::User;
use crate::http::{Error, JsonText};
use crate::json::{Members, Raw, excerpt, for_each, without_position};
use crate::messages::{self, CHANNEL as MESSAGES};
use crate::store::{Error as StoreError, MAX_CHANNELS, Update};

/// Maximum bytes of the name of a channel, a namespace or a node: the first two are part of an
/// index, and the last is stored with each checkpoint.
const MAX_NAME_BYTES: usize = 1024;

/// Maximum number of supersteps of one request. Each becomes a checkpoint.
pub(super) const MAX_SUPERSTEPS: usize = 1000;

/// Refuses a name that is too long.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), Error> {
    if name.len() > MAX_NAME_BYTES {
        return Err(Error::Invalid(format!("{field}: longer than {MAX_NAME_BYTES} bytes")));
    }
    Ok(())
}

/// Parses the values of one request, which have at most
/// [`MAX_PER_REQUEST`](messages::MAX_PER_REQUEST) messages in total.
#[derive(Debug, Default)]
pub(super) struct ValuesReader {
    messages: usize,
}

impl ValuesReader {
    /// Adds values to an update: an object, a list of objects that are applied in order, or null.
    /// `field` is the path in the body, for errors.
    pub(super) fn add(&mut self, to: &mut Update, values: &str, field: &str) -> Result<(), Error> {
        let not_values =
            || Error::Invalid(format!("{field}: expected an object, a list of objects or null"));
        match values.as_bytes().first() {
            Some(b'n') => Ok(()),
            Some(b'{') => self.add_object(to, values, field),
            Some(b'[') => for_each(values, |object| {
                if !object.starts_with('{') {
                    return Err(not_values());
                }
                self.add_object(to, object, field)
            })
            .map_err(|_| not_values())?,
            _ => Err(not_values()),
        }
    }

    fn add_object(&mut self, to: &mut Update, object: &str, field: &str) -> Result<(), Error> {
        for (channel, value) in read_object::<Members<'_>>(object, field)? {
            if channel == MESSAGES {
                self.add_messages(to, &value, field)?;
                continue;
            }
            if channel.len() > MAX_NAME_BYTES {
                let why = format!("a key is longer than {MAX_NAME_BYTES} bytes");
                return Err(Error::Invalid(format!("{field}: {why}")));
            }
            let value = Raw::from_text(&value)
                .map_err(|_| Error::Invalid(format!("{field}: not valid JSON")))?;
            to.channels.insert(channel.into_owned(), value);
            if to.channels.len() > MAX_CHANNELS {
                return Err(StoreError::TooManyChannels.into());
            }
        }
        Ok(())
    }

    fn add_messages(&mut self, to: &mut Update, sent: &str, field: &str) -> Result<(), Error> {
        let changes = to.messages.get_or_insert_default();
        let before = changes.len();
        let left = messages::MAX_PER_REQUEST.saturating_sub(self.messages);
        messages::read_into(changes, sent, left).map_err(|refused| refused_in(field, &refused))?;
        self.messages += changes.len() - before;
        Ok(())
    }
}

/// Replaces the beginning of the reducer's error, `values`, by `field`, because messages are not
/// always sent in `values`.
fn refused_in(field: &str, refused: &messages::Refused) -> Error {
    let text = refused.to_string();
    Error::Invalid(match text.strip_prefix("values") {
        Some(rest) => format!("{field}{rest}"),
        None => text,
    })
}

/// Updates that make one checkpoint.
#[derive(Deserialize)]
struct Superstep<'a> {
    #[serde(borrow)]
    updates: &'a RawValue,
}

/// A change of state within a superstep.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(default, borrow)]
    values: Option<&'a RawValue>,
    #[serde(default, borrow)]
    command: Option<&'a RawValue>,
    as_node: String,
}

/// Parses the JSON text of `supersteps`, each as one update of `user`.
pub(crate) fn supersteps(sent: &str, user: &User) -> Result<Vec<Update>, Error> {
    let field = "supersteps";
    let (mut updates, mut reader) = (Vec::new(), ValuesReader::default());
    let read = for_each(sent, |superstep| {
        if updates.len() == MAX_SUPERSTEPS {
            let why = format!("more than {MAX_SUPERSTEPS} supersteps in one request");
            return Err(Error::Invalid(format!("{field}: {why}")));
        }
        let field = format!("{field}[{}]", updates.len());
        let mut update = Update { user_id: user.identity.clone(), ..Update::default() };
        add_superstep(&mut update, superstep, &field, &mut reader)?;
        updates.push(update);
        Ok(())
    });
    read.map_err(|_| Error::Invalid(format!("{field}: expected a list")))??;
    Ok(updates)
}

fn add_superstep(
    update: &mut Update,
    sent: &str,
    field: &str,
    reader: &mut ValuesReader,
) -> Result<(), Error> {
    let text = JsonText::new(sent);
    let superstep: Superstep<'_> = read_struct(&text, field)?;
    let field = format!("{field}.updates");
    let mut number = 0_usize;
    let read = for_each(superstep.updates.get(), |part| {
        let field = format!("{field}[{number}]");
        number += 1;
        let text = JsonText::new(part);
        let part: Part<'_> = read_struct(&text, &field)?;
        check_name(&format!("{field}.as_node"), &part.as_node)?;
        if part.command.is_some() {
            return Err(Error::Invalid(format!(
                "{field}.command: this server stores threads and does not run graphs"
            )));
        }
        if let Some(values) = part.values {
            reader.add(update, values.get(), &format!("{field}.values"))?;
        }
        update.as_node = Some(part.as_node);
        Ok(())
    });
    read.map_err(|_| Error::Invalid(format!("{field}: expected a list")))?
}

fn read_struct<'a, T: Deserialize<'a>>(text: &'a JsonText<&str>, field: &str) -> Result<T, Error> {
    let read = if text.is_object() {
        text.read()
    } else {
        Err(serde_json::Error::custom("expected an object"))
    };
    read.map_err(|error| refused_at(field, &error))
}

fn read_object<'a, T: Deserialize<'a>>(text: &'a str, field: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| refused_at(field, &error))
}

fn refused_at(field: &str, error: &serde_json::Error) -> Error {
    let why = error.to_string();
    Error::Invalid(format!("{field}: {}", excerpt(without_position(&why))))
}
