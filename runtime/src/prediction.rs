//! What a net's scores say.

/// The likeliest class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prediction {
    /// Position of the highest score, the first of equals.
    pub class: usize,
    /// That score.
    pub score: i8,
    /// By how much it is above the next: 0 is a tie.
    pub ahead: u8,
}

impl Prediction {
    /// Of a net's scores; `None` where there are none.
    ///
    /// ```
    /// use runtime::Prediction;
    ///
    /// let Prediction { class, score, ahead } = Prediction::of(&[-3, 40, 35]).unwrap();
    /// assert_eq!((class, score, ahead), (1, 40, 5));
    /// ```
    pub fn of(scores: &[i8]) -> Option<Self> {
        let mut all = scores.iter().copied().enumerate();
        let (mut class, mut score) = all.next()?;
        let mut second = None;
        for (i, other) in all {
            if other > score {
                (second, class, score) = (Some(score), i, other);
            } else {
                second = Some(second.map_or(other, |second: i8| second.max(other)));
            }
        }
        Some(Self { class, score, ahead: second.map_or(u8::MAX, |second| score.abs_diff(second)) })
    }
}

/// The likeliest class: the position of the highest score, the first of equals; 0 where there is no score.
///
/// ```
/// assert_eq!(runtime::argmax(&[-3, 40, 35]), 1);
/// ```
pub fn argmax(scores: &[i8]) -> usize {
    Prediction::of(scores).map_or(0, |prediction| prediction.class)
}

/// What scores stand for: (score − zero) × unit. `ofa compile` writes one as `SCORES`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScoreScale {
    /// Real difference of one step, in units of 2⁻¹⁶.
    pub unit: i32,
    /// The score of a real 0.
    pub zero: i8,
}

impl ScoreScale {
    /// The real score in units of 2⁻¹⁶: integers alone.
    ///
    /// ```
    /// // A quarter for each step, and −3 is a real 0.
    /// let scores = runtime::ScoreScale { unit: 65_536 / 4, zero: -3 };
    /// assert_eq!((scores.fixed(1), scores.real(1)), (65_536, 1.0));
    /// ```
    pub const fn fixed(&self, score: i8) -> i32 {
        (score as i32 - self.zero as i32).saturating_mul(self.unit)
    }

    /// The real score, a logit. The only floating point of this crate, for who calls it.
    pub fn real(&self, score: i8) -> f32 {
        self.fixed(score) as f32 / 65_536.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(Prediction::of(&[-3, 7, 7, 2]), Some(Prediction { class: 1, score: 7, ahead: 0 }));
        assert_eq!(argmax(&[-3, 7, 7, 2]), 1);
    }

    #[test]
    fn a_score_is_ahead_of_the_next_wherever_that_lies() {
        assert_eq!(Prediction::of(&[i8::MAX, i8::MIN]), Some(Prediction { class: 0, score: 127, ahead: 255 }));
        assert_eq!(Prediction::of(&[1, 9, 4]).map(|prediction| prediction.ahead), Some(5));
        assert_eq!(Prediction::of(&[9, 1, 4]).map(|prediction| prediction.ahead), Some(5));
    }

    #[test]
    fn no_scores_no_prediction() {
        assert_eq!(Prediction::of(&[]), None);
        assert_eq!(argmax(&[]), 0);
        assert_eq!(Prediction::of(&[5]), Some(Prediction { class: 0, score: 5, ahead: 255 }));
    }

    #[test]
    fn scores_are_logits_from_their_zero_on() {
        let scale = ScoreScale { unit: 1 << 14, zero: -3 };
        assert_eq!((scale.fixed(-3), scale.fixed(1), scale.real(1)), (0, 1 << 16, 1.0));
        assert_eq!(ScoreScale { unit: i32::MAX, zero: -128 }.fixed(127), i32::MAX);
    }
}
