//! A look at the raw bytes before protobuf's parser sees them.
//!
//! That parser skips unknown groups by recursion without a limit, so a file of nothing but nested groups would
//! overflow the stack. ONNX has no groups: a file with one is refused here, wherever that parser would meet it.

use anyhow::{Context, Result, bail};

/// The messages of ONNX that our files consist of.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    /// Has no messages inside: an entry, an operator set, a segment, a dimension.
    Leaf,
}

/// What a field holds.
enum Content {
    Bytes,
    Message(Message),
    /// A part of ONNX that none of our files has.
    Foreign(&'static str),
}

impl Message {
    fn field(self, number: u64) -> Content {
        use Content::{Foreign, Message as Inner};
        match (self, number) {
            (Self::Model, 7) => Inner(Self::Graph),
            (Self::Model, 8 | 14) => Inner(Self::Leaf),
            (Self::Model, 20) => Foreign("training information"),
            (Self::Model, 25) => Foreign("functions"),
            (Self::Graph, 1) => Inner(Self::Node),
            (Self::Graph, 5) => Inner(Self::Tensor),
            (Self::Graph, 11..=13) => Inner(Self::ValueInfo),
            (Self::Graph, 14) => Foreign("quantization annotations"),
            (Self::Graph, 15) => Foreign("sparse tensors"),
            (Self::Graph, 16) => Inner(Self::Leaf),
            (Self::Node, 5) => Inner(Self::Attribute),
            (Self::Node, 9) => Inner(Self::Leaf),
            (Self::Attribute, 5 | 10) => Inner(Self::Tensor),
            (Self::Attribute, 6 | 11) => Foreign("nested graphs"),
            (Self::Attribute, 14 | 15) => Foreign("types as attributes"),
            (Self::Attribute, 22 | 23) => Foreign("sparse tensors"),
            (Self::Tensor, 3 | 13 | 16) => Inner(Self::Leaf),
            (Self::ValueInfo, 2) => Inner(Self::Type),
            (Self::ValueInfo, 4) => Inner(Self::Leaf),
            (Self::Type, 1) => Inner(Self::TensorType),
            (Self::Type, 4 | 5 | 8 | 9) => Foreign("values that are no tensors"),
            (Self::TensorType, 2) => Inner(Self::Shape),
            (Self::Shape, 1) => Inner(Self::Leaf),
            _ => Content::Bytes,
        }
    }
}

/// Accepts a file that protobuf's parser can be trusted with.
pub(super) fn check(file: &[u8]) -> Result<()> {
    check_message(Message::Model, file)
}

fn check_message(message: Message, mut bytes: &[u8]) -> Result<()> {
    const CUT: &str = "it is cut off or no ONNX file";
    while !bytes.is_empty() {
        let key = varint(&mut bytes).context(CUT)?;
        let content = message.field(key >> 3);
        if let Content::Foreign(what) = content {
            bail!("{what} are not supported");
        }
        let length = match key & 7 {
            0 => {
                varint(&mut bytes).context(CUT)?;
                0
            }
            1 => 8,
            2 => varint(&mut bytes).context(CUT)?,
            5 => 4,
            _ => bail!("it is no ONNX file"),
        };
        let (value, rest) =
            usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length)).context(CUT)?;
        if let (Content::Message(inner), 2) = (content, key & 7) {
            check_message(inner, value)?;
        }
        bytes = rest;
    }
    Ok(())
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of length-delimited bytes, below 128 of them.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, content.len() as u8], content].concat()
    }

    #[test]
    fn groups_are_refused_at_every_depth() {
        let group = [0x0b_u8; 8];
        for path in [&[][..], &[7], &[7, 1], &[7, 1, 5], &[7, 1, 5, 5], &[7, 5, 13], &[7, 11, 2, 1, 2, 1], &[14]] {
            let file = path.iter().rev().fold(group.to_vec(), |content, &number| field(number, &content));
            assert!(check(&file).is_err(), "{path:?}");
        }
        // Inside a string the same bytes are text.
        check(&field(6, &group)).unwrap();
    }

    /// Deep enough to overflow the stack, were it skipped by recursion.
    #[test]
    fn a_file_of_nested_groups_is_refused() {
        assert!(check(&vec![0x0b; 10_000_000]).is_err());
        assert!(super::super::read(&vec![0x0b; 10_000_000]).is_err());
    }
}
