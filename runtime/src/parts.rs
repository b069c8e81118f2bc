//! Parts of memory, without a panic.
//!
//! What the plan says lies where it says: the tests, which check it, stop where it does not. Firmware has no use for a
//! message, so there a part that is not in its slice is empty: nothing outside is read or written, and neither the
//! check nor its failure takes code that prints.

/// `len` values from `from` on.
#[inline(always)]
pub(crate) fn part<T>(all: &[T], from: usize, len: usize) -> &[T] {
    debug_assert!(from + len <= all.len(), "{len} values from {from} on, of {}", all.len());
    all.get(from..).and_then(|rest| rest.get(..len)).unwrap_or_default()
}

/// The same to write to.
#[inline(always)]
pub(crate) fn part_mut<T>(all: &mut [T], from: usize, len: usize) -> &mut [T] {
    debug_assert!(from + len <= all.len(), "{len} values from {from} on, of {}", all.len());
    all.get_mut(from..).and_then(|rest| rest.get_mut(..len)).unwrap_or_default()
}

/// All from `from` on.
#[inline(always)]
pub(crate) fn rest<T>(all: &[T], from: usize) -> &[T] {
    debug_assert!(from <= all.len(), "from {from} on, of {}", all.len());
    all.get(from..).unwrap_or_default()
}

/// The same to write to.
#[inline(always)]
pub(crate) fn rest_mut<T>(all: &mut [T], from: usize) -> &mut [T] {
    debug_assert!(from <= all.len(), "from {from} on, of {}", all.len());
    all.get_mut(from..).unwrap_or_default()
}

/// The first `at` values, and the others.
#[inline(always)]
pub(crate) fn split<T>(all: &[T], at: usize) -> (&[T], &[T]) {
    debug_assert!(at <= all.len(), "the first {at} of {}", all.len());
    all.split_at_checked(at).unwrap_or_default()
}

/// The same to write to.
#[inline(always)]
pub(crate) fn split_mut<T>(all: &mut [T], at: usize) -> (&mut [T], &mut [T]) {
    debug_assert!(at <= all.len(), "the first {at} of {}", all.len());
    all.split_at_mut_checked(at).unwrap_or_default()
}

/// One value.
#[cfg(any(ofa_dsp, test))]
#[inline(always)]
pub(crate) fn value<T: Copy + Default>(all: &[T], at: usize) -> T {
    debug_assert!(at < all.len(), "value {at} of {}", all.len());
    all.get(at).copied().unwrap_or_default()
}

/// Sets one value.
#[cfg(any(ofa_dsp, test))]
#[inline(always)]
pub(crate) fn set<T>(all: &mut [T], at: usize, to: T) {
    debug_assert!(at < all.len(), "value {at} of {}", all.len());
    if let Some(value) = all.get_mut(at) {
        *value = to;
    }
}

/// Copies as many values.
#[inline(always)]
pub(crate) fn copy(from: &[i8], to: &mut [i8]) {
    debug_assert_eq!(from.len(), to.len());
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

/// Leaves the function where its memory is not what its assembly takes it for.
#[cfg(ofa_dsp)]
macro_rules! need {
    ($condition:expr) => {
        if !$condition {
            debug_assert!(false, stringify!($condition));
            return;
        }
    };
}
#[cfg(ofa_dsp)]
pub(crate) use need;
