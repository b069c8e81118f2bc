//! A subnet run in float, by tract: what int8 is judged against, and where its ranges come from.

use std::sync::Arc;

use anyhow::Result;
use tract_onnx::prelude::*;

use crate::onnx;
use crate::subnet::Subnet;

/// A subnet, ready to run.
#[derive(Clone)]
pub struct FloatNet {
    plan: Arc<TypedRunnableModel>,
    channels: usize,
    side: usize,
}

impl FloatNet {
    /// The net with its scores as its only result.
    ///
    /// # Errors
    /// If tract cannot run it.
    pub fn new(subnet: &Subnet) -> Result<Self> {
        Self::with_results(subnet, &["scores".into()])
    }

    /// The net with these maps as its results, which [`onnx::map_names`] names.
    pub(crate) fn with_results(subnet: &Subnet, names: &[String]) -> Result<Self> {
        let image = subnet.layers[0].0.input();
        let (channels, side) = (image.channels.into(), image.height.into());
        let fact = f32::fact([1, channels, side, side]);
        let model = tract_onnx::onnx()
            .model_for_read(&mut &*onnx::write(subnet))?
            .with_outputs_by_name(names)?
            .with_input_fact(0, fact.into())?;
        Ok(Self { plan: model.into_optimized()?.into_runnable()?, channels, side })
    }

    /// Scores of one image, given as row × pixel × channel.
    ///
    /// # Errors
    /// If tract fails.
    pub fn scores(&self, image: &[u8]) -> Result<Vec<f32>> {
        let mut scores = vec![];
        self.run(image, |_, values| scores = values.to_vec())?;
        Ok(scores)
    }

    /// Runs one image and shows each result with its number: channel × row × pixel.
    pub(crate) fn run(&self, image: &[u8], mut see: impl FnMut(usize, &[f32])) -> Result<()> {
        let planes = (0..self.channels).flat_map(|channel| image.iter().skip(channel).step_by(self.channels));
        let pixels: Vec<f32> = planes.map(|&pixel| f32::from(pixel)).collect();
        let input = Tensor::from_shape(&[1, self.channels, self.side, self.side], &pixels)?;
        for (i, result) in self.plan.run(tvec!(input.into()))?.iter().enumerate() {
            see(i, result.try_as_plain_ram()?.as_slice::<f32>()?);
        }
        Ok(())
    }

    /// The class of an image: the first of the highest scores.
    ///
    /// # Errors
    /// If tract fails.
    pub fn class(&self, image: &[u8]) -> Result<usize> {
        let scores = self.scores(image)?;
        Ok((1..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best }))
    }
}
