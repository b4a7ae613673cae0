//! What kind of file this is: by its first bytes, and by its name where they do not tell.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use modelcost_core::diagnostic::Diagnostic;

/// The kinds of model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TOML spec.
    Spec,
    /// ONNX, binary.
    Onnx,
    /// ONNX's textual syntax.
    OnnxText,
    /// A zip archive: a `.pt2` program, a checkpoint, TorchScript.
    Archive,
    /// A checkpoint of another kind: a legacy pickle, safetensors, an index of shards.
    Checkpoint,
}

const KINDS: &str = "modelcost reads TOML specs (.toml), ONNX (.onnx, .onnxtxt), PyTorch programs (.pt2) and \
                     checkpoints (.pt, .pth, .ckpt, .safetensors)";

/// How much of a file is looked at: longer than the comment above most specs.
const HEAD: u64 = 4096;

/// Finds out what a file is.
///
/// # Errors
///
/// When it cannot be opened, is a folder, is empty, or is of no known kind.
pub fn detect(path: &Path) -> Result<Kind, Box<Diagnostic>> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Diagnostic::without_place("there is no such file").with_help("check the path")
        }
        _ => Diagnostic::without_place(format!("the file cannot be opened: {error}")),
    })?;
    if metadata.is_dir() {
        return Err(
            Diagnostic::without_place("this is a folder, not a model file")
                .with_help(KINDS)
                .into(),
        );
    }
    if metadata.len() == 0 {
        return Err(Diagnostic::without_place("the file is empty")
            .with_help(KINDS)
            .into());
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.map_err(|error| Diagnostic::without_place(format!("the file cannot be read: {error}")))?;
    of(path, &head).ok_or_else(|| {
        Diagnostic::without_place("this is no model file of a known kind")
            .with_help(KINDS)
            .into()
    })
}

fn of(path: &Path, head: &[u8]) -> Option<Kind> {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .map(str::to_ascii_lowercase);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if head.starts_with(b"PK") {
        return Some(Kind::Archive);
    }
    match extension.as_deref() {
        Some("toml") => Some(Kind::Spec),
        Some("onnx") => Some(Kind::Onnx),
        Some("onnxtxt" | "onnxtext") => Some(Kind::OnnxText),
        // An archive that does not begin as one is damaged; its reader says so.
        Some("pt2") => Some(Kind::Archive),
        Some("safetensors" | "pt" | "pth" | "ckpt" | "bin" | "pkl") => Some(Kind::Checkpoint),
        Some("json") if name.ends_with(".index.json") => Some(Kind::Checkpoint),
        _ => by_content(head),
    }
}

fn by_content(head: &[u8]) -> Option<Kind> {
    match head {
        // A protobuf whose first field is ModelProto's ir_version, a small number.
        [0x08, version, ..] if *version < 64 => Some(Kind::Onnx),
        // Pickle protocol 2 to 5.
        [0x80, 2..=5, ..] => Some(Kind::Checkpoint),
        // safetensors: the length of a JSON header, then the header.
        [_, _, _, _, _, 0, 0, 0, b'{', ..] => Some(Kind::Checkpoint),
        [b'<', ..] => Some(Kind::OnnxText),
        _ if begins_as_toml(head) => Some(Kind::Spec),
        _ => None,
    }
}

/// Whether the first line that is no comment is a table's head or a key with its value.
fn begins_as_toml(head: &[u8]) -> bool {
    let text = head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(head);
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut lines = lines.skip_while(|line| line.is_empty() || line.starts_with(b"#"));
    let is_key = |key: &[u8]| {
        let is_bare = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.\"' ".contains(byte);
        !key.is_empty() && key.iter().all(is_bare)
    };
    lines.next().is_some_and(|line| {
        let uncommented = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let head = uncommented.trim_ascii().strip_prefix(b"[");
        let value_at = line.iter().position(|byte| *byte == b'=');
        head.and_then(|head| head.strip_suffix(b"]"))
            .is_some_and(is_key)
            || value_at.is_some_and(|at| is_key(&line[..at]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_goes_before_names() {
        assert_eq!(
            of(Path::new("a.bin"), b"PK\x03\x04rest"),
            Some(Kind::Archive)
        );
        assert_eq!(
            of(Path::new("model"), &[0x08, 0x0a, 0x12, 0x07]),
            Some(Kind::Onnx)
        );
        assert_eq!(of(Path::new("model"), b"hello"), None);
        assert_eq!(of(Path::new("net.TOML"), b"[model]"), Some(Kind::Spec));
    }

    #[test]
    fn specs_are_told_without_a_name() {
        for text in [
            "[model]\nname = 'a'\n",
            "\u{feff}# a comment\r\n\r\n[model] # the model\r\n",
            "model.name = \"net\"\n",
        ] {
            assert_eq!(of(Path::new("-"), text.as_bytes()), Some(Kind::Spec));
        }
        for text in [
            "hello",
            "{\"a\": 1}",
            "[1, 2]",
            "x(a) = 1",
            "# only this",
            "= 1",
        ] {
            assert_eq!(of(Path::new("-"), text.as_bytes()), None, "{text}");
        }
    }
}
