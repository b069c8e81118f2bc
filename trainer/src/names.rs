//! What may have been meant by a name that is none.

/// How alike two names are that may be confused, as [`strsim::jaro_winkler`] has it: 1 for the same.
const ALIKE: f64 = 0.8;

/// ` (did you mean fashion?)`, or nothing where none of the names is alike.
pub fn did_you_mean<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    let alike = names.into_iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let best = alike.filter(|(how, _)| *how > ALIKE).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(String::new(), |(_, known)| format!(" (did you mean {known}?)"))
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn the_name_most_alike_is_meant() {
        let names = ["fashion", "mcu", "mps2-an385", "mps2-an386"];
        let of = |name| did_you_mean(name, names);
        assert_eq!(of("fashoin"), " (did you mean fashion?)");
        assert_eq!(of("mps2-an368"), " (did you mean mps2-an386?)");
        assert_eq!([of("space.toml"), of("")], ["", ""]);
    }
}
