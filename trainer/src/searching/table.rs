//! The study for people: tables in Markdown.

use super::{Answer, Foretold, Row, Searching, Splits};
use crate::evaluate::Score;

impl Searching {
    /// The front, how far it is from what was foretold, and each problem's ways to a net.
    pub fn table(&self) -> String {
        let mut lines = vec![format!(
            "{} nets along the front of predicted accuracy and latency on {}; {} validation and {} test images",
            self.front.len(),
            self.board,
            self.validation_images,
            self.test_images
        )];
        lines.push(String::new());
        lines.push(format!("| {} | predicted | validation | test | predicted − test |", self.unit));
        lines.push("|---:|---:|---:|---:|---:|".into());
        lines.extend(self.front.iter().map(point));
        lines.push(String::new());
        lines.extend(self.errors());
        for row in &self.limits {
            lines.push(String::new());
            lines.extend(of_problem(row, &self.unit));
        }
        lines.join("\n")
    }

    fn errors(&self) -> Vec<String> {
        let Splits { nets, harder, standard_error, deviation } = self.splits;
        let row = |name: &str, errors: &Foretold| {
            let Foretold { max, mean, rmse, bias, within } = *errors;
            let [max, mean, rmse] = [max, mean, rmse].map(points);
            let (bias, all) = (signed(bias), self.front.len());
            format!("| {name} | {max} | {mean} | {rmse} | {bias} | {within} of {all} |")
        };
        vec![
            "| predicted beside, in points | max | mean | RMSE | bias | within the interval |".into(),
            "|---|---:|---:|---:|---:|---:|".into(),
            row("validation images", &self.errors.validation),
            row("test images", &self.errors.test),
            row("test images, difference of the splits removed", &self.errors.test_less_splits),
            String::new(),
            format!(
                "difference of the splits: {nets} nets drawn evenly have {} ± {} points more of the validation images \
                 than of the test images, deviation {} from net to net",
                signed(harder),
                points(standard_error),
                points(deviation)
            ),
        ]
    }
}

fn point(answer: &Answer) -> String {
    let Answer { net, validation, test } = answer;
    format!(
        "| {} | {} ± {} % | {} % | {} | {} |",
        latency(answer),
        points(net.accuracy.into()),
        points(2.0 * f64::from(net.deviation)),
        points(validation.accuracy),
        percent(test),
        signed(f64::from(net.accuracy) - test.accuracy)
    )
}

fn of_problem(row: &Row, unit: &str) -> Vec<String> {
    let limits: Vec<_> = row.limits.iter().map(|(quantity, limit)| format!("{quantity}={limit}")).collect();
    let mut lines = vec![
        format!("within {}, {} random nets (of {} drawn):", limits.join(" "), row.random, row.draws),
        String::new(),
        format!("| net | {unit} | predicted | validation | test | searched − this | verified − this |"),
        "|---|---:|---:|---:|---:|---:|---:|".into(),
    ];
    lines.extend(row.ways.iter().map(|way| {
        let [gain, verified] = [way.gain, way.verified_gain].map(|gain| {
            gain.map_or("".into(), |gain| format!("{} ± {}", signed(gain.points), points(gain.standard_error)))
        });
        format!(
            "| {} | {} | {} % | {} % | {} | {gain} | {verified} |",
            way.name,
            latency(&way.answer),
            points(way.answer.net.accuracy.into()),
            points(way.answer.validation.accuracy),
            percent(&way.answer.test)
        )
    }));
    lines
}

fn latency(answer: &Answer) -> String {
    answer.net.cost.and_then(|cost| cost.latency).map_or("-".into(), |latency| latency.to_string())
}

fn percent(score: &Score) -> String {
    format!("{} ± {} %", points(score.accuracy), points(score.standard_error))
}

fn points(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

fn signed(share: f64) -> String {
    format!("{:+.2}", 100.0 * share)
}
