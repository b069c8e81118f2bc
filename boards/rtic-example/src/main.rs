//! A camera and a net side by side, by RTIC: an interrupt takes the camera's lines, whatever else the core does; a task
//! of a lower priority feeds them to the net as they come, so no memory holds an image.
//!
//! ```text
//!   capture, priority 2    │line│     │line│     │line│  …  │line│     │line│
//!   classify, priority 1        │push│     │push│     │push│     │the net's ┆   rest│
//! ```

#![no_std]
#![no_main]

mod camera;
mod device;
#[allow(dead_code, unused_imports)]
mod model {
    include!(env!("OFA_MODEL_RS"));
}

use halt as _;

#[rtic::app(device = crate::device, peripherals = false, dispatchers = [UART0_RX])]
mod app {
    use cortex_m::peripheral::syst::SystClkSource;
    use rtic_sync::channel::{Receiver, Sender};
    use rtic_sync::make_channel;
    use runtime::{Arena, Prediction};
    use semihosting::{println, process};

    use crate::camera::{Camera, HEIGHT, Line};
    use crate::model::{ROWS, ROWS_ARENA_BYTES, SCORES};

    /// Ticks of the core's clock, 25 MHz, from one line to the next.
    const LINE_TICKS: u32 = 25_000;
    /// Lines that may wait.
    const WAITING: usize = 4;
    /// Images until the example ends.
    const IMAGES: usize = 2;

    #[shared]
    struct Shared {}

    #[local]
    struct Local {
        camera: Camera,
        lines: Sender<'static, Line, WAITING>,
    }

    #[init]
    fn init(cx: init::Context) -> (Shared, Local) {
        let (lines, taken) = make_channel!(Line, WAITING);
        if classify::spawn(taken).is_err() {
            unreachable!("it is spawned once");
        }
        let mut timer = cx.core.SYST;
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(LINE_TICKS - 1);
        timer.enable_interrupt();
        timer.enable_counter();
        (Shared {}, Local { camera: Camera::new(), lines })
    }

    /// Never waits: a line for which there is no room is lost.
    #[task(binds = SysTick, priority = 2, local = [camera, lines])]
    fn capture(cx: capture::Context) {
        let _ = cx.local.lines.try_send(cx.local.camera.line());
    }

    #[task(priority = 1, local = [arena: Arena<ROWS_ARENA_BYTES> = Arena::new()])]
    async fn classify(cx: classify::Context, mut lines: Receiver<'static, Line, WAITING>) {
        let mut images = 0;
        'image: while images < IMAGES {
            let mut rows = ROWS.start(cx.local.arena);
            for expected in 0..HEIGHT {
                let Ok(Line { y, pixels }) = lines.recv().await else { return };
                // Lines were lost while the last image was inferred from: on to the next.
                if y != expected || rows.push(&pixels).is_err() {
                    continue 'image;
                }
            }
            let Ok(scores) = rows.finish() else { continue };
            let Some(Prediction { class, score, ahead }) = Prediction::of(scores) else { return };
            println!(
                "class {class}, logit {} / 65536, {ahead} ahead: score {score} of {scores:?}",
                SCORES.fixed(score)
            );
            images += 1;
        }
        process::exit(0)
    }
}
