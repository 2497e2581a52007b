//! A file as the source of an import: the answer of `GET /export` or `GET /threads/{id}/export`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::api::Thread;
use super::failure::Failure;
use super::snapshot::Snapshot;
use crate::json::{Members, Object, Raw, for_each};

/// A file with the positions of its threads.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    reader: Mutex<BufReader<File>>,
    /// The position of each thread's line, in the order of the file. Of several lines of a thread
    /// the last counts.
    places: IndexMap<Uuid, u64>,
}

/// A line of a file.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    thread: Option<&'a RawValue>,
    #[serde(borrow, default)]
    state: Option<&'a RawValue>,
    /// All states, if the line is a whole thread.
    #[serde(borrow, default)]
    states: Option<&'a RawValue>,
    #[serde(default)]
    end: bool,
}

#[derive(Deserialize)]
struct Identified {
    thread_id: Uuid,
}

impl Archive {
    /// Finds the threads of a file that have `metadata` in theirs. A truncated file is refused.
    pub(super) fn open(path: &Path, metadata: &Object) -> Result<Archive, Failure> {
        let file = File::open(path);
        let file = file.map_err(|error| fatal(path, &format!("cannot be read: {error}")))?;
        let mut archive = Archive {
            path: path.to_owned(),
            reader: Mutex::new(BufReader::new(file)),
            places: IndexMap::new(),
        };
        let (mut places, mut place, mut number, mut is_whole) = (IndexMap::new(), 0, 0_u64, false);
        while let Some(text) = archive.read_at(place)? {
            number += 1;
            let here = place;
            place += text.len() as u64;
            if text.trim().is_empty() {
                continue;
            }
            let line: Line<'_> = serde_json::from_str(&text)
                .map_err(|_| fatal(path, &format!("line {number} is not a line of an export")))?;
            is_whole = line.end || line.states.is_some();
            let Some(thread) = line.thread else { continue };
            let Identified { thread_id } = serde_json::from_str(thread.get())
                .map_err(|_| fatal(path, &format!("line {number} has a thread without an id")))?;
            // A thread that was written to during the export occurs again later.
            places.shift_remove(&thread_id);
            if contains(thread.get(), metadata) {
                places.insert(thread_id, here);
            }
        }
        if !is_whole {
            return Err(fatal(path, "is incomplete: the end of the export is missing"));
        }
        archive.places = places;
        Ok(archive)
    }

    /// The ids of the threads, in the order of `updated_at`.
    pub(super) fn list(&self) -> Vec<Uuid> {
        self.places.keys().copied().collect()
    }

    /// A thread.
    pub(super) fn thread(&self, id: Uuid) -> Result<Option<Thread>, Failure> {
        let Some(place) = self.places.get(&id) else { return Ok(None) };
        let Some(text) = self.read_at(*place)? else { return Ok(None) };
        let line: Line<'_> = self.parse(&text)?;
        line.thread.map(|thread| self.parse(thread.get())).transpose()
    }

    /// All states of a thread, newest first.
    pub(super) fn history(
        &self,
        id: Uuid,
        mut take: impl FnMut(Snapshot) -> Result<(), String>,
    ) -> Result<Result<(), String>, Failure> {
        let Some(place) = self.places.get(&id) else { return Ok(Ok(())) };
        let mut place = *place;
        let mut is_first = true;
        while let Some(text) = self.read_at(place)? {
            place += text.len() as u64;
            if text.trim().is_empty() {
                continue;
            }
            let line: Line<'_> = self.parse(&text)?;
            if let Some(states) = line.states {
                let mut failure = None;
                let read = for_each(states.get(), |state| {
                    let state = self.parse(state).map_err(|error| failure = Some(error));
                    let state = state.map_err(|()| String::new())?;
                    take(state)
                });
                return match (failure, read) {
                    (Some(failure), _) => Err(failure),
                    (None, Ok(taken)) => Ok(taken),
                    (None, Err(_)) => Err(fatal(&self.path, "has states that are not a list")),
                };
            }
            match line.state {
                Some(state) => {
                    if let Err(why) = take(self.parse(state.get())?) {
                        return Ok(Err(why));
                    }
                }
                None if is_first => {}
                None => break,
            }
            is_first = false;
        }
        Ok(Ok(()))
    }

    /// The line at a position. `None`: the file ends there.
    fn read_at(&self, place: u64) -> Result<Option<String>, Failure> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let read = reader.stream_position().and_then(|now| {
            if now != place {
                reader.seek(SeekFrom::Start(place))?;
            }
            read_value(&mut reader, &mut text)
        });
        match read {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(text)),
            Err(error) => Err(fatal(&self.path, &format!("cannot be read: {error}"))),
        }
    }

    fn parse<'a, T: Deserialize<'a>>(&self, text: &'a str) -> Result<T, Failure> {
        serde_json::from_str(text)
            .map_err(|_| fatal(&self.path, "has a line that is not a line of an export"))
    }
}

/// Reads a line, or the whole file if it is the export of one thread, which has several lines.
fn read_value(reader: &mut BufReader<File>, text: &mut String) -> std::io::Result<usize> {
    let mut read = reader.read_line(text)?;
    let is_open = text.starts_with("{\"thread\":") && text.ends_with("\"states\":[\n");
    while is_open && !text.ends_with("\n]}\n") {
        let more = reader.read_line(text)?;
        if more == 0 {
            break;
        }
        read += more;
    }
    Ok(read)
}

/// Whether the metadata of a thread contains these top-level keys with these values.
fn contains(thread: &str, metadata: &Object) -> bool {
    let thread = Members::read(thread).unwrap_or_default();
    let held = thread.get("metadata").and_then(|held| Raw::from_text(held).ok());
    let held = held.and_then(|held| held.parse::<Object>().ok()).unwrap_or_default();
    metadata.iter().all(|(key, value)| {
        held.get(key).is_some_and(|held| crate::json::equal(held.text(), value.text()))
    })
}

fn fatal(path: &Path, why: &str) -> Failure {
    Failure::Fatal(format!("{} {why}", path.display()))
}
