//! Images with the scores that every device must give for them.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::dataset::Images;
use crate::files::Header;
use crate::model::Compiled;

/// Format name of `golden.json`.
pub const GOLDEN_FORMAT: &str = "ofa-golden";

/// How many.
const IMAGES: usize = 4;

/// `golden.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Golden {
    /// The space and the seed that the net came from.
    pub header: Header,
    /// The images.
    pub images: Vec<GoldenImage>,
}

/// An image with its scores.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GoldenImage {
    /// Its class.
    pub label: u16,
    /// Pixels less 128, row by row, channels innermost.
    pub image: Vec<i8>,
    /// What the net makes of it.
    pub scores: Vec<i8>,
}

impl Golden {
    /// The first of the images, with what this host makes of them.
    pub(super) fn new(model: &Compiled, images: &Images) -> Result<Self> {
        let golden = |i: usize| {
            let image = images.image(i);
            Ok(GoldenImage {
                label: images.labels[i],
                image: image.iter().map(|pixel| (pixel ^ 0x80) as i8).collect(),
                scores: model.scores(image)?,
            })
        };
        let header = Header { format: GOLDEN_FORMAT.into(), ..model.header.clone() };
        Ok(Self { header, images: (0..images.len().min(IMAGES)).map(golden).collect::<Result<_>>()? })
    }
}
