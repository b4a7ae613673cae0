//! Tensors in pickles: `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)` and its
//! relatives (torch/_utils.py of torch 2.15; older releases call fewer of them).

use std::collections::HashMap;

use crate::element::Element;
use crate::legacy;
use crate::pickle::{Heap, Ref, Value};

/// How deep tensors may be wrapped: a subclass around a parameter around a tensor.
const MAX_WRAPPING: u32 = 4;

/// The most dimensions, which is PyTorch's own limit.
const MAX_RANK: usize = 64;

/// A tensor as the file describes it.
#[derive(Clone, Debug)]
pub struct RawTensor {
    /// Its sizes.
    pub shape: Vec<u64>,
    /// Its element type.
    pub element: Element,
    /// Its elements; PyTorch allows no more than 2⁶³ of them.
    pub numel: u64,
    /// Where its elements are; nowhere for meta tensors.
    pub slice: Option<Slice>,
    /// Where the indices and values of a sparse tensor are.
    pub parts: Vec<Slice>,
    /// Bytes of its own that stand in the pickle.
    pub more_bytes: u64,
    /// Whether it is an `nn.Parameter`.
    pub is_parameter: bool,
    /// Whether it has `requires_grad`.
    pub requires_grad: bool,
}

/// A part of a storage.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// Which storage, by its place in [`Storages`].
    pub storage: usize,
    /// The first byte.
    pub start: u64,
    /// How many bytes lie between the first and the last element.
    pub length: u64,
}

/// The bytes of a storage by its key.
type SizeOf<'s> = dyn Fn(&str) -> Option<u64> + 's;

/// The storages of a file, and where their sizes are checked.
#[derive(Default)]
pub struct Storages<'s> {
    /// Bytes of each.
    sizes: Vec<u64>,
    by_key: HashMap<String, usize>,
    /// Storages that stand in the pickle itself, by their bytes there.
    inline: HashMap<Ref, (usize, Element)>,
    in_archive: Option<&'s SizeOf<'s>>,
}

impl<'s> Storages<'s> {
    /// Storages of an archive, which says how many bytes it has of each.
    pub fn of_archive(in_archive: &'s SizeOf<'s>) -> Storages<'s> {
        Storages {
            in_archive: Some(in_archive),
            ..Storages::default()
        }
    }

    /// The bytes of each storage.
    pub fn sizes(&self) -> &[u64] {
        &self.sizes
    }

    /// The bytes of a storage by its key in the file.
    pub fn size(&self, key: &str) -> Option<u64> {
        Some(self.sizes[*self.by_key.get(key)?])
    }

    /// How many storages the file has under keys.
    pub fn named_count(&self) -> usize {
        self.by_key.len()
    }

    /// A storage that the file has under a key.
    fn named(&mut self, key: &str, bytes: u64) -> Result<usize, String> {
        if let Some(at) = self.by_key.get(key) {
            return match self.sizes[*at] == bytes {
                true => Ok(*at),
                false => Err("one storage is given two sizes".into()),
            };
        }
        if let Some(in_archive) = self.in_archive {
            match in_archive(key) {
                None => return Err(format!("the tensor data data/{key} is missing")),
                Some(size) if size < bytes => {
                    return Err(format!(
                        "data/{key} has {size} bytes, but its tensors need {bytes}"
                    ));
                }
                Some(_) => {}
            }
        }
        self.sizes.push(bytes);
        self.by_key.insert(key.to_owned(), self.sizes.len() - 1);
        Ok(self.sizes.len() - 1)
    }

    /// A storage that stands in the pickle itself.
    fn inline(&mut self, at: Ref, content: &[u8]) -> Result<(usize, Element), String> {
        if let Some(known) = self.inline.get(&at) {
            return Ok(known.clone());
        }
        let (element, elements) = legacy::inline_storage(content)?;
        self.sizes.push(bytes(&element, elements)?);
        let storage = (self.sizes.len() - 1, element);
        self.inline.insert(at, storage.clone());
        Ok(storage)
    }
}

