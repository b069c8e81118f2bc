//! `ofa report`: the files of a folder as one page that a person can read, without a network.
//!
//! ```text
//!  summary.json, front.json, latency/*.json, model/… ─▶ Page (checked here) ─▶ JSON in page.html ─▶ page.js draws it
//! ```
//!
//! A part whose file is not there is left out, and the page says which command makes it.

mod gather;
mod summary;

use std::path::Path;

use anyhow::Result;

pub use summary::{Accuracy, Device, Latency, Summary, Table};

/// The page about the files in `folder`: HTML with everything in it.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::report::report;
///
/// let folder = tempfile::tempdir()?;
/// made_up::table(&made_up::space()).save(&folder.path().join("latency/made-up.json"))?;
/// assert!(report(folder.path())?.contains("Cortex-M4F"));
/// assert!(report(tempfile::tempdir()?.path()).is_err(), "nothing to report on");
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If there is nothing to report on, or names the file that is damaged.
pub fn report(folder: &Path) -> Result<String> {
    let page = gather::gather(folder)?;
    // So that nothing in the data can end the script that it stands in.
    let data = serde_json::to_string(&page)?.replace('<', "\\u003c");
    // The data comes last: nothing in it is taken for a place to fill.
    Ok(include_str!("report/page.html")
        .replace("/*style*/", include_str!("report/page.css"))
        .replace("/*script*/", include_str!("report/page.js"))
        .replace("/*data*/", &data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(files: &[(&str, &str)]) -> Result<String> {
        let folder = tempfile::tempdir()?;
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it is in the folder"))?;
            std::fs::write(path, text)?;
        }
        report(folder.path())
    }

    const FRONT: &str =
        r#"{"header":{"format":"ofa-front","version":1,"space":"5","seed":0},"unit":"</script><b>","nets":[]}"#;

    const CHOICE: &str = r#"{"header":{"format":"ofa-arch","version":1,"space":"5","seed":0},"arch":{"resolution":28,"stages":[]},"accuracy":0.5,"latency":null,"sram_bytes":1,"flash_bytes":1,"macs":1}"#;

    #[test]
    fn nothing_in_a_file_leaves_the_data() {
        let page = page_of(&[("front.json", FRONT)]).unwrap();
        assert!(page.contains(r"\u003c/script>\u003cb>") && !page.contains("<b>"));
        assert!(!page.contains("/*data*/") && !page.contains("/*script*/") && !page.contains("/*style*/"));
    }

    #[test]
    fn the_page_fetches_nothing() {
        let page = page_of(&[("front.json", FRONT)]).unwrap();
        let ours = page.replace("http://www.w3.org/2000/svg", "");
        for word in ["http:", "https:", "fetch(", "import(", "src=", "url(", "@import"] {
            assert!(!ours.contains(word), "{word}");
        }
    }

    #[test]
    fn an_empty_folder_and_a_damaged_file_are_one_line() {
        let line = |files: &[(&str, &str)]| format!("{:#}", page_of(files).unwrap_err());
        assert!(line(&[]).contains("ofa demo"), "{}", line(&[]));
        let damaged = line(&[("front.json", FRONT), ("model/report.json", "{\"header\": 3}")]);
        assert!(damaged.contains("report.json: header") && !damaged.contains('\n'), "{damaged}");
        let foreign = FRONT.replace("ofa-front", "ofa-arch");
        assert!(line(&[("front.json", &foreign)]).contains("not ofa-front version 1"));
        // As `ofa search --all-boards` leaves it.
        let boards = line(&[("b/front.json", FRONT), ("a/arch.json", CHOICE), ("a.txt", "")]);
        assert!(boards.contains("its subfolders do; run: ofa report") && boards.ends_with("a"), "{boards}");
    }

    #[test]
    fn files_of_two_spaces_are_no_report() {
        assert!(page_of(&[("front.json", FRONT), ("arch.json", CHOICE)]).is_ok());
        let other = CHOICE.replace(r#""space":"5""#, r#""space":"6""#);
        let refused = format!("{:#}", page_of(&[("front.json", FRONT), ("arch.json", &other)]).unwrap_err());
        assert!(refused.contains("front.json was made for space 5, ") && !refused.contains('\n'), "{refused}");
        assert!(refused.contains("arch.json for space 6; "), "{refused}");
    }

    #[test]
    fn a_table_is_listed_by_the_name_of_its_file() {
        let table = crate::table::tests::table(vec![]);
        let text = serde_json::to_string(&table).unwrap();
        let page = page_of(&[("latency/x.json", &text)]).unwrap();
        assert!(page.contains(r#""name":"latency/x.json","step":"measure""#) && !page.contains("latency/b.json"));
    }
}
