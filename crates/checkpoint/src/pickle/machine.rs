//! The opcodes.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Cursor, Heap, Object, PickleError, Ref, Value};

/// The most opcodes of one pickle, which bounds its stack and its containers.
const MAX_STEPS: u64 = 1 << 25;

/// Reads one pickle up to its end and gives the value that it describes.
pub fn load<'a>(cursor: &mut Cursor<'a>, heap: &mut Heap<'a>) -> Result<Ref, PickleError> {
    let mut machine = Machine {
        cursor,
        heap,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Memo::default(),
    };
    for _ in 0..MAX_STEPS {
        if let Some(result) = machine.step()? {
            return Ok(result);
        }
    }
    Err(PickleError::TooLarge("its pickle has millions of opcodes"))
}

struct Machine<'m, 'a> {
    cursor: &'m mut Cursor<'a>,
    heap: &'m mut Heap<'a>,
    stack: Vec<Ref>,
    /// Where the open marks are in the stack.
    marks: Vec<usize>,
    memo: Memo,
}

type Step<T = ()> = Result<T, PickleError>;

impl<'a> Machine<'_, 'a> {
    /// One opcode; the result at the last.
    fn step(&mut self) -> Step<Option<Ref>> {
        match self.cursor.byte()? {
            // PROTO and FRAME say how the rest is written, which the opcodes say themselves.
            0x80 => drop(self.cursor.byte()?),
            0x95 => drop(self.cursor.length(8)?),
            b'.' => return self.pop().map(Some),

            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.pop_or_mark()?,
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }

            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'I' => {
                let line = self.cursor.text_line()?;
                let value = match &*line {
                    "00" => Value::Bool(false),
                    "01" => Value::Bool(true),
                    digits => self.integer(digits)?,
                };
                self.push(value)?;
            }
            b'L' => {
                let line = self.cursor.text_line()?;
                let value = self.integer(line.strip_suffix('L').unwrap_or(&line))?;
                self.push(value)?;
            }
            b'J' => {
                let value = i32::from_le_bytes(self.cursor.array()?);
                self.push(Value::Int(value.into()))?;
            }
            b'K' => self.short_integer(1)?,
            b'M' => self.short_integer(2)?,
            0x8a => self.long_integer(1)?,
            0x8b => self.long_integer(4)?,
            b'F' => {
                self.cursor.line()?;
                self.push(Value::Float)?;
            }
            b'G' => {
                self.cursor.take(8)?;
                self.push(Value::Float)?;
            }

            b'S' => {
                let line = self.cursor.text_line()?;
                let text = self.quoted(line)?;
                self.push(Value::Text(text))?;
            }
            b'V' => {
                let text = unescaped(self.cursor.text_line()?);
                self.push(Value::Text(text))?;
            }
            b'U' => self.text(1)?,
            b'T' => self.text(4)?,
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b'C' => self.bytes(1)?,
            b'B' => self.bytes(4)?,
            0x8e | 0x96 => self.bytes(8)?,

            b')' => self.push(Value::Tuple(Vec::new()))?,
            b't' => {
                let elements = self.pop_to_mark()?;
                self.push(Value::Tuple(elements))?;
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b']' => self.push(Value::List(Vec::new()))?,
            b'l' => {
                let elements = self.pop_to_mark()?;
                self.push(Value::List(elements))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b'd' => {
                let items = self.pop_to_mark()?;
                let entries = self.pairs(&items)?;
                self.push(Value::Dict(entries))?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                let entries = self.pairs(&items)?;
                self.set(entries)?;
            }
            0x8f => self.push(Value::Set(Vec::new()))?,
            0x90 => {
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            0x91 => {
                let items = self.pop_to_mark()?;
                self.push(Value::Set(items))?;
            }

            b'c' => {
                let (module, name) = (self.cursor.text_line()?, self.cursor.text_line()?);
                self.push(Value::Global(Box::new((module, name))))?;
            }
            0x93 => self.stack_global()?,
            b'i' => {
                let (module, name) = (self.cursor.text_line()?, self.cursor.text_line()?);
                let arguments = self.pop_to_mark()?;
                let class = self.heap.put(Value::Global(Box::new((module, name))))?;
                let arguments = self.heap.put(Value::Tuple(arguments))?;
                self.object(class, arguments, false)?;
            }
            b'o' => {
                let mut arguments = self.pop_to_mark()?;
                if arguments.is_empty() {
                    return Err(self.cursor.damaged("an object has no class"));
                }
                let class = arguments.remove(0);
                let arguments = self.heap.put(Value::Tuple(arguments))?;
                self.object(class, arguments, false)?;
            }
            b'R' => {
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.object(callee, arguments, false)?;
            }
            0x81 => {
                let arguments = self.pop()?;
                let class = self.pop()?;
                self.object(class, arguments, true)?;
            }
            0x92 => {
                let _keywords = self.pop()?;
                let arguments = self.pop()?;
                let class = self.pop()?;
                self.object(class, arguments, true)?;
            }
            b'b' => {
                let state = self.pop()?;
                self.build(state)?;
            }
            // Extensions are registered by number in the program that reads.
            0x82 => drop((self.cursor.length(1)?, self.push(Value::Opaque)?)),
            0x83 => drop((self.cursor.length(2)?, self.push(Value::Opaque)?)),
            0x84 => drop((self.cursor.length(4)?, self.push(Value::Opaque)?)),

            b'P' => {
                let text = self.cursor.text_line()?;
                let id = self.heap.put(Value::Text(text))?;
                self.push(Value::Persistent(id))?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))?;
            }
            0x97 => self.push(Value::Opaque)?,
            0x98 => {}

            b'p' => {
                let index = self.memo_line()?;
                self.remember(index)?;
            }
            b'q' => {
                let index = self.cursor.length(1)?;
                self.remember(index)?;
            }
            b'r' => {
                let index = self.cursor.length(4)?;
                self.remember(index)?;
            }
            0x94 => {
                let index = self.memo.len();
                self.remember(index)?;
            }
            b'g' => {
                let index = self.memo_line()?;
                self.recall(index)?;
            }
            b'h' => {
                let index = self.cursor.length(1)?;
                self.recall(index)?;
            }
            b'j' => {
                let index = self.cursor.length(4)?;
                self.recall(index)?;
            }
            other => {
                let message = format!("{other:#04x} is no opcode");
                return Err(self.cursor.damaged(message));
            }
        }
        Ok(None)
    }

    fn push(&mut self, value: Value<'a>) -> Step {
        let at = self.heap.put(value)?;
        self.stack.push(at);
        Ok(())
    }

    /// The top of the stack, above the last mark.
    fn top(&self) -> Step<Ref> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(top) if self.stack.len() > floor => Ok(*top),
            _ => Err(self.cursor.damaged("the stack is empty")),
        }
    }

    fn pop(&mut self) -> Step<Ref> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// POP drops a mark where nothing is above it.
    fn pop_or_mark(&mut self) -> Step {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    /// Everything above the last mark.
    fn pop_to_mark(&mut self) -> Step<Vec<Ref>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.cursor.damaged("there is no mark on the stack")),
        }
    }

    fn pairs(&self, items: &[Ref]) -> Step<Vec<(Ref, Ref)>> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.cursor.damaged("a key has no value"));
        }
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }

    fn integer(&self, digits: &str) -> Step<Value<'a>> {
        let digits = digits.trim();
        match digits.parse() {
            Ok(value) => Ok(Value::Int(value)),
            Err(_) if !digits.is_empty() && digits.trim_start_matches('-').len() > 38 => {
                Ok(Value::Opaque)
            }
            Err(_) => Err(self.cursor.damaged("a number is expected")),
        }
    }

    fn short_integer(&mut self, width: u64) -> Step {
        let value = self.cursor.length(width)?;
        self.push(Value::Int(value.into()))
    }

    /// Two's complement, lowest byte first, of a length that stands before it.
    fn long_integer(&mut self, width: u64) -> Step {
        let length = self.cursor.length(width)?;
        let bytes = self.cursor.take(length)?;
        let is_negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut whole = [if is_negative { 0xff } else { 0 }; 16];
        let value = match whole.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Value::Int(i128::from_le_bytes(whole))
            }
            None => Value::Opaque,
        };
        self.push(value)
    }

    fn text(&mut self, width: u64) -> Step {
        let length = self.cursor.length(width)?;
        let bytes = self.cursor.take(length)?;
        // Strings of Python 2 are bytes; names are text in either.
        let value = match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(Cow::Borrowed(text)),
            Err(_) => Value::Bytes(bytes),
        };
        self.push(value)
    }

    fn bytes(&mut self, width: u64) -> Step {
        let length = self.cursor.length(width)?;
        let bytes = self.cursor.take(length)?;
        self.push(Value::Bytes(bytes))
    }

    /// A string in quotes, as Python 2 wrote it.
    fn quoted(&self, line: Cow<'a, str>) -> Step<Cow<'a, str>> {
        let inside = ['\'', '"'].iter().find_map(|quote| {
            line.strip_prefix(*quote)?
                .strip_suffix(*quote)
                .map(str::to_owned)
        });
        match inside {
            Some(text) => Ok(Cow::Owned(text)),
            None => Err(self.cursor.damaged("a quoted string is expected")),
        }
    }

    fn tuple(&mut self, count: usize) -> Step {
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(self.pop()?);
        }
        elements.reverse();
        self.push(Value::Tuple(elements))
    }

    fn append(&mut self, items: &[Ref]) -> Step {
        let at = self.top()?;
        match self.heap.get_mut(at) {
            Value::List(elements) | Value::Set(elements) => elements.extend_from_slice(items),
            Value::Object(object) => object.items.extend_from_slice(items),
            _ => return Err(self.cursor.damaged("something is appended to no list")),
        }
        Ok(())
    }

    fn set(&mut self, new: Vec<(Ref, Ref)>) -> Step {
        let at = self.top()?;
        match self.heap.get_mut(at) {
            Value::Dict(entries) => entries.extend(new),
            Value::Object(object) => object.entries.extend(new),
            _ => return Err(self.cursor.damaged("a key is set in no dictionary")),
        }
        Ok(())
    }

    fn build(&mut self, state: Ref) -> Step {
        let at = self.top()?;
        match self.heap.get_mut(at) {
            Value::Object(object) => object.state = Some(state),
            _ => return Err(self.cursor.damaged("a state is given to no object")),
        }
        Ok(())
    }

    fn stack_global(&mut self) -> Step {
        let (name, module) = (self.pop()?, self.pop()?);
        let text = |at| match self.heap.get(at) {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        let Some((module, name)) = text(module).zip(text(name)) else {
            return Err(self.cursor.damaged("a global has no name"));
        };
        self.push(Value::Global(Box::new((module, name))))
    }

    fn object(&mut self, callee: Ref, arguments: Ref, is_instance: bool) -> Step {
        if !matches!(self.heap.get(arguments), Value::Tuple(_)) {
            let message = "something is called with arguments that are no tuple";
            return Err(self.cursor.damaged(message));
        }
        self.push(Value::Object(Box::new(Object {
            callee,
            is_instance,
            arguments,
            state: None,
            items: Vec::new(),
            entries: Vec::new(),
        })))
    }

    fn memo_line(&mut self) -> Step<u64> {
        let line = self.cursor.text_line()?;
        let index = line.trim().parse();
        index.map_err(|_| self.cursor.damaged("a number is expected"))
    }

    fn remember(&mut self, index: u64) -> Step {
        let top = self.top()?;
        self.memo.put(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Step {
        match self.memo.get(index) {
            Some(value) => self.stack.push(value),
            None => {
                let message = format!("value {index} is used and was never kept");
                return Err(self.cursor.damaged(message));
            }
        }
        Ok(())
    }
}

/// `\uXXXX` and `\UXXXXXXXX`, which protocol 0 writes for what its lines cannot hold.
fn unescaped(line: Cow<'_, str>) -> Cow<'_, str> {
    if !line.contains('\\') {
        return line;
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = &*line;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let width = match rest.as_bytes().get(1) {
            Some(b'u') => 4,
            Some(b'U') => 8,
            _ => 0,
        };
        let code = rest
            .get(2..2 + width)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match code.and_then(char::from_u32) {
            Some(character) => {
                out.push(character);
                rest = &rest[2 + width..];
            }
            None => {
                out.push('\\');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Values by the numbers that the pickle gives them. Picklers count up, so they stand in a list; a
/// pickle that does not costs no more than its opcodes.
#[derive(Default)]
struct Memo {
    dense: Vec<Ref>,
    sparse: HashMap<u64, Ref>,
}

impl Memo {
    fn len(&self) -> u64 {
        (self.dense.len() + self.sparse.len()) as u64
    }

    fn put(&mut self, index: u64, value: Ref) {
        match usize::try_from(index) {
            Ok(at) if at < self.dense.len() => self.dense[at] = value,
            Ok(at) if at == self.dense.len() => self.dense.push(value),
            _ => drop(self.sparse.insert(index, value)),
        }
    }

    fn get(&self, index: u64) -> Option<Ref> {
        let dense = usize::try_from(index)
            .ok()
            .and_then(|at| self.dense.get(at));
        dense.or_else(|| self.sparse.get(&index)).copied()
    }
}
