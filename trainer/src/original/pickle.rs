//! Python's pickles, as far as `torch.save` of a `state_dict` needs them. Nothing is executed: what a pickle may name is
//! a short list, and each name is a value here, no code. Any other instruction or name is an error.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

/// Instructions; each takes time and memory that is bounded. A predictor's pickle has some hundred.
const MOST: usize = 1 << 20;
/// Dimensions of a tensor.
const DIMENSIONS: usize = 4;

/// What a pickle holds: values that refer to each other, as dicts may be shared.
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
    /// Of the file, behind the pickle.
    pub end: usize,
}

/// Which of a pickle's values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(usize);

/// What a pickle may hold.
#[derive(Debug)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float,
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// A dict, ordered or not.
    Dict(Vec<(Id, Id)>),
    Name(Name),
    /// A stretch of values outside of the pickle.
    Storage {
        /// Where they are.
        key: &'a str,
    },
    Tensor(Tensor<'a>),
}

/// What a pickle may name.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Name {
    OrderedDict,
    RebuildTensor,
    FloatStorage,
}

/// Where a tensor's values are.
#[derive(Clone, Debug)]
pub(super) struct Tensor<'a> {
    /// Of the storage.
    pub key: &'a str,
    /// Values before its first.
    pub offset: usize,
    pub size: Vec<usize>,
    /// Values from one index to the next, of each dimension; as many as of `size`.
    pub stride: Vec<usize>,
}

const NAMES: [(&str, &str, Name); 3] = [
    ("collections", "OrderedDict", Name::OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2", Name::RebuildTensor),
    ("torch", "FloatStorage", Name::FloatStorage),
];

/// The pickle that begins at a byte of a file.
///
/// # Errors
/// One line that says what it tries, or where it is damaged.
pub(super) fn read(file: &[u8], start: usize) -> Result<Pickle<'_>> {
    let mut machine = Machine { file, at: start, values: vec![], stack: vec![], marks: vec![], memo: HashMap::new() };
    for _ in 0..MOST {
        let at = machine.at;
        if let Some(root) = machine.step().with_context(|| format!("its pickle, byte {at}"))? {
            return Ok(Pickle { values: machine.values, root, end: machine.at });
        }
    }
    bail!("its pickle has more than {MOST} instructions, which no predictor needs")
}

impl<'a> Pickle<'a> {
    pub fn root(&self) -> &Value<'a> {
        self.get(self.root)
    }

    pub fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0]
    }

    /// What a dict has of that name.
    pub fn item(&self, dict: &Value<'a>, name: &str) -> Option<&Value<'a>> {
        let Value::Dict(pairs) = dict else { return None };
        let (_, value) = pairs.iter().find(|(key, _)| matches!(self.get(*key), Value::Text(text) if *text == name))?;
        Some(self.get(*value))
    }
}

