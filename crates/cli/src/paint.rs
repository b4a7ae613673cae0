//! Colour, where standard output takes it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::LazyLock;

use anstream::ColorChoice;
use anstyle::Style;

/// Whether the answer is shown in colour: on terminals only, and not against NO_COLOR.
static IN_COLOUR: LazyLock<bool> =
    LazyLock::new(|| anstream::AutoStream::choice(&io::stdout()) != ColorChoice::Never);

/// Adds what `write` adds, in a style.
pub fn paint(out: &mut String, style: Style, write: impl FnOnce(&mut String)) {
    if *IN_COLOUR {
        let _ = write!(out, "{style}");
        write(out);
        let _ = write!(out, "{style:#}");
    } else {
        write(out);
    }
}

/// A text in a style.
pub fn styled(style: Style, text: &str) -> String {
    let mut out = String::new();
    paint(&mut out, style, |out| out.push_str(text));
    out
}

/// Writes the answer. Where it is not shown in colour no sequence of control characters is left in
/// it: names in files may hold them too.
pub fn print(text: &str) -> io::Result<()> {
    // Without an end at the first one, which takes an eighth of the time.
    let is_control = |byte: u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    let has_controls = || text.bytes().fold(false, |any, byte| any | is_control(byte));
    if *IN_COLOUR {
        anstream::stdout().write_all(text.as_bytes())?;
    } else if !has_controls() {
        io::stdout().write_all(text.as_bytes())?;
    } else {
        // Stripped first: through the stream, every line would be a call of the system.
        let plain = anstream::adapter::strip_str(text).to_string();
        io::stdout().write_all(plain.as_bytes())?;
    }
    io::stdout().flush()
}
