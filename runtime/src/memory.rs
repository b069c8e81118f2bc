//! The one place where memory is seen as words and as bytes.

#![allow(unsafe_code)]

/// The memory that a net runs in. Its first bytes are where the image goes.
#[repr(align(8))]
#[derive(Debug)]
pub struct Arena<const BYTES: usize>([i8; BYTES]);

impl<const BYTES: usize> Arena<BYTES> {
    /// Memory with no image in it yet.
    ///
    /// ```
    /// static ARENA: std::sync::Mutex<runtime::Arena<1024>> = std::sync::Mutex::new(runtime::Arena::new());
    /// ```
    pub const fn new() -> Self {
        const { assert!(BYTES.is_multiple_of(4), "an arena is a multiple of 4 bytes") };
        Self([0; BYTES])
    }

    /// All of it.
    pub fn bytes(&mut self) -> &mut [i8] {
        &mut self.0
    }

    /// All of it, as [`crate::Net::run`] takes it.
    pub fn words(&mut self) -> &mut [u32] {
        // SAFETY: the type is aligned to 8 bytes and holds initialised bytes, of which any four are a word; the
        // borrow is passed on.
        unsafe { core::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), BYTES / 4) }
    }
}

impl<const BYTES: usize> Default for Arena<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

/// The same memory as bytes.
///
/// ```
/// assert_eq!(runtime::bytes(&mut [u32::MAX; 2]), [-1; 8]);
/// ```
pub fn bytes(words: &mut [u32]) -> &mut [i8] {
    // SAFETY: a word is four initialised bytes, which need no alignment; the borrow is passed on.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
}
