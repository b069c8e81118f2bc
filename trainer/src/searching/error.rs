//! How far predictions are from the truth, and what is uncertain about the truth itself.

use serde::Serialize;

use super::Answer;
use crate::evaluate::Score;
use crate::metrics::rmse;
use crate::survey::Judged;

/// Predicted less measured accuracy over some nets, as shares of 1.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Foretold {
    /// Its largest absolute value.
    pub max: f64,
    /// Mean of its absolute values.
    pub mean: f64,
    /// Root mean squared.
    pub rmse: f64,
    /// Its mean: above 0, the nets are less accurate than predicted.
    pub bias: f64,
    /// Nets whose measured accuracy is within two deviations of the prediction: its own, and on images other than those it
    /// speaks of also what these and those differ by as draws.
    pub within: usize,
}

/// How much harder the test images are than the validation images, for nets that nothing was chosen by.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Splits {
    /// Nets judged on both, drawn evenly.
    pub nets: usize,
    /// Mean of their accuracy on the validation images less that on the test images, as a share of 1.
    pub harder: f64,
    /// Of that mean, as both splits are draws of images; the same images are hard for all nets.
    pub standard_error: f64,
    /// Standard deviation of the difference from net to net.
    pub deviation: f64,
}

/// A difference of two nets' accuracies on the same images.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// As a share of 1.
    pub points: f64,
    /// Of the images on which just one of them is right.
    pub standard_error: f64,
}

impl Foretold {
    /// Of these nets, after each prediction was lowered by `harder`. `draws`: variance of the measured accuracy by the draws
    /// of images.
    pub(super) fn of(
        nets: &[Answer],
        measured: impl Fn(&Answer) -> f64,
        harder: f64,
        draws: impl Fn(&Answer) -> f64,
    ) -> Self {
        let predicted: Vec<f64> = nets.iter().map(|answer| f64::from(answer.net.accuracy) - harder).collect();
        let measured: Vec<f64> = nets.iter().map(measured).collect();
        let errors: Vec<f64> =
            predicted.iter().zip(&measured).map(|(predicted, measured)| predicted - measured).collect();
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / nets.len() as f64;
        let within = |(answer, error): &(&Answer, &f64)| {
            let variance = f64::from(answer.net.deviation).powi(2) + draws(answer);
            error.abs() <= 2.0 * variance.sqrt()
        };
        Self {
            max: errors.iter().fold(0.0, |most, error| most.max(error.abs())),
            mean: mean(&mut errors.iter().map(|error| error.abs())),
            rmse: rmse(&predicted, &measured),
            bias: mean(&mut errors.iter().copied()),
            within: nets.iter().zip(&errors).filter(within).count(),
        }
    }
}

impl Splits {
    /// Of nets judged on the validation images and on the test images.
    pub(super) fn of(nets: &[[&Judged; 2]]) -> Self {
        let count = nets.len() as f64;
        let differences: Vec<f64> =
            nets.iter().map(|[validation, test]| validation.accuracy() - test.accuracy()).collect();
        let harder = differences.iter().sum::<f64>() / count;
        let squares: f64 = differences.iter().map(|difference| (difference - harder).powi(2)).sum();
        // Of the mean over a split's images of the share of nets that are right on an image.
        let variance = |split: usize| {
            let images = nets[0][split].right.len();
            let shares = (0..images).map(|i| nets.iter().filter(|net| net[split].right[i]).count() as f64 / count);
            let (sum, squares) =
                shares.fold((0.0, 0.0), |(sum, squares), share| (sum + share, squares + share * share));
            let mean = sum / images as f64;
            (squares / images as f64 - mean * mean).max(0.0) / images as f64
        };
        Self {
            nets: nets.len(),
            harder,
            standard_error: (variance(0) + variance(1)).sqrt(),
            deviation: (squares / (count - 1.0).max(1.0)).sqrt(),
        }
    }
}

impl Difference {
    /// Of `a` less `b`: for each image, whether the net is right.
    pub(super) fn of(a: &[bool], b: &[bool]) -> Self {
        let n = a.len() as f64;
        let only = |of: &[bool], not: &[bool]| of.iter().zip(not).filter(|&(&of, &not)| of && !not).count() as f64;
        let (only_a, only_b) = (only(a, b), only(b, a));
        let points = (only_a - only_b) / n;
        Self { points, standard_error: (((only_a + only_b) / n - points * points).max(0.0) / n).sqrt() }
    }
}

impl Judged {
    pub(super) fn score(&self) -> Score {
        Score::new(self.right.iter().filter(|&&right| right).count(), self.right.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Net;
    use crate::space::Space;

    fn judged(right: &[u8]) -> Judged {
        Judged { arch: Space::load("fashion").unwrap().smallest(), right: right.iter().map(|&bit| bit == 1).collect() }
    }

    /// By hand: errors of +2, −1 and +5 points with intervals of 2 points on both sides; then all 2 points lower.
    #[test]
    fn errors_are_counted_before_and_after_the_difference_of_the_splits() {
        let arch = Space::load("fashion").unwrap().smallest();
        let answer = |measured| Answer {
            net: Net { arch: arch.clone(), accuracy: 0.9, deviation: 0.0101, cost: None },
            validation: Score::new(0, 1),
            test: Score::new(measured, 100),
        };
        let nets = [88, 91, 85].map(answer);
        let of = |harder| Foretold::of(&nets, |answer| answer.test.accuracy, harder, |_| 0.0);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} is not {b}");
        let raw = of(0.0);
        near(raw.max, 0.05);
        near(raw.mean, 0.08 / 3.0);
        near(raw.bias, 0.02);
        near(raw.rmse, (30e-4_f64 / 3.0).sqrt());
        assert_eq!(raw.within, 2);
        let lowered = of(0.02);
        near(lowered.bias, 0.0);
        near(lowered.max, 0.03);
        assert_eq!(lowered.within, 1);
        // Two deviations are 4.5 points with one of 2 points by the draws.
        let drawn = Foretold::of(&nets, |answer| answer.test.accuracy, 0.0, |_| 4e-4);
        assert_eq!((drawn.within, drawn.rmse), (2, raw.rmse));
        let drawn = Foretold::of(&nets, |answer| answer.test.accuracy, 0.0, |_| 9e-4);
        assert_eq!(drawn.within, 3);
    }

    #[test]
    fn a_difference_is_uncertain_by_the_images_that_tell_two_nets_apart() {
        let (a, b) = (judged(&[1, 1, 1, 0]), judged(&[1, 0, 0, 0]));
        let difference = Difference::of(&a.right, &b.right);
        assert_eq!(difference.points, 0.5);
        assert!((difference.standard_error - (0.25_f64 / 4.0).sqrt()).abs() < 1e-12);
        let none = Difference::of(&a.right, &a.right);
        assert_eq!(
            (none.points, none.standard_error),
            (0.0, 0.0),
            "the same net, though its own accuracy is uncertain"
        );
    }

    /// Of one net it is the error of two shares; of nets that are right on the same images no less.
    #[test]
    fn more_nets_do_not_make_the_images_more() {
        let (validation, test) = (judged(&[1, 1, 1, 0]), judged(&[1, 0, 1, 0]));
        let one = Splits::of(&[[&validation, &test]]);
        assert_eq!((one.harder, one.deviation), (0.25, 0.0));
        assert!((one.standard_error - (0.1875_f64 / 4.0 + 0.25 / 4.0).sqrt()).abs() < 1e-12);
        let many = Splits::of(&[[&validation, &test]; 9]);
        assert!((many.standard_error - one.standard_error).abs() < 1e-12 && many.nets == 9);
    }
}
