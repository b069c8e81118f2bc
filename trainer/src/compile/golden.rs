//! Images with the scores that every device must give for them.

use std::path::Path;

use anyhow::{Result, bail};
use runtime::Shape;
use serde::{Deserialize, Serialize};

use crate::dataset::Images;
use crate::files::{self, Header};
use crate::model::{Compiled, less_128};

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
            Ok(GoldenImage { label: images.labels[i], image: less_128(image), scores: model.scores(image)? })
        };
        let header = Header { format: GOLDEN_FORMAT.into(), ..model.header.clone() };
        Ok(Self { header, images: (0..images.len().min(IMAGES)).map(golden).collect::<Result<_>>()? })
    }

    /// Reads `golden.json` of the folder that `model` is from.
    ///
    /// # Errors
    /// One line that names the file if an image or a score of it is not what the model reads and makes of it.
    pub fn load(folder: &Path, model: &Compiled) -> Result<Self> {
        const MADE_BY: &str = "ofa compile";
        let path = folder.join("golden.json");
        let golden: Self = files::read_json(&path, MADE_BY)?;
        golden.header.expect(&path, GOLDEN_FORMAT, &model.header.space, MADE_BY)?;
        if golden.images.is_empty() {
            bail!("{} holds no images; run: {MADE_BY}", path.display());
        }
        let net = model.net()?;
        for (i, GoldenImage { label, image, scores }) in golden.images.iter().enumerate() {
            let fits = image.len() == net.input().len() && usize::from(*label) < net.classes();
            if !fits || model.scores(&pixels(image))? != *scores {
                bail!("{}: image {i} is not one of this model; run: {MADE_BY}", path.display());
            }
        }
        Ok(golden)
    }

    /// The images alone, of the shape that the net reads.
    pub fn images(&self, input: Shape) -> Images {
        Images {
            side: input.height,
            channels: input.channels,
            pixels: self.images.iter().flat_map(|golden| pixels(&golden.image)).collect(),
            labels: self.images.iter().map(|golden| golden.label).collect(),
        }
    }
}

/// The other way than [`less_128`].
fn pixels(image: &[i8]) -> Vec<u8> {
    image.iter().map(|value| *value as u8 ^ 0x80).collect()
}
