//! See `board_build`.

fn main() {
    board_build::prepare();
}