/// The tensor that a value is, if it is one. The error is a sentence.
pub fn tensor(
    heap: &Heap<'_>,
    storages: &mut Storages<'_>,
    at: Ref,
) -> Result<Option<RawTensor>, String> {
    Reader { heap, storages }.value(at, 0)
}

struct Reader<'r, 'h, 's> {
    heap: &'r Heap<'h>,
    storages: &'r mut Storages<'s>,
}

type Read<T> = Result<T, String>;

impl Reader<'_, '_, '_> {
    fn value(&mut self, at: Ref, depth: u32) -> Read<Option<RawTensor>> {
        let Value::Object(object) = self.heap.get(at) else {
            return Ok(None);
        };
        self.call(object.callee, object.arguments, depth)
    }

    fn call(&mut self, callee: Ref, arguments: Ref, depth: u32) -> Read<Option<RawTensor>> {
        let (Some(callee), Some(arguments)) =
            (self.heap.global(callee), self.heap.elements(arguments))
        else {
            return Ok(None);
        };
        let argument = |index: usize| {
            let message = || format!("{} lacks its argument {}", callee.1, index + 1);
            arguments.get(index).copied().ok_or_else(message)
        };
        match callee {
            ("torch._utils", "_rebuild_tensor") => self.strided(arguments, None, false).map(Some),
            ("torch._utils", "_rebuild_tensor_v2") => {
                let requires_grad = self.heap.is_true(argument(4)?);
                self.strided(arguments, None, requires_grad).map(Some)
            }
            ("torch._utils", "_rebuild_tensor_v3") => {
                let requires_grad = self.heap.is_true(argument(4)?);
                let element = self.element(argument(6)?)?;
                self.strided(arguments, Some(element), requires_grad)
                    .map(Some)
            }
            ("torch._utils", "_rebuild_qtensor") => {
                let requires_grad = self.heap.is_true(argument(5)?);
                self.strided(arguments, None, requires_grad).map(Some)
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.nn.parameter", "Parameter") => {
                let Some(mut tensor) = self.inner(argument(0)?, depth)? else {
                    return Ok(None);
                };
                tensor.is_parameter = true;
                // Left out, it is trained: that is the default of nn.Parameter.
                tensor.requires_grad = arguments
                    .get(1)
                    .is_none_or(|trained| self.heap.is_true(*trained));
                Ok(Some(tensor))
            }
            ("torch._tensor", "_rebuild_from_type_v2" | "_rebuild_from_type") => {
                if depth >= MAX_WRAPPING {
                    return Err("a tensor is wrapped in too many others".into());
                }
                let found = self.call(argument(0)?, argument(2)?, depth + 1)?;
                let class = self.heap.global(argument(1)?);
                Ok(found.map(|mut tensor| {
                    tensor.is_parameter |= class == Some(("torch.nn.parameter", "Parameter"));
                    tensor
                }))
            }
            ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => {
                self.sparse(argument(1)?, depth).map(Some)
            }
            ("torch._utils", "_rebuild_meta_tensor_no_storage") => {
                let element = self.element(argument(0)?)?;
                let requires_grad = self.heap.is_true(argument(3)?);
                self.detached(argument(1)?, element, requires_grad)
                    .map(Some)
            }
            ("torch._utils", "_rebuild_wrapper_subclass") => {
                let element = self.element(argument(1)?)?;
                let requires_grad = self.heap.is_true(argument(7)?);
                self.detached(argument(2)?, element, requires_grad)
                    .map(Some)
            }
            ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor") => {
                let Some(mut tensor) = self.inner(argument(0)?, depth)? else {
                    return Ok(None);
                };
                tensor.requires_grad = self.heap.is_true(argument(3)?);
                Ok(Some(tensor))
            }
            ("torch._utils", "_rebuild_device_tensor_from_numpy" | "_rebuild_xla_tensor") => {
                let element = self.element(argument(1)?)?;
                let requires_grad = self.heap.is_true(argument(3)?);
                let shape = self.shape_of_array(argument(0)?);
                let shape = shape.ok_or("an array of a tensor has no shape")?;
                let mut tensor = self.detached(shape, element, requires_grad)?;
                tensor.more_bytes = bytes(&tensor.element, tensor.numel)?;
                Ok(Some(tensor))
            }
            _ => Ok(None),
        }
    }

    fn inner(&mut self, at: Ref, depth: u32) -> Read<Option<RawTensor>> {
        if depth >= MAX_WRAPPING {
            return Err("a tensor is wrapped in too many others".into());
        }
        self.value(at, depth + 1)
    }

    /// `(storage, offset, size, stride, …)`
    fn strided(
        &mut self,
        arguments: &[Ref],
        element: Option<Element>,
        requires_grad: bool,
    ) -> Read<RawTensor> {
        let [storage, offset, size, stride, ..] = *arguments else {
            return Err("a tensor lacks its storage, offset, size or stride".into());
        };
        let offset = self.heap.size(offset).ok_or("an offset is no size")?;
        let (storage, own) = self.storage(storage)?;
        let element = element.unwrap_or(own);
        let shape = self.sizes(size)?;
        let strides = self.sizes(stride)?;
        if shape.len() != strides.len() {
            return Err(format!(
                "a tensor has {} sizes and {} strides",
                shape.len(),
                strides.len()
            ));
        }
        let numel = numel(&shape)?;
        let extent = if numel == 0 {
            Some(0)
        } else {
            let mut steps = shape.iter().zip(&strides);
            steps.try_fold(1u64, |extent, (size, stride)| {
                extent.checked_add((size - 1).checked_mul(*stride)?)
            })
        };
        let reach = |elements: Option<u64>| elements.and_then(|count| element.bytes(count));
        let start = reach(Some(offset));
        let end = reach(extent.and_then(|extent| offset.checked_add(extent)));
        let whole = self.storages.sizes[storage];
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= whole || numel == 0))
        else {
            return Err(format!(
                "a tensor of shape {shape:?} reaches behind the end of its storage of {whole} bytes"
            ));
        };
        Ok(RawTensor {
            slice: Some(Slice {
                storage,
                start,
                length: end.saturating_sub(start),
            }),
            shape,
            element,
            numel,
            parts: Vec::new(),
            more_bytes: 0,
            is_parameter: false,
            requires_grad,
        })
    }

    /// A tensor whose elements are not in a storage of the file.
    fn detached(&mut self, size: Ref, element: Element, requires_grad: bool) -> Read<RawTensor> {
        let shape = self.sizes(size)?;
        Ok(RawTensor {
            numel: numel(&shape)?,
            shape,
            element,
            slice: None,
            parts: Vec::new(),
            more_bytes: 0,
            is_parameter: false,
            requires_grad,
        })
    }

    /// `(indices, values, size, …)` and, for compressed layouts, `(rows, columns, values, size)`.
    fn sparse(&mut self, data: Ref, depth: u32) -> Read<RawTensor> {
        let data = self
            .heap
            .elements(data)
            .ok_or("a sparse tensor has no data")?;
        let mut parts = Vec::new();
        let mut shape = None;
        for at in data.iter().take(8) {
            match self.inner(*at, depth)? {
                Some(part) => parts.push(part),
                None => shape = shape.or_else(|| self.sizes(*at).ok()),
            }
        }
        let (Some(shape), Some(values)) = (shape, parts.last()) else {
            return Err("a sparse tensor lacks its values or its size".into());
        };
        Ok(RawTensor {
            numel: numel(&shape)?,
            shape,
            element: values.element.clone(),
            slice: None,
            parts: parts.into_iter().filter_map(|part| part.slice).collect(),
            more_bytes: 0,
            is_parameter: false,
            requires_grad: false,
        })
    }

    /// The storage that an argument stands for, and its element type.
    fn storage(&mut self, at: Ref) -> Read<(usize, Element)> {
        match self.heap.get(at) {
            Value::Persistent(id) => {
                let (key, element, elements) = stored(self.heap, *id)?;
                let size = bytes(&element, elements)?;
                Ok((self.storages.named(key, size)?, element))
            }
            // `pickle.dump` of a tensor holds the storage as a file in the file.
            Value::Object(object)
                if self.heap.global(object.callee)
                    == Some(("torch.storage", "_load_from_bytes")) =>
            {
                let arguments = self.heap.elements(object.arguments).unwrap_or_default();
                let first = arguments.first().copied();
                match first.map(|at| (at, self.heap.get(at))) {
                    Some((at, Value::Bytes(content))) => self.storages.inline(at, content),
                    _ => Err("a storage is no bytes".into()),
                }
            }
            _ => Err("a tensor has no storage".into()),
        }
    }

    fn element(&self, at: Ref) -> Read<Element> {
        match self.heap.global(at) {
            Some(("torch", name)) => {
                Element::of(name).ok_or_else(|| format!("torch.{name} is no element type"))
            }
            _ => Err("an element type is expected".into()),
        }
    }

    /// A tuple of sizes, or `torch.Size` of one.
    fn sizes(&self, at: Ref) -> Read<Vec<u64>> {
        let list = match self.heap.get(at) {
            Value::Object(object) => {
                let arguments = self.heap.elements(object.arguments).unwrap_or_default();
                arguments
                    .first()
                    .and_then(|first| self.heap.elements(*first))
            }
            _ => self.heap.elements(at),
        };
        let list = list.ok_or("the sizes of a tensor are no list")?;
        if list.len() > MAX_RANK {
            return Err(format!("a tensor has {} dimensions", list.len()));
        }
        let size = |at: &Ref| {
            let size = self.heap.size(*at);
            size.ok_or_else(|| "a size of a tensor is no non-negative integer".to_string())
        };
        list.iter().map(size).collect()
    }

    /// The shape of a NumPy array: the second element of its state.
    fn shape_of_array(&self, at: Ref) -> Option<Ref> {
        match self.heap.get(at) {
            Value::Object(object) => self.heap.elements(object.state?)?.get(1).copied(),
            _ => None,
        }
    }
}

