//! MLPerf Tiny's harness against a board in QEMU.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use super::*;

/// Ends QEMU with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// It loads an image as the harness does, 31 bytes a command, and gets the scores that the host computes.
#[test]
fn the_harness_of_mlperf_tiny_drives_a_net() {
    need_qemu!();
    let (board, space) = (board(), fashion());
    let net = any_net(&space, &space.smallest(), &small_net());
    let firmware = firmware::build(&board, Binary::Tiny(&net)).unwrap();
    let Link::Qemu { program, arguments, .. } = board.link else { panic!("no emulated board") };
    let mut qemu = Command::new(program);
    qemu.args(arguments).arg("-kernel").arg(firmware.elf).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut qemu = Ended(qemu.spawn().unwrap());
    let mut stdin = qemu.0.stdin.take().unwrap();
    let mut lines = BufReader::new(qemu.0.stdout.take().unwrap()).lines();
    let mut answer = move |command: &str| -> Vec<String> {
        stdin.write_all(command.as_bytes()).unwrap();
        stdin.flush().unwrap();
        let lines = lines.by_ref().map(|line| line.unwrap().trim_end().to_string());
        lines.take_while(|line| line != "m-ready").collect()
    };
    let greeting = answer("");
    assert_eq!(greeting, ["m-timestamp-mode-performance", "m-lap-instructions-0", "m-init-done"]);
    assert_eq!(answer("name%"), ["m-name-dut-[ofa on mps2-an386]"]);
    assert_eq!(answer("profile%")[1], "m-model-[ofa]");

    let images = any_images(1, 13);
    assert_eq!(answer(&format!("db load {}%", images.pixels.len())), ["m-[Expecting 169 bytes]"]);
    for (i, part) in images.pixels.chunks(31).enumerate() {
        let digits: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let done = i == images.pixels.len() / 31;
        assert_eq!(answer(&format!("db {digits}%")), if done { vec!["m-load-done"] } else { vec![] });
    }
    let said = answer("infer 3 1%");
    assert_eq!(said[..3], ["m-warmup-start-1", "m-warmup-done", "m-infer-start-3"]);
    let lap = |line: &str| line.strip_prefix("m-lap-instructions-").unwrap().parse::<u64>().unwrap();
    let ticks = lap(&said[4]) - lap(&said[3]);
    assert!(ticks > 0 && ticks.is_multiple_of(3), "three inferences of as many instructions: {ticks}");
    assert_eq!(said[5], "m-infer-done");

    // The scale of `any_net` is 1, its zero 0.
    let scores = net.scores(&images.pixels).unwrap();
    let expected: Vec<_> = scores.iter().map(|score| format!("{score}.000")).collect();
    assert_eq!(said[6], format!("m-results-[{}]", expected.join(",")));
    assert_eq!(answer("results%"), said[6..]);
}
