//! Symmetric positive definite matrices, as regressions make them.

/// A symmetric positive definite matrix.
#[derive(Clone, Debug)]
pub(super) struct Positive {
    size: usize,
    /// Row by row.
    values: Vec<f64>,
}

/// Σ a·b.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Positive {
    /// Σ row·rowᵀ + `ridge` on the diagonal, which makes it definite.
    pub fn gram(rows: &[Vec<f64>], ridge: f64) -> Self {
        let size = rows.first().map_or(0, Vec::len);
        let mut values = vec![0.0; size * size];
        for row in rows {
            for (line, a) in values.chunks_exact_mut(size.max(1)).zip(row).filter(|(_, a)| **a != 0.0) {
                line.iter_mut().zip(row).for_each(|(value, b)| *value += a * b);
            }
        }
        values.iter_mut().step_by(size + 1).for_each(|value| *value += ridge);
        Self { size, values }
    }

    /// Its inverse, by Gauss and Jordan: no pivot of a definite matrix is zero.
    pub fn inverse(self) -> Self {
        let Self { size, mut values } = self;
        for pivot in 0..size {
            let scale = 1.0 / values[pivot * size + pivot];
            let mut line = values[pivot * size..(pivot + 1) * size].to_vec();
            line[pivot] = 1.0;
            line.iter_mut().for_each(|value| *value *= scale);
            for row in 0..size {
                let own = &mut values[row * size..(row + 1) * size];
                if row == pivot {
                    own.copy_from_slice(&line);
                    continue;
                }
                let factor = own[pivot];
                own[pivot] = 0.0;
                own.iter_mut().zip(&line).for_each(|(value, of_pivot)| *value -= factor * of_pivot);
            }
        }
        Self { size, values }
    }

    /// Times a vector.
    pub fn times(&self, vector: &[f64]) -> Vec<f64> {
        self.values.chunks_exact(self.size.max(1)).map(|row| dot(row, vector)).collect()
    }

    /// vectorᵀ · matrix · vector.
    pub fn form(&self, vector: &[f64]) -> f64 {
        dot(&self.times(vector), vector)
    }
}
