//! The page of `ofa report` in a browser: drawn without a complaint, and its figures are the files'.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fixture::done;
use crate::schema::valid;

/// Where a page's numbers come from: their name on the page, the file, and the place in it.
const FIGURES: [(&str, &str, &str); 13] = [
    ("accuracy.int8_host", "summary.json", "/accuracy/int8_host"),
    ("accuracy.float", "summary.json", "/accuracy/float"),
    ("accuracy.int8_device", "summary.json", "/accuracy/int8_device"),
    ("accuracy.predicted", "summary.json", "/accuracy/predicted"),
    ("latency.measured", "summary.json", "/latency/measured"),
    ("latency.predicted", "summary.json", "/latency/predicted"),
    ("sram_bytes.linked", "summary.json", "/sram_bytes/linked"),
    ("flash_bytes.linked", "summary.json", "/flash_bytes/linked"),
    ("device.images", "summary.json", "/device/images"),
    ("arena_bytes", "model/report.json", "/sram_bytes"),
    ("flash_bytes.net", "model/report.json", "/flash_bytes"),
    ("ticks.0", "model/report.json", "/layers/0/ticks"),
    ("predictor.rmse", "predictor.json", "/report/rmse"),
];

/// Makes the page of a demo's folder and, where there is a Chromium, looks at it as on a phone and as on a desk.
pub fn check(folder: &Path) {
    let out = folder.join("again.html");
    let path = |path: &Path| path.to_str().expect("a plain name").to_string();
    let json = valid("report", &done(&["report", &path(folder), "--out", &path(&out), "--json"]));
    let page = std::fs::read_to_string(&out).expect("report wrote it");
    let first = std::fs::read_to_string(folder.join("report.html")).expect("the demo wrote it");
    assert!(page == first, "the same files make the same page");
    assert_eq!(json["bytes"], page.len());

    let Some(browser) = ["chromium", "chromium-browser"].into_iter().find(|name| starts(name)) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED the report in a browser: chromium is not installed");
        return;
    };
    // The page says of itself whether it is wider than its window.
    let measure = "<script>document.documentElement.dataset.wider = \
                   document.documentElement.scrollWidth - window.innerWidth</script>";
    std::fs::write(&out, page + measure).expect("the folder is ours");
    for size in ["500,900", "1440,900"] {
        let dom = draw(browser, &out, size);
        assert!(dom.contains("data-drawn=\"yes\""), "the script went to its end: {dom:.300}");
        let body = dom.split("<body>").nth(1).and_then(|body| body.split("<script").next()).unwrap_or("");
        assert!(
            body.contains("The front") && !body.contains("[object "),
            "all that the page shows is text: {body:.300}"
        );
        let wider = dom.split("data-wider=\"").nth(1).and_then(|rest| rest.split('"').next()?.parse::<i64>().ok());
        assert!(wider.is_some_and(|wider| wider <= 0), "at {size} the page is {wider:?} pixels wider than its window");
        for (name, file, place) in FIGURES {
            let file: Value = serde_json::from_slice(&std::fs::read(folder.join(file)).expect("a file of the demo"))
                .expect("it holds JSON");
            let value = file.pointer(place).unwrap_or_else(|| panic!("{place} is in the file"));
            let shown = dom.split(&format!("data-figure=\"{name}\" data-value=\"")).nth(1);
            let shown: Option<f64> = shown.and_then(|rest| rest.split('"').next()?.parse().ok());
            assert_eq!(shown, value.as_f64(), "{name}");
        }
    }
}

fn starts(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The page's elements after its script, which must not have complained.
fn draw(browser: &str, page: &Path, size: &str) -> String {
    let profile = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new("timeout")
        .args(["120", browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--window-size={size}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("timeout starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let complaints: Vec<_> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    String::from_utf8(output.stdout).expect("a page is UTF-8")
}
