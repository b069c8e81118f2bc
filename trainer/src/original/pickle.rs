//! Python's pickles, as far as `torch.save` of a `state_dict` needs them. Nothing is executed: what a pickle may name is
//! a short list, and each name is a value here, no code. Any other instruction or name is an error.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

/// Values inside values inside values.
const DEPTH: usize = 32;

/// What a pickle may hold.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Tuple(Vec<Rc<Value>>),
    /// A dict, ordered or not.
    Dict(Vec<(Rc<Value>, Rc<Value>)>),
    Name(Name),
    /// A stretch of values outside of the pickle.
    Storage {
        /// Where they are.
        key: String,
    },
    Tensor(Tensor),
}

/// What a pickle may name.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Name {
    OrderedDict,
    RebuildTensor,
    FloatStorage,
}

/// Where a tensor's values are.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Tensor {
    /// Of the storage.
    pub key: String,
    /// Values before its first.
    pub offset: usize,
    pub size: Vec<usize>,
    /// Values from one index to the next, of each dimension.
    pub stride: Vec<usize>,
}

const NAMES: [(&str, &str, Name); 3] = [
    ("collections", "OrderedDict", Name::OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2", Name::RebuildTensor),
    ("torch", "FloatStorage", Name::FloatStorage),
];

/// The value that a pickle holds.
///
/// # Errors
/// One line that says what it tries, or where it is damaged.
pub(super) fn read(bytes: &[u8]) -> Result<Value> {
    let mut machine = Machine { bytes, at: 0, stack: vec![], marks: vec![], memo: HashMap::new() };
    loop {
        let at = machine.at;
        if let Some(value) = machine.step().with_context(|| format!("its pickle, byte {at}"))? {
            return Ok(Rc::unwrap_or_clone(value));
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<(Rc<Value>, usize)>,
    marks: Vec<usize>,
    memo: HashMap<u32, (Rc<Value>, usize)>,
}

impl<'a> Machine<'a> {
    /// Takes one instruction; the value, where it is the last.
    fn step(&mut self) -> Result<Option<Rc<Value>>> {
        match self.byte()? {
            // PROTO
            0x80 => {
                let protocol = self.byte()?;
                ensure!(protocol == 2, "protocol {protocol} is not the 2 of torch.save");
            }
            b'.' => return Ok(Some(self.pop()?.0)),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::None, 0)?,
            // NEWTRUE, NEWFALSE
            0x88 => self.push(Value::Bool(true), 0)?,
            0x89 => self.push(Value::Bool(false), 0)?,
            // BININT1, BININT2, BININT
            b'K' => {
                let [byte] = self.take()?;
                self.push(Value::Int(byte.into()), 0)?;
            }
            b'M' => {
                let bytes = self.take()?;
                self.push(Value::Int(u16::from_le_bytes(bytes).into()), 0)?;
            }
            b'J' => {
                let bytes = self.take()?;
                self.push(Value::Int(i32::from_le_bytes(bytes).into()), 0)?;
            }
            // BINFLOAT
            b'G' => {
                let bytes = self.take()?;
                self.push(Value::Float(f64::from_be_bytes(bytes)), 0)?;
            }
            // BINUNICODE
            b'X' => {
                let length = u32::from_le_bytes(self.take()?) as usize;
                let end = self.at.checked_add(length).context("it is cut off")?;
                let text = self.bytes.get(self.at..end).context("it is cut off")?;
                self.at = end;
                self.push(Value::Text(std::str::from_utf8(text).context("a text is no UTF-8")?.into()), 0)?;
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
                self.push(Value::Name(name), 0)?;
            }
            // BINPERSID
            b'Q' => {
                let value = storage(&self.pop()?.0)?;
                self.push(value, 0)?;
            }
            b'}' => self.push(Value::Dict(vec![]), 0)?,
            b')' => self.push(Value::Tuple(vec![]), 0)?,
            b't' => {
                let items = self.pop_mark()?;
                self.tuple(items)?;
            }
            // TUPLE1, TUPLE2, TUPLE3
            code @ 0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let start = self.stack.len().checked_sub(count).context("its stack is empty")?;
                let items = self.stack.split_off(start);
                self.tuple(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(items)?;
            }
            b'R' => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let value = call(&callee.0, &arguments.0)?;
                self.push(value, arguments.1)?;
            }
            // BUILD: a state_dict's attributes, of no use here.
            b'b' => {
                self.pop()?;
                let (dict, _) = self.stack.last().context("its stack is empty")?;
                ensure!(matches!(**dict, Value::Dict(_)), "it sets attributes of what is no dict");
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
        let bytes = self.bytes[self.at..].first_chunk().context("it is cut off")?;
        self.at += N;
        Ok(*bytes)
    }

    /// Up to the next line feed.
    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').context("it is cut off")?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length]).context("a name is no UTF-8")
    }

    fn push(&mut self, value: Value, depth: usize) -> Result<()> {
        ensure!(depth < DEPTH, "its values are nested more than {DEPTH} deep");
        self.stack.push((Rc::new(value), depth));
        Ok(())
    }

    fn pop(&mut self) -> Result<(Rc<Value>, usize)> {
        self.stack.pop().context("its stack is empty")
    }

    fn pop_mark(&mut self) -> Result<Vec<(Rc<Value>, usize)>> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).context("its stack has no mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, items: Vec<(Rc<Value>, usize)>) -> Result<()> {
        let depth = 1 + items.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
        self.push(Value::Tuple(items.into_iter().map(|(value, _)| value).collect()), depth)
    }

    fn set_items(&mut self, items: Vec<(Rc<Value>, usize)>) -> Result<()> {
        let inner = 1 + items.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
        let (dict, depth) = self.pop()?;
        let Value::Dict(mut pairs) = Rc::unwrap_or_clone(dict) else { bail!("it sets items of what is no dict") };
        ensure!(items.len().is_multiple_of(2), "an item has no value");
        let mut items = items.into_iter().map(|(value, _)| value);
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            pairs.push((key, value));
        }
        self.push(Value::Dict(pairs), depth.max(inner))
    }

    fn remember(&mut self, slot: u32) -> Result<()> {
        let value = self.stack.last().context("its stack is empty")?.clone();
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<()> {
        let value = self.memo.get(&slot).context("it recalls what it did not remember")?.clone();
        self.stack.push(value);
        Ok(())
    }
}

/// `('storage', torch.FloatStorage, key, device, length)`.
fn storage(value: &Value) -> Result<Value> {
    if let Value::Tuple(parts) = value
        && let [kind, class, key, _, _] = &parts[..]
        && let (Value::Text(kind), Value::Name(Name::FloatStorage), Value::Text(key)) = (&**kind, &**class, &**key)
        && kind == "storage"
    {
        return Ok(Value::Storage { key: key.clone() });
    }
    bail!("it refers to what is no storage of float32")
}

/// An empty OrderedDict, or `_rebuild_tensor_v2(storage, offset, size, stride, …)`.
fn call(callee: &Value, arguments: &Value) -> Result<Value> {
    let Value::Tuple(arguments) = arguments else { bail!("it calls without arguments") };
    match callee {
        Value::Name(Name::OrderedDict) if arguments.is_empty() => Ok(Value::Dict(vec![])),
        Value::Name(Name::RebuildTensor) => {
            let [storage, offset, size, stride, ..] = &arguments[..] else { bail!("a tensor lacks its parts") };
            let Value::Storage { key } = &**storage else { bail!("a tensor has no storage") };
            let Value::Int(offset) = **offset else { bail!("a tensor's offset is no number") };
            Ok(Value::Tensor(Tensor {
                key: key.clone(),
                offset: usize::try_from(offset).context("a tensor's offset is below 0")?,
                size: numbers(size)?,
                stride: numbers(stride)?,
            }))
        }
        _ => bail!("it calls what a predictor does not need; it was not run"),
    }
}

fn numbers(value: &Value) -> Result<Vec<usize>> {
    let Value::Tuple(items) = value else { bail!("a tensor's shape is no tuple") };
    let number = |item: &Rc<Value>| match **item {
        Value::Int(number) => usize::try_from(number).context("a tensor's shape is below 0"),
        _ => bail!("a tensor's shape is no number"),
    };
    items.iter().map(number).collect()
}