struct Machine<'a> {
    file: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// Takes one instruction; the value, where it is the last.
    fn step(&mut self) -> Result<Option<Id>> {
        match self.byte()? {
            // PROTO
            0x80 => {
                let protocol = self.byte()?;
                ensure!(protocol == 2, "protocol {protocol} is not the 2 of torch.save");
            }
            b'.' => return Ok(Some(self.pop()?)),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::None),
            // NEWTRUE, NEWFALSE
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            // BININT1, BININT2, BININT
            b'K' => {
                let [byte] = self.take()?;
                self.push(Value::Int(byte.into()));
            }
            b'M' => {
                let bytes = self.take()?;
                self.push(Value::Int(u16::from_le_bytes(bytes).into()));
            }
            b'J' => {
                let bytes = self.take()?;
                self.push(Value::Int(i32::from_le_bytes(bytes).into()));
            }
            // BINFLOAT
            b'G' => {
                let _: [u8; 8] = self.take()?;
                self.push(Value::Float);
            }
            // BINUNICODE
            b'X' => {
                let length = u32::from_le_bytes(self.take()?) as usize;
                let end = self.at.checked_add(length).context("it is cut off")?;
                let text = self.file.get(self.at..end).context("it is cut off")?;
                self.at = end;
                self.push(Value::Text(std::str::from_utf8(text).context("a text is no UTF-8")?));
            }
            // GLOBAL
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let known = NAMES.iter().find(|known| (known.0, known.1) == (module, name));
                let Some(&(_, _, name)) = known else {
                    let printable = |text: &str| text.escape_debug().to_string();
                    bail!(
                        "it wants to use {}.{}, which a predictor does not need; it was not run",
                        printable(module),
                        printable(name)
                    );
                };
                self.push(Value::Name(name));
            }
            // BINPERSID
            b'Q' => {
                let id = self.pop()?;
                let value = self.storage(id)?;
                self.push(value);
            }
            b'}' => self.push(Value::Dict(vec![])),
            b']' => self.push(Value::List(vec![])),
            b')' => self.push(Value::Tuple(vec![])),
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items));
            }
            // TUPLE1, TUPLE2, TUPLE3
            code @ 0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let start = self.stack.len().checked_sub(count).context("its stack is empty")?;
                let items = self.stack.split_off(start);
                self.push(Value::Tuple(items));
            }
            // APPEND, APPENDS
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }
            b'R' => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let value = self.call(callee, arguments)?;
                self.push(value);
            }
            // BUILD: a state_dict's attributes, of no use here.
            b'b' => {
                self.pop()?;
                let dict = self.top()?;
                ensure!(matches!(self.values[dict.0], Value::Dict(_)), "it sets attributes of what is no dict");
            }
            b'q' => {
                let [slot] = self.take()?;
                self.remember(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.take()?);
                self.remember(slot)?;
            }
            b'h' => {
                let [slot] = self.take()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.take()?);
                self.recall(slot)?;
            }
            code => bail!("its instruction {code:#04x} is none that a state_dict needs; it was not run"),
        }
        Ok(None)
    }

    fn byte(&mut self) -> Result<u8> {
        let [byte] = self.take()?;
        Ok(byte)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.file[self.at..].first_chunk().context("it is cut off")?;
        self.at += N;
        Ok(*bytes)
    }

    /// Up to the next line feed.
    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.file[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').context("it is cut off")?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length]).context("a name is no UTF-8")
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(Id(self.values.len()));
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id> {
        self.stack.pop().context("its stack is empty")
    }

    fn top(&self) -> Result<Id> {
        self.stack.last().copied().context("its stack is empty")
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).context("its stack has no mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        let list = self.top()?;
        let Value::List(list) = &mut self.values[list.0] else { bail!("it appends to what is no list") };
        list.extend(items);
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<()> {
        let dict = self.top()?;
        let Value::Dict(dict) = &mut self.values[dict.0] else { bail!("it sets items of what is no dict") };
        let (pairs, []) = items.as_chunks() else { bail!("an item has no value") };
        dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Result<()> {
        let id = self.top()?;
        self.memo.insert(slot, id);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<()> {
        let id = *self.memo.get(&slot).context("it recalls what it did not remember")?;
        self.stack.push(id);
        Ok(())
    }

    /// `('storage', torch.FloatStorage, key, device, length)`; before PyTorch 1.6 with a sixth part, which is None.
    fn storage(&self, id: Id) -> Result<Value<'a>> {
        if let Value::Tuple(parts) = &self.values[id.0]
            && let [kind, class, key, _, _, view @ ..] = &parts[..]
            && let [Value::Text("storage"), Value::Name(Name::FloatStorage), Value::Text(key)] =
                [kind, class, key].map(|part| &self.values[part.0])
        {
            let is_whole = view.iter().all(|part| matches!(self.values[part.0], Value::None));
            ensure!(is_whole, "a storage is a part of another, as PyTorch wrote before 0.4");
            return Ok(Value::Storage { key });
        }
        bail!("it refers to what is no storage of float32")
    }

    /// An empty OrderedDict, or `_rebuild_tensor_v2(storage, offset, size, stride, …)`.
    fn call(&self, callee: Id, arguments: Id) -> Result<Value<'a>> {
        let Value::Tuple(arguments) = &self.values[arguments.0] else { bail!("it calls without arguments") };
        match &self.values[callee.0] {
            Value::Name(Name::OrderedDict) if arguments.is_empty() => Ok(Value::Dict(vec![])),
            Value::Name(Name::RebuildTensor) => {
                let [storage, offset, size, stride, ..] = arguments[..] else { bail!("a tensor lacks its parts") };
                let Value::Storage { key } = self.values[storage.0] else { bail!("a tensor has no storage") };
                let Value::Int(offset) = self.values[offset.0] else { bail!("a tensor's offset is no number") };
                let offset = usize::try_from(offset).context("a tensor's offset is below 0")?;
                let (size, stride) = (self.numbers(size)?, self.numbers(stride)?);
                ensure!(size.len() == stride.len(), "a tensor's shape does not fit its strides");
                Ok(Value::Tensor(Tensor { key, offset, size, stride }))
            }
            _ => bail!("it calls what a predictor does not need; it was not run"),
        }
    }

    fn numbers(&self, id: Id) -> Result<Vec<usize>> {
        let Value::Tuple(items) = &self.values[id.0] else { bail!("a tensor's shape is no tuple") };
        ensure!(items.len() <= DIMENSIONS, "a tensor has more than {DIMENSIONS} dimensions");
        let number = |item: &Id| match self.values[item.0] {
            Value::Int(number) => usize::try_from(number).context("a tensor's shape is below 0"),
            _ => bail!("a tensor's shape is no number"),
        };
        items.iter().map(number).collect()
    }
}
