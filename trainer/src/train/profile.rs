//! Where a step's time goes.
//!
//! A backward pass is one call of libtorch for the whole net, so here each layer is cut off from the next: its input is
//! a copy without a past, and its backward pass a call of its own. The gradients are the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use runtime::Layer;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::space::Arch;
use crate::supernet::{Forward, Parameter, Supernet};

/// What was measured, span by span.
pub struct Profile {
    begun: Instant,
    spans: Vec<Span>,
    steps: usize,
}

struct Span {
    what: String,
    part: Part,
    start: Duration,
    duration: Duration,
}

/// Which part of a step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// Images and labels.
    Data,
    /// Scores of nets that are imitated.
    Teacher,
    /// From pixels to loss.
    Forward,
    /// From loss to gradients.
    Backward,
    /// From gradients to weights.
    Optimiser,
}

/// Time of one kind of work in one part of a step.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Which part.
    pub part: Part,
    /// Which work, such as `block 5×5`.
    pub what: String,
    /// Milliseconds in a step.
    pub milliseconds: f64,
    /// Share of all.
    pub share: f64,
}

impl Profile {
    /// Nothing yet of so many steps.
    pub(super) fn new(steps: usize) -> Self {
        Self { begun: Instant::now(), spans: vec![], steps }
    }

    /// Runs `work` on the clock.
    pub(super) fn time<T>(&mut self, part: Part, what: &str, work: impl FnOnce() -> T) -> T {
        let start = self.begun.elapsed();
        let result = work();
        let duration = self.begun.elapsed() - start;
        self.spans.push(Span { what: what.into(), part, start, duration });
        result
    }

    /// The gradient of a net's loss, a list for each layer from the last to the first; `loss` is a function of its
    /// scores.
    pub(super) fn gradient(
        &mut self,
        supernet: &Supernet,
        arch: &Arch,
        pixels: &Tensor,
        parameters: &[Parameter],
        loss: impl FnOnce(&Tensor) -> Tensor,
    ) -> Vec<Vec<Option<Tensor>>> {
        let mut map = supernet.input(pixels);
        let mut layers: Vec<(String, Parameter, Forward)> = Vec::new();
        for (layer, slot) in supernet.space().layers(arch).iter().zip(supernet.space().slots(arch)) {
            let what = kind(layer);
            let input = map.detach().set_requires_grad(slot > 0);
            let forward = self.time(Part::Forward, &what, || supernet.layer_for_gradient(layer, slot, &input));
            map = forward.scores.shallow_clone();
            layers.push((what, Parameter { tensor: input, decays: false }, forward));
        }
        let scores = map.detach().set_requires_grad(true);
        let loss = self.time(Part::Forward, "loss", || loss(&scores));
        let mut of_output = self
            .time(Part::Backward, "loss", || Tensor::run_backward(&[&loss], &[&scores], false, false))
            .swap_remove(0);
        let mut all = Vec::new();
        for (what, input, forward) in layers.into_iter().rev() {
            let product = (&forward.scores * &of_output).sum(Kind::Float);
            let first = !input.tensor.requires_grad();
            let parameters = parameters.iter().map(Parameter::shallow_clone);
            let parameters: Vec<_> = parameters.chain((!first).then_some(input)).collect();
            let mut gradients = self.time(Part::Backward, &what, || forward.gradient(&product, &parameters));
            if !first {
                of_output = gradients.pop().flatten().expect("the layer reads its input");
            }
            all.push(gradients);
        }
        all
    }

