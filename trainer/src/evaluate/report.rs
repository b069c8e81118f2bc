//! What judging came to, for people and as JSON.

use std::fmt::Write;

use runtime::Layer;
use serde::Serialize;

use crate::space::{Arch, Space};

/// Confusion matrices are printed for up to so many classes.
const PRINTED_CLASSES: usize = 20;
/// So many of the most frequent confusions are printed.
const PRINTED_CONFUSIONS: usize = 5;

/// One net, judged.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct NetReport {
    /// Which net.
    pub arch: Arch,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// Weights and biases.
    pub parameters: usize,
    /// On all images.
    #[serde(flatten)]
    pub score: Score,
}

/// A share of images answered rightly.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Score {
    /// Images.
    pub images: usize,
    /// As a share of 1; 0 of no images.
    pub accuracy: f64,
    /// Of the accuracy: √(p(1−p)/n).
    pub standard_error: f64,
}

/// One net, judged class by class.
///
/// ```
/// use trainer::evaluate::{ClassReport, NetReport, RandomReport};
/// use trainer::space::Space;
///
/// let space = Space::load("fashion:2")?;
/// let (answers, labels) = ([0, 1, 1, 1], [0, 0, 1, 1]);
/// let report = ClassReport::new(&space, &space.smallest(), &answers, &labels);
/// assert_eq!((report.net.score.accuracy, report.confusion[0][1]), (0.75, 1));
/// assert!(report.text(&[]).contains("accuracy 75.00 %"));
/// let nets = [space.smallest(), space.largest()].map(|arch| NetReport::new(&space, &arch, &answers, &labels));
/// let report = RandomReport::new(nets.into(), 7);
/// assert!(report.deviation == 0.0 && report.text().starts_with("2 random nets of seed 7"));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ClassReport {
    /// As a whole.
    #[serde(flatten)]
    pub net: NetReport,
    /// Of the images of each class.
    pub classes: Vec<Score>,
    /// For each class, how many of its images were answered by each class.
    pub confusion: Vec<Vec<usize>>,
}

/// Nets drawn at random, judged.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RandomReport {
    /// Mean of their accuracies.
    pub mean: f64,
    /// Standard deviation of their accuracies.
    pub deviation: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
    /// Of what seed they were drawn.
    pub seed: u64,
    /// The most accurate first.
    pub nets: Vec<NetReport>,
}

impl Score {
    /// `right` of `images`.
    pub(crate) fn new(right: usize, images: usize) -> Self {
        let accuracy = right as f64 / images.max(1) as f64;
        Self { images, accuracy, standard_error: (accuracy * (1.0 - accuracy) / images.max(1) as f64).sqrt() }
    }
}

impl NetReport {
    /// `answers`: the class that the net names for each image; `labels`: its class.
    pub fn new(space: &Space, arch: &Arch, answers: &[u16], labels: &[u16]) -> Self {
        let layers = space.layers(arch);
        let right = answers.iter().zip(labels).filter(|(answer, label)| answer == label).count();
        Self {
            arch: arch.clone(),
            macs: layers.iter().map(Layer::macs).sum(),
            parameters: layers.iter().map(Layer::parameters).sum(),
            score: Score::new(right, labels.len()),
        }
    }
}

impl ClassReport {
    /// As [`NetReport::new`].
    pub fn new(space: &Space, arch: &Arch, answers: &[u16], labels: &[u16]) -> Self {
        let classes = usize::from(space.classes.0);
        let mut confusion = vec![vec![0; classes]; classes];
        for (answer, label) in answers.iter().zip(labels) {
            confusion[usize::from(*label)][usize::from(*answer)] += 1;
        }
        let score = |(class, answers): (usize, &Vec<usize>)| Score::new(answers[class], answers.iter().sum());
        Self {
            net: NetReport::new(space, arch, answers, labels),
            classes: confusion.iter().enumerate().map(score).collect(),
            confusion,
        }
    }

    /// For people: the net, its accuracy by class, and which classes it takes for which. `names`: of each class.
    pub fn text(&self, names: &[String]) -> String {
        let Self { net, classes, confusion } = self;
        let called = |class: usize| match names.get(class) {
            Some(name) if *name != class.to_string() => format!("{class} {name}"),
            _ => class.to_string(),
        };
        let longest = (0..classes.len()).map(|class| called(class).chars().count()).fold(5, usize::max);
        let mut text = format!(
            "{0}x{0} pixels; blocks as kernel/expand ratio: {1}\n{2:.2} MMAC, {3} parameters\naccuracy {4} of {5} images\n",
            net.arch.resolution,
            blocks(&net.arch),
            net.macs as f64 / 1e6,
            net.parameters,
            percent(&net.score),
            net.score.images
        );
        let matrix = classes.len() <= PRINTED_CLASSES;
        let width = 1 + confusion.iter().flatten().max().map_or(0, |count| count.to_string().len()).max(3);
        let cells = |cells: Vec<String>| cells.iter().map(|cell| format!("{cell:>width$}")).collect::<String>();
        let header =
            if matrix { cells((0..classes.len()).map(|class| class.to_string()).collect()) } else { "".into() };
        let _ = write!(
            text,
            "\n{:>longest$}  images  accuracy        {}{header}",
            "class",
            if matrix { "  answered" } else { "" }
        );
        for (class, score) in classes.iter().enumerate() {
            let row = if matrix { cells(confusion[class].iter().map(usize::to_string).collect()) } else { "".into() };
            let _ = write!(text, "\n{:>longest$}  {:>6}  {:<16}", called(class), score.images, percent(score));
            let _ = write!(text, "{}{row}", if matrix { "          " } else { "" });
        }
        let mut mistakes: Vec<_> = (0..classes.len())
            .flat_map(|class| (0..classes.len()).map(move |answer| (confusion[class][answer], class, answer)))
            .filter(|&(count, class, answer)| class != answer && count > 0)
            .collect();
        mistakes.sort_by_key(|&(count, class, answer)| (usize::MAX - count, class, answer));
        if !mistakes.is_empty() {
            text.push_str("\n\nmost often mistaken");
        }
        for (count, class, answer) in mistakes.into_iter().take(PRINTED_CONFUSIONS) {
            let [class_name, answer] = [class, answer].map(called);
            let of = classes[class].images;
            let _ = write!(text, "\n{class_name:>longest$}  for {answer:<4} {count} of {of} images");
        }
        text
    }
}

