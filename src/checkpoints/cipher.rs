//! Values of the encrypted serializer: AES in EAX mode, with a nonce and a tag of 16 bytes each
//! before the ciphertext.

use aes::{Aes128, Aes192, Aes256};
use eax::Eax;
use eax::aead::{Aead as _, KeyInit as _, Nonce};
use secrecy::{ExposeSecret as _, SecretSlice};

/// Bytes of the nonce, and of the tag.
const BLOCK: usize = 16;

/// The key of the encrypted serializer, `LANGGRAPH_AES_KEY`: 16, 24 or 32 bytes.
#[derive(Debug, Clone)]
pub struct AesKey(SecretSlice<u8>);

impl AesKey {
    /// A key of these bytes. `None`: the length is not 16, 24 or 32.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<AesKey> {
        matches!(bytes.len(), 16 | 24 | 32).then(|| AesKey(bytes.to_vec().into()))
    }

    /// Decrypts bytes. `None`: they were not encrypted with this key.
    pub(super) fn decrypt(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = bytes.split_at_checked(BLOCK)?;
        let (tag, text) = rest.split_at_checked(BLOCK)?;
        // The library expects the tag after the ciphertext.
        let sealed = [text, tag].concat();
        macro_rules! open {
            ($aes:ty, $key:expr) => {
                Eax::<$aes>::new_from_slice($key)
                    .ok()?
                    .decrypt(&Nonce::<Eax<$aes>>::try_from(nonce).ok()?, sealed.as_slice())
                    .ok()
            };
        }
        match self.0.expose_secret() {
            key if key.len() == 16 => open!(Aes128, key),
            key if key.len() == 24 => open!(Aes192, key),
            key => open!(Aes256, key),
        }
    }
}
