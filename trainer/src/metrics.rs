//! How well one list of numbers foretells another.
//!
//! ```
//! use trainer::metrics::{kendall_tau, rmse, spearman};
//!
//! let (predicted, actual) = ([1.0, 2.0, 4.0], [1.0, 3.0, 2.0]);
//! assert!((rmse(&predicted, &actual).powi(2) - 5.0 / 3.0).abs() < 1e-9);
//! assert!((kendall_tau(&predicted, &actual) - 1.0 / 3.0).abs() < 1e-9, "two of three pairs are in order");
//! assert!((spearman(&predicted, &actual) - 0.5).abs() < 1e-9);
//! ```

/// Root of the mean squared difference.
pub fn rmse(predicted: &[f64], actual: &[f64]) -> f64 {
    let squares: f64 = predicted.iter().zip(actual).map(|(p, a)| (p - a).powi(2)).sum();
    (squares / actual.len() as f64).sqrt()
}

/// Kendall's tau-b: agreement of order over all pairs, from −1 to 1, corrected for ties; NaN where a list is constant.
pub fn kendall_tau(predicted: &[f64], actual: &[f64]) -> f64 {
    let (mut agreement, mut untied_predicted, mut untied_actual) = (0.0, 0.0, 0.0);
    for i in 0..actual.len() {
        for j in 0..i {
            let sign = |values: &[f64]| values[i].total_cmp(&values[j]) as i8 as f64;
            let (p, a) = (sign(predicted), sign(actual));
            agreement += p * a;
            untied_predicted += p.abs();
            untied_actual += a.abs();
        }
    }
    agreement / (untied_predicted * untied_actual).sqrt()
}

/// Spearman's rho: the correlation of ranks, ties sharing theirs; NaN where a list is constant.
pub fn spearman(predicted: &[f64], actual: &[f64]) -> f64 {
    correlation(&ranks(predicted), &ranks(actual))
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        below + (equal - 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let products: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    let squares = |values: &[f64], mean: f64| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    products / (squares(a, mean_a) * squares(b, mean_b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_order_is_one_and_the_reverse_minus_one() {
        let (up, down) = ([1.0, 2.0, 4.0, 8.0], [3.0, 2.0, 1.0, 0.0]);
        assert_eq!((kendall_tau(&up, &up), spearman(&up, &up)), (1.0, 1.0));
        assert_eq!((kendall_tau(&up, &down), spearman(&up, &down)), (-1.0, -1.0));
    }

    /// By hand: of the six pairs four agree, one disagrees, one is tied on the right.
    #[test]
    fn ties_and_swaps_count_as_the_definitions_say() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 3.0]);
        assert!((kendall_tau(&a, &b) - 3.0 / 30.0_f64.sqrt()).abs() < 1e-12);
        assert!((spearman(&a, &b) - 3.0 / (5.0 * 4.5_f64).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn rmse_is_in_the_units_of_its_numbers() {
        assert_eq!(rmse(&[1.0, 1.0], &[4.0, -2.0]), 3.0);
    }
}
