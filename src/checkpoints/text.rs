//! JSON strings.

use std::fmt::Write as _;

/// Writes a JSON string. U+0000 becomes U+FFFD, as on the reference server: `jsonb` cannot hold it.
pub(super) fn push_text(out: &mut String, value: &str) {
    out.push('"');
    // Almost all texts have nothing to escape, which is checked for many bytes at a time.
    if !value.bytes().fold(false, |found, byte| found | is_escaped(byte)) {
        out.push_str(value);
        out.push('"');
        return;
    }
    let mut plain = 0;
    for (index, byte) in value.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0C => "\\f",
            0 => "\u{FFFD}",
            1..=0x1F => "",
            _ => continue,
        };
        // An escaped byte is a whole character.
        out.push_str(value.get(plain..index).unwrap_or_default());
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        plain = index + 1;
    }
    out.push_str(value.get(plain..).unwrap_or_default());
    out.push('"');
}

fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}