    /// By part, the longest first in each.
    pub fn lines(&self) -> Vec<Line> {
        let mut sums: BTreeMap<(Part, &str), Duration> = BTreeMap::new();
        for span in &self.spans {
            *sums.entry((span.part, &span.what)).or_default() += span.duration;
        }
        let all: Duration = sums.values().sum();
        let line = |((part, what), sum): ((Part, &str), Duration)| Line {
            part,
            what: what.into(),
            milliseconds: sum.as_secs_f64() * 1e3 / self.steps.max(1) as f64,
            share: sum.as_secs_f64() / all.as_secs_f64().max(1e-9),
        };
        let mut lines: Vec<_> = sums.into_iter().map(line).collect();
        lines.sort_by(|a, b| a.part.cmp(&b.part).then(b.milliseconds.total_cmp(&a.milliseconds)));
        lines
    }

    /// Every span, as chrome://tracing reads it: the trace event format, complete events, microseconds.
    pub fn trace(&self) -> Value {
        let microseconds = |time: Duration| time.as_nanos() as f64 / 1e3;
        let events = self.spans.iter().map(|Span { what, part, start, duration }| {
            json!({
                "name": what,
                "cat": format!("{part:?}").to_lowercase(),
                "ph": "X",
                "ts": microseconds(*start),
                "dur": microseconds(*duration),
                "pid": 1,
                "tid": 1,
            })
        });
        json!({"displayTimeUnit": "ms", "traceEvents": events.collect::<Vec<_>>()})
    }
}

fn kind(layer: &Layer) -> String {
    match layer {
        Layer::Conv(conv) => format!("convolution {0}×{0}", conv.kernel),
        Layer::Block(block) => format!("block {0}×{0}", block.kernel),
        Layer::Depthwise(_) => unreachable!("{}", crate::subnet::NO_DEPTHWISE),
        Layer::Pool(_) => "pooling".into(),
        Layer::Linear(_) => "linear".into(),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use tch::Device;

    use super::*;
    use crate::dataset::Normalisation;
    use crate::space::Space;

    #[test]
    fn the_gradient_in_parts_is_that_of_the_whole() {
        let space = Space::load("fashion").unwrap();
        let normalisation = Normalisation { mean: vec![0.0], deviation: vec![1.0] };
        let supernet = Supernet::new(&space, normalisation, Device::Cpu, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let arch = space.middle();
        let side = i64::from(arch.resolution);
        tch::manual_seed(1);
        let pixels = Tensor::randn([8, 1, side, side], tch::kind::FLOAT_CPU);
        let labels = Tensor::arange(8, (Kind::Int64, Device::Cpu));
        let parameters = supernet.parameters();
        let forward = supernet.forward_for_gradient(&arch, &pixels);
        let loss = forward.scores.cross_entropy_for_logits(&labels);
        let whole = forward.gradient(&loss, &parameters);
        let mut profile = Profile::new(1);
        let parts =
            profile.gradient(&supernet, &arch, &pixels, &parameters, |scores| scores.cross_entropy_for_logits(&labels));
        for (i, whole) in whole.iter().enumerate() {
            let of_parts: Vec<_> = parts.iter().filter_map(|part| part[i].as_ref()).collect();
            assert_eq!(of_parts.len(), usize::from(whole.is_some()), "each weight belongs to one layer");
            if let (Some(whole), [part]) = (whole, &of_parts[..]) {
                let difference = (whole - *part).abs().max().double_value(&[]);
                assert!(difference <= 1e-4 * whole.abs().max().double_value(&[]), "{:?}", whole.size());
            }
        }
        let lines = profile.lines();
        assert!((lines.iter().map(|line| line.share).sum::<f64>() - 1.0).abs() < 1e-9);
        for part in [Part::Forward, Part::Backward] {
            let block = |line: &Line| line.part == part && line.what.starts_with("block 5×5");
            assert!(lines.iter().any(block), "{part:?} of the middle net, whose kernels are 5×5");
        }
        let trace = profile.trace();
        let events = trace["traceEvents"].as_array().unwrap();
        // Each layer and the loss, forwards and backwards.
        assert_eq!(events.len(), 2 * (space.layers(&arch).len() + 1));
        assert!(events.iter().all(|event| event["ph"] == "X" && event["dur"].is_f64() && event["ts"].is_f64()));
    }
}
