//! What `torch.save` wrote before it wrote archives (and does with
//! `_use_new_zipfile_serialization=False`): a magic number, a version, a description of the
//! machine, the object and the keys of its storages, each a pickle; then the storages, each with
//! its number of elements before it. Also plain pickles, which hold tensors whole.

use crate::element::Element;
use crate::error::{CheckpointError, Result};
use crate::model::Format;
use crate::pickle::{Cursor, Heap, Ref, Value, load};
use crate::torch::{Storages, Walked, stored, walk};

/// `torch.serialization.MAGIC_NUMBER`
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// What stands in such a file.
pub struct Legacy<'a> {
    /// All values.
    pub heap: Heap<'a>,
    /// What was saved.
    pub root: Ref,
    /// The keys of the storages that follow, and where they begin; a plain pickle has none.
    storages: Option<(Ref, usize)>,
}

/// Reads the structure of a file.
pub fn read<'a>(bytes: &'a [u8], file: &str) -> Result<Legacy<'a>> {
    let fail = |error| CheckpointError::pickle(file, "", error);
    let mut cursor = Cursor::new(bytes);
    let mut heap = Heap::default();
    let first = load(&mut cursor, &mut heap).map_err(fail)?;
    if !matches!(heap.get(first), Value::Int(MAGIC)) {
        return Ok(Legacy {
            heap,
            root: first,
            storages: None,
        });
    }
    let _version = load(&mut cursor, &mut heap).map_err(fail)?;
    let _machine = load(&mut cursor, &mut heap).map_err(fail)?;
    let root = load(&mut cursor, &mut heap).map_err(fail)?;
    let keys = load(&mut cursor, &mut heap).map_err(fail)?;
    let end = cursor.offset();
    Ok(Legacy {
        heap,
        root,
        storages: Some((keys, end)),
    })
}

impl Legacy<'_> {
    /// How the file is written.
    pub fn format(&self) -> Format {
        match self.storages {
            Some(_) => Format::TorchLegacy,
            None => Format::Pickle,
        }
    }

    /// Finds the tensors. The error is a sentence.
    pub fn walk(
        &self,
        storages: &mut Storages<'_>,
        length: usize,
    ) -> std::result::Result<Walked, String> {
        let walked = walk(&self.heap, storages, self.root)?;
        if let Some((keys, start)) = self.storages {
            self.check_end(storages, keys, start, length)?;
        }
        Ok(walked)
    }

    /// Whether the storages that tensors use are all there.
    fn check_end(
        &self,
        storages: &Storages<'_>,
        keys: Ref,
        start: usize,
        length: usize,
    ) -> std::result::Result<(), String> {
        let keys = self.heap.elements(keys).ok_or("its storages are no list")?;
        let mut end = start as u64;
        let mut found = 0;
        for key in keys {
            let key = self.heap.text(*key).ok_or("a storage has no key")?;
            // A storage that no tensor uses has a size that is not known here.
            let size = storages.size(key).unwrap_or(0);
            found += usize::from(storages.size(key).is_some());
            end = end.saturating_add(8).saturating_add(size);
        }
        if found < storages.named_count() {
            return Err("tensors use storages that do not follow".into());
        }
        if end > length as u64 {
            return Err(format!(
                "the file ends after {length} bytes, but its tensors need {end}"
            ));
        }
        Ok(())
    }
}

/// The element type and the number of elements of a storage that is a file in the file.
pub fn inline_storage(bytes: &[u8]) -> std::result::Result<(Element, u64), String> {
    let legacy = read(bytes, "").map_err(|_| "a storage in the pickle is damaged")?;
    let Value::Persistent(id) = legacy.heap.get(legacy.root) else {
        return Err("a storage in the pickle is none".into());
    };
    let (_, element, elements) = stored(&legacy.heap, *id)?;
    Ok((element, elements))
}
