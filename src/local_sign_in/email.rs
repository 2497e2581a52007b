//! E-mail addresses, with the checks of Supabase Auth.

use super::error::Refusal;

const LONGEST: usize = 255;

/// A well-formed address in lower case.
pub(super) struct Email(String);

impl Email {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Err(Refusal::validation("An email address is required"));
        }
        if text.len() > LONGEST {
            return Err(Refusal::validation("An email address is too long"));
        }
        if !is_well_formed(text) {
            return Err(Refusal::validation("Unable to validate email address: invalid format"));
        }
        Ok(Self(text.to_lowercase()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The addresses that browsers accept in `<input type="email">` (WHATWG HTML), which is also the
/// check of Supabase Auth.
fn is_well_formed(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let is_local_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    !local.is_empty() && local.bytes().all(is_local_byte) && domain.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::is_well_formed;

    #[test]
    fn takes_what_a_browser_takes_and_nothing_else() {
        for good in ["a@b", "a.b+c@example.com", "o'hara@x-y.co.uk", "1@2.3"] {
            assert!(is_well_formed(good), "{good}");
        }
        for bad in [
            "", "a", "@b", "a@", "a b@c", "a@b c", "a@-b", "a@b-", "a@b..c", "a@b@c", "ü@b",
            "a\0@b",
        ] {
            assert!(!is_well_formed(bad), "{bad:?}");
        }
    }
}
