//! Where a firmware's code is from: each instruction belongs to the source that asked for it, however it was inlined.

use std::collections::BTreeMap;

use addr2line::Context;
use anyhow::Result;
use gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};
use object::{File, Object, ObjectSection, ObjectSymbol, SectionFlags, elf};
use serde::Serialize;

/// Of the instructions of Thumb and of RISC-V with compressed ones.
const SHORTEST_INSTRUCTION: usize = 2;

/// A share of a firmware's code.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Code {
    /// A module of ofa's own, such as `runtime::plan`, another crate, or a family of functions in assembly, such as
    /// `assembly multiply`.
    pub of: String,
    /// Instructions and the constants between them.
    pub bytes: usize,
}

/// The code of an ELF file by its origin, the largest first.
///
/// # Errors
/// If its debug information is damaged.
pub(super) fn by_origin(file: &File<'_>) -> Result<Vec<Code>> {
    let section = |id: SectionId| -> gimli::Result<_> {
        let data = file.section_by_name(id.name()).and_then(|section| section.data().ok());
        Ok(EndianSlice::new(data.unwrap_or(&[]), LittleEndian))
    };
    let sources = Context::from_dwarf(Dwarf::load(section)?)?;
    let symbols = file.symbols().filter(|symbol| symbol.is_definition());
    let symbols: BTreeMap<_, _> =
        symbols.filter_map(|symbol| Some((symbol.address() & !1, symbol.name().ok()?))).collect();
    let mut bytes = BTreeMap::<String, usize>::new();
    for section in file.sections() {
        let executable = elf::SHF_ALLOC | elf::SHF_EXECINSTR;
        if !matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags & executable == executable) {
            continue;
        }
        for address in (section.address()..section.address() + section.size()).step_by(SHORTEST_INSTRUCTION) {
            let of = match source(&sources, address)? {
                Some(source) => source,
                // Assembly: the debug information has no source of it.
                None => symbols.range(..=address).next_back().map_or("other".into(), |(_, name)| family(name)),
            };
            *bytes.entry(of).or_default() += SHORTEST_INSTRUCTION;
        }
    }
    let mut code: Vec<_> = bytes.into_iter().map(|(of, bytes)| Code { of, bytes }).collect();
    code.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.of.cmp(&b.of)));
    Ok(code)
}

/// The innermost source of ofa's own that the instruction is for; that of another crate where nothing of ofa's is.
fn source(sources: &Context<EndianSlice<'_, LittleEndian>>, address: u64) -> Result<Option<String>> {
    let mut frames = sources.find_frames(address).skip_all_loads()?;
    let mut foreign = None;
    while let Some(frame) = frames.next()? {
        let Some(path) = frame.location.and_then(|location| location.file) else { continue };
        if is_own(path) {
            return Ok(Some(module(path, true)));
        }
        foreign.get_or_insert(path);
    }
    Ok(foreign.map(|path| module(path, false)))
}

fn is_own(path: &str) -> bool {
    !path.contains("/registry/") && !path.starts_with("/rustc/")
}

/// The module of a source, or its crate alone.
fn module(path: &str, whole: bool) -> String {
    let Some((folder, file)) = path.rsplit_once("/src/") else {
        let file = path.rsplit('/').next().unwrap_or(path);
        return file.trim_end_matches(".rs").into();
    };
    let folder = folder.rsplit('/').next().unwrap_or(folder);
    // Such as `postcard-1.1.3`.
    let version = folder.match_indices('-').find(|(i, _)| folder[i + 1..].starts_with(|c: char| c.is_ascii_digit()));
    let name = folder[..version.map_or(folder.len(), |(i, _)| i)].replace('-', "_");
    let file = file.trim_end_matches(".rs");
    if whole && !matches!(file, "lib" | "main") { format!("{name}::{}", file.replace('/', "::")) } else { name }
}

/// Functions in assembly are called such as `ofa_filter_5_2`.
fn family(symbol: &str) -> String {
    let name = symbol.strip_prefix("ofa_").map(|rest| rest.split('_').next().unwrap_or(rest));
    name.map_or("other".into(), |name| format!("assembly {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_named_as_in_rust() {
        let own = |path| (is_own(path), module(path, true));
        assert_eq!(own("ofa/runtime/src/dsp/matrix.rs"), (true, "runtime::dsp::matrix".into()));
        assert_eq!(own("ofa/boards/ofa/latency-probe/src/wire.rs"), (true, "latency_probe::wire".into()));
        assert_eq!(own("ofa/boards/mps2-an386/../firmware/runner.rs"), (true, "runner".into()));
        assert_eq!(own("ofa/boards/halt/src/lib.rs"), (true, "halt".into()));
        let foreign = |path| (is_own(path), module(path, false));
        assert_eq!(foreign("cargo/registry/src/index-1/postcard-1.1.3/src/de/flavors.rs"), (false, "postcard".into()));
        assert_eq!(foreign("cargo/registry/src/index-1/riscv-rt-0.18.0/src/lib.rs"), (false, "riscv_rt".into()));
        assert_eq!(foreign("/rustc/5980/library/core/src/iter/range.rs"), (false, "core".into()));
    }

    #[test]
    fn functions_in_assembly_are_of_a_family() {
        assert_eq!(family("ofa_filter_5_2"), "assembly filter");
        assert_eq!(family("Reset"), "other");
    }
}
