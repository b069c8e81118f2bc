//! Whether a net fits its board, as a build error.

/// A build error that says by how many bytes a net misses its board, when called in a `const`:
///
/// ```
/// # const ARENA: usize = 1000;
/// const _: () = runtime::assert_fits("SRAM", ARENA, 65_536);
/// ```
///
/// ```compile_fail
/// const _: () = runtime::assert_fits("SRAM", 70_000, 65_536);
/// ```
///
/// # Panics
/// If `needed` is above `available`.
pub const fn assert_fits(what: &str, needed: usize, available: usize) {
    if needed <= available {
        return;
    }
    let parts: [&[u8]; 3] = [b"the net misses the board's ", what.as_bytes(), b" by bytes: "];
    let mut text = [0; 96];
    let mut len = 0;
    let mut part = 0;
    while part < parts.len() {
        let mut i = 0;
        while i < parts[part].len() && len < 76 {
            text[len] = parts[part][i];
            len += 1;
            i += 1;
        }
        part += 1;
    }
    let mut missing = needed - available;
    let mut digits = 1;
    let mut rest = missing / 10;
    while rest > 0 {
        digits += 1;
        rest /= 10;
    }
    let end = len + digits;
    let mut i = end;
    while i > len {
        i -= 1;
        text[i] = b'0' + (missing % 10) as u8;
        missing /= 10;
    }
    match core::str::from_utf8(text.split_at(end).0) {
        Ok(message) => panic!("{}", message),
        Err(_) => panic!("the net does not fit the board"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the net misses the board's SRAM by bytes: 4464")]
    fn a_miss_says_by_how_many_bytes() {
        assert_fits("SRAM", 70_000, 65_536);
    }

    #[test]
    fn an_exact_fit_fits() {
        assert_fits("flash", 65_536, 65_536);
    }
}
