//! The parts of a stream of server-sent events that this server reads: its first event, and whether
//! it ends at the end of an event.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

/// Maximum bytes that are searched for the end of the first event.
const MAX_FIRST: usize = 16 * 1024;

/// The last bytes that have passed. In HTTP the closing of a connection can be the end of
/// an answer, and then only these bytes tell a complete stream from a cut one.
#[derive(Debug, Default)]
pub(super) struct End {
    last: [u8; 4],
    length: usize,
}

impl End {
    /// Notes that these bytes have passed.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(4);
        self.last.rotate_left(kept);
        let (new, old) = (bytes.iter().rev(), self.last.iter_mut().rev());
        for (byte, place) in new.zip(old) {
            *place = *byte;
        }
        self.length = (self.length + bytes.len()).min(4);
    }

    /// Whether the stream is at the end of an event, or was empty.
    pub(super) fn is_whole(&self) -> bool {
        let last = self.last.get(4 - self.length..).unwrap_or_default();
        last.is_empty() || without_line_end(last).and_then(without_line_end).is_some()
    }
}

fn without_line_end(text: &[u8]) -> Option<&[u8]> {
    text.strip_suffix(b"\n").map(|text| text.strip_suffix(b"\r").unwrap_or(text))
}

/// The received part of the first event of a stream.
#[derive(Debug, Default)]
pub(super) struct First(BytesMut);

impl First {
    /// Adds received bytes. Breaks at the end of the event, with the run that it names, if any.
    pub(super) fn take(&mut self, bytes: &Bytes) -> ControlFlow<Option<Uuid>> {
        self.0.extend_from_slice(bytes);
        let text = String::from_utf8_lossy(&self.0).replace("\r\n", "\n").replace('\r', "\n");
        for event in text.split_inclusive("\n\n").filter(|event| event.ends_with("\n\n")) {
            let data = event.lines().find_map(|line| line.strip_prefix("data:"));
            if let Some(data) = data {
                return ControlFlow::Break(run_of(data.trim()));
            }
        }
        if self.0.len() > MAX_FIRST { ControlFlow::Break(None) } else { ControlFlow::Continue(()) }
    }
}

/// The run that a JSON value names.
pub(super) fn run_of(json: &str) -> Option<Uuid> {
    #[derive(serde::Deserialize)]
    struct About {
        run_id: Option<Uuid>,
        result: Option<Box<About>>,
    }
    let about: About = serde_json::from_str(json).ok()?;
    about.run_id.or(about.result.and_then(|result| result.run_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_whole_where_an_event_ends() {
        for (parts, is_whole) in [
            (&[][..], true),
            (&["data: 1\n\n"], true),
            (&["data: 1\r\n", "\r\n"], true),
            (&["data: 1\r\n\r", "\n"], true),
            (&["data: 1\n", "\n"], true),
            (&["d", "a", "\n", "\n"], true),
            (&["data: {\"a\":"], false),
            (&["data: 1\n"], false),
            (&["data: 1\r\n"], false),
            (&["data: 1\n\n", "d"], false),
            (&["\n\n\n\n", "abc\n"], false),
        ] {
            let mut end = End::default();
            for part in parts {
                end.pass(part.as_bytes());
            }
            assert_eq!(end.is_whole(), is_whole, "{parts:?}");
        }
    }

    #[test]
    fn the_first_event_names_its_run_however_it_is_cut() {
        const R: &str = "0195e6f0-0000-7000-8000-00000000000b";
        for end in ["\n", "\r\n"] {
            let text = format!(
                ": comment{end}{end}event: metadata{end}data: {{\"run_id\":\"{R}\",\"attempt\":1}}{end}{end}data: x"
            );
            let mut first = First::default();
            let found = text
                .as_bytes()
                .iter()
                .find_map(|byte| first.take(&Bytes::copy_from_slice(&[*byte])).break_value());
            assert_eq!(found, Some(Uuid::parse_str(R).ok()));
        }
        let mut first = First::default();
        assert_eq!(first.take(&Bytes::from_static(b"data: [1]\n\n")), ControlFlow::Break(None));
        let long = Bytes::from(vec![b'x'; MAX_FIRST + 1]);
        assert_eq!(First::default().take(&long), ControlFlow::Break(None));
        let result = format!(r#"{{"type":"success","result":{{"run_id":"{R}"}}}}"#);
        assert_eq!(run_of(&result), Uuid::parse_str(R).ok());
    }
}