impl RandomReport {
    /// Of at least one net.
    pub fn new(mut nets: Vec<NetReport>, seed: u64) -> Self {
        nets.sort_by(|a, b| b.score.accuracy.total_cmp(&a.score.accuracy).then_with(|| a.arch.cmp(&b.arch)));
        let accuracies = || nets.iter().map(|net| net.score.accuracy);
        let mean = accuracies().sum::<f64>() / nets.len() as f64;
        let squares = accuracies().map(|accuracy| (accuracy - mean).powi(2)).sum::<f64>();
        Self {
            mean,
            deviation: (squares / (nets.len() - 1).max(1) as f64).sqrt(),
            min: accuracies().fold(1.0, f64::min),
            max: accuracies().fold(0.0, f64::max),
            seed,
            nets,
        }
    }

    /// For people: the figures over all nets, then each of them.
    pub fn text(&self) -> String {
        let Self { mean, deviation, min, max, seed, nets } = self;
        let mut text = format!(
            "{} random nets of seed {seed} on {} images: mean {:.2} %, deviation {:.2}, from {:.2} to {:.2} %\n\n\
             accuracy           MMAC  parameters  pixels  blocks as kernel/expand ratio",
            nets.len(),
            nets[0].score.images,
            mean * 100.0,
            deviation * 100.0,
            min * 100.0,
            max * 100.0
        );
        for NetReport { arch, macs, parameters, score } in nets {
            let (macs, resolution) = (*macs as f64 / 1e6, arch.resolution);
            let _ = write!(text, "\n{:<16} {macs:>6.2}  {parameters:>10}  {resolution:>6}  ", percent(score));
            text.push_str(&blocks(arch));
        }
        text
    }
}

/// `86.52 % ± 0.34`.
fn percent(score: &Score) -> String {
    format!("{:.2} % ± {:.2}", score.accuracy * 100.0, score.standard_error * 100.0)
}

/// The blocks, stages parted by bars.
fn blocks(arch: &Arch) -> String {
    let stage = |blocks: &Vec<crate::space::BlockArch>| {
        blocks.iter().map(|block| format!("{}/{}", block.kernel, block.expand)).collect::<Vec<_>>().join(" ")
    };
    arch.stages.iter().map(stage).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_errors_and_confusions_are_counted() {
        let mut space = Space::load("fashion").unwrap();
        space.classes.0 = 3;
        let report = ClassReport::new(&space, &space.smallest(), &[0, 0, 0, 1, 1, 0], &[0, 0, 0, 0, 1, 1]);
        assert_eq!(report.confusion, [[3, 1, 0], [1, 1, 0], [0, 0, 0]]);
        assert_eq!(
            report.classes[0],
            Score { images: 4, accuracy: 0.75, standard_error: (0.75 * 0.25 / 4.0_f64).sqrt() }
        );
        assert_eq!(report.classes[2], Score { images: 0, accuracy: 0.0, standard_error: 0.0 });
        assert_eq!(report.net.score.accuracy, 4.0 / 6.0);
        let names = ["0", "1", "coat"].map(String::from);
        let text = report.text(&names);
        for line in [
            "accuracy 66.67 % ± 19.25 of 6 images",
            "    0       4  75.00 % ± 21.65",
            "0  for 1    1 of 4 images",
            "2 coat       0",
        ] {
            assert!(text.contains(line), "{line:?} is not in {text}");
        }
    }

    #[test]
    fn random_nets_are_summed_up_and_sorted() {
        let space = Space::load("fashion").unwrap();
        let net = |right| NetReport { arch: space.smallest(), macs: 1, parameters: 1, score: Score::new(right, 100) };
        let report = RandomReport::new(vec![net(80), net(90), net(85)], 4);
        assert_eq!((report.min, report.max, report.nets[0].score.accuracy), (0.8, 0.9, 0.9));
        assert!((report.mean - 0.85).abs() < 1e-12 && (report.deviation - 0.05).abs() < 1e-12);
        assert_eq!(RandomReport::new(vec![net(80)], 4).deviation, 0.0);
    }
}