/// What a persistent id says of a storage: `("storage", class, key, location, elements, …)`.
pub fn stored<'h>(heap: &'h Heap<'_>, id: Ref) -> Read<(&'h str, Element, u64)> {
    let id = heap.elements(id).unwrap_or_default();
    let [kind, class, key, _, elements, ..] = *id else {
        return Err("a storage lacks its class, key or size".into());
    };
    if heap.text(kind) != Some("storage") {
        return Err("a tensor has no storage".into());
    }
    let (_, class) = heap.global(class).ok_or("a storage has no class")?;
    let element =
        Element::of_storage(class).ok_or_else(|| format!("{class} is no storage of PyTorch"))?;
    let key = heap.text(key).ok_or("a storage has no key")?;
    let elements = heap.size(elements).ok_or("a storage has no size")?;
    Ok((key, element, elements))
}

fn numel(shape: &[u64]) -> Read<u64> {
    // A size of zero makes the rest harmless, whatever it is.
    if shape.contains(&0) {
        return Ok(0);
    }
    let product = shape.iter().try_fold(1u64, |a, b| a.checked_mul(*b));
    product
        .filter(|numel| i64::try_from(*numel).is_ok())
        .ok_or_else(|| format!("a tensor of shape {shape:?} has more than 2⁶³ elements"))
}

fn bytes(element: &Element, elements: u64) -> Read<u64> {
    let bytes = element.bytes(elements);
    bytes.ok_or_else(|| format!("{elements} elements of {element} are larger than any file"))
}
