//! `--verify K`: the best nets are judged with the real supernet, and the best of those is chosen.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::Value;
use trainer::search::Found;
use trainer::space::Space;

#[derive(Args)]
pub struct Settings {
    /// Judge the best so many nets with the supernet, each with statistics of its own, on the validation images, and
    /// choose by what comes of it.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u8).range(1..=100),
          conflicts_with_all = ["front", "all_boards"])]
    verify: Option<u8>,
    /// From `ofa train`, for --verify.
    #[arg(long, default_value = "supernet.safetensors")]
    supernet: PathBuf,
    /// A folder of images for --verify; Fashion-MNIST from the cache where not given.
    #[cfg_attr(not(feature = "torch"), allow(dead_code))]
    #[arg(long)]
    data: Option<PathBuf>,
}

impl Settings {
    /// Puts the net that is best in truth first.
    pub fn verify(&self, found: &mut Found, space: &Space) -> Result<Option<(Value, String)>> {
        let Some(count) = self.verify else { return Ok(None) };
        self.judge(count.into(), found, space).map(Some)
    }

    #[cfg(not(feature = "torch"))]
    fn judge(&self, _: usize, _: &mut Found, _: &Space) -> Result<(Value, String)> {
        anyhow::bail!("this ofa was built without libtorch: it cannot judge nets of {}", self.supernet.display())
    }

    #[cfg(feature = "torch")]
    fn judge(&self, count: usize, found: &mut Found, space: &Space) -> Result<(Value, String)> {
        use anyhow::{Context, ensure};
        use serde_json::json;
        use tch::Device;
        use trainer::evaluate::Judge;
        use trainer::progress::with_progress;
        use trainer::search::Measured;
        use trainer::supernet::Supernet;

        use crate::torch::dataset_for;

        let (supernet, _) = Supernet::load(&self.supernet, Device::Cpu)?;
        let path = self.supernet.display();
        ensure!(
            supernet.space().hash() == space.hash(),
            "{path} was trained for space {}, this is {}; run: ofa train",
            supernet.space().hash(),
            space.hash()
        );
        let dataset = dataset_for(&supernet, self.data.clone())?;
        ensure!(!dataset.validation.is_empty(), "there are no validation images to judge on");
        let nets: Vec<_> = found.top.iter().take(count).cloned().collect();
        let archs: Vec<_> = nets.iter().map(|net| net.arch.clone()).collect();
        let labels = dataset.validation.labels();
        let mut measured = vec![None; nets.len()];
        with_progress("verify", nets.len(), |done| {
            Judge::new(&supernet, &dataset.train, &dataset.validation).all(&archs, |arch, answers| {
                let right = answers.iter().zip(labels).filter(|(answer, label)| answer == label).count();
                let net =
                    archs.iter().position(|known| known == arch).context("a net was judged that was not asked")?;
                measured[net] = Some(right as f64 / labels.len() as f64);
                done();
                Ok(())
            })
        })?;
        let measured: Vec<f64> = measured.into_iter().collect::<Option<_>>().context("a net was not judged")?;
        // Of equals the one with the higher prediction.
        let best = (0..nets.len()).rev().max_by(|&a, &b| measured[a].total_cmp(&measured[b]));
        let best = best.context("there is no net to judge")?;
        found.best = nets[best].clone();
        found.measured = Some(Measured { accuracy: measured[best], images: labels.len() });
        let rows: Vec<Value> = nets
            .iter()
            .zip(&measured)
            .map(|(net, measured)| json!({ "arch": net.arch, "predicted": net.accuracy, "measured": measured }))
            .collect();
        let mut lines = vec![format!("  {:>10} {:>9}, on {} validation images", "predicted", "measured", labels.len())];
        for (i, (net, measured)) in nets.iter().zip(&measured).enumerate() {
            let chosen = if i == best { "  chosen" } else { "" };
            lines.push(format!("  {:>8.2} % {:>7.2} %{chosen}", 100.0 * net.accuracy, 100.0 * measured));
        }
        let report = json!({ "images": labels.len(), "chosen": best, "nets": rows });
        Ok((report, lines.join("\n")))
    }
}
