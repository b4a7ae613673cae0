//! Where the parser keeps what does not stand in the text as it is.

use typed_arena::Arena as Typed;

/// Owns strings with escapes and the elements of tensors, for as long as the model lives.
#[derive(Default)]
pub struct Arena {
    strings: Typed<String>,
    bytes: Typed<Vec<u8>>,
}

impl Arena {
    /// Keeps a string.
    pub fn string(&self, text: String) -> &str {
        self.strings.alloc(text)
    }

    /// Keeps bytes.
    pub fn bytes(&self, bytes: Vec<u8>) -> &[u8] {
        self.bytes.alloc(bytes)
    }
}
