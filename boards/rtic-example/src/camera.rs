//! A camera that gives a line at a time. This one makes them: value i of an image is 37 i + 11, modulo 256, as int8.

use crate::model::{IMAGE_BYTES, ROW_BYTES};

/// Lines of an image.
pub const HEIGHT: usize = IMAGE_BYTES / ROW_BYTES;

/// As the net reads it: each pixel less 128, channels innermost.
pub struct Line {
    /// From the top.
    pub y: usize,
    pub pixels: [i8; ROW_BYTES],
}

pub struct Camera {
    y: usize,
}

impl Camera {
    pub const fn new() -> Self {
        Self { y: 0 }
    }

    /// After the last line of an image comes the first of the next.
    pub fn line(&mut self) -> Line {
        let y = self.y;
        self.y = (y + 1) % HEIGHT;
        Line { y, pixels: core::array::from_fn(|x| (37 * (y * ROW_BYTES + x) + 11) as i8) }
    }
}
