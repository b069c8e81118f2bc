// The net of the documentation's examples, as `ofa compile` writes one: of 2×2 grey pixels, is the image bright or dark?

use runtime::{
    Activation, Channel, Conv, Layer, Linear, Model, Pool, Quant, RowModel, ScoreScale, Shape, Step, arena_bytes,
    rows_arena_bytes,
};

const QUANT: Quant = Quant { input_zero: 0, output_zero: 0, hidden_zeros: [0; 2], residual: 0 };
const MAP: Shape = Shape::new(2, 2, 2);

/// Brightness and darkness of each pixel, their means, a score of each.
pub const STEPS: [Step; 3] = [
    Step {
        layer: Layer::Conv(Conv {
            input: Shape::new(2, 2, 1),
            channels: 2,
            kernel: 1,
            stride: 1,
            activation: Activation::None,
        }),
        quant: QUANT,
    },
    Step { layer: Layer::Pool(Pool { input: MAP }), quant: QUANT },
    Step { layer: Layer::Linear(Linear { inputs: 2, outputs: 2, activation: Activation::None }), quant: QUANT },
];
/// Multipliers of a half, as the taps are 2, and of a quarter.
pub const CHANNELS: [Channel; 5] = {
    let half = Channel { bias: 0, multiplier: i32::MAX };
    [half, half, Channel { bias: 0, multiplier: 1 << 22 }, half, half]
};
pub const TAPS: [u8; 6] = [2, (-2_i8) as u8, 2, 0, 0, 2];

pub const ARENA_BYTES: usize = arena_bytes(&STEPS);
pub const ROWS_ARENA_BYTES: usize = rows_arena_bytes(&STEPS);
pub static MODEL: Model<4, ARENA_BYTES, 2> = Model::new(&STEPS, &CHANNELS, &TAPS);
pub static ROWS: RowModel<2, ROWS_ARENA_BYTES, 2> = RowModel::new(&STEPS, &CHANNELS, &TAPS);
pub const SCORES: ScoreScale = ScoreScale { unit: 1 << 14, zero: 0 };
