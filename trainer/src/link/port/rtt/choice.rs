//! Which of the debug probes that are attached is meant.

use std::fmt;

use anyhow::{Result, bail};

/// A debug probe that is attached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Such as `J-Link`.
    pub name: String,
    /// USB's numbers of vendor and product.
    pub ids: [u16; 2],
    /// Empty where it says none.
    pub serial: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ids: [vendor, product], serial } = self;
        write!(f, "{name} {vendor:04x}:{product:04x}:{serial}")
    }
}

impl Found {
    /// By its serial number, or by its numbers and, if there is one, that.
    fn is(&self, wanted: &str) -> bool {
        let [vendor, product] = self.ids.map(|id| format!("{id:04x}"));
        let ids = format!("{vendor}:{product}");
        let whole = format!("{ids}:{}", self.serial);
        [&self.serial, &ids, &whole].iter().any(|name| name.eq_ignore_ascii_case(wanted))
    }
}

/// The place of the probe that is wanted for that board, among those that are attached.
///
/// # Errors
/// If there is none, or it could be several.
pub fn choose(board: &str, attached: &[Found], wanted: Option<&str>) -> Result<usize> {
    let list = |found: &[&Found]| found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let fit = |found: &&Found| wanted.is_none_or(|wanted| found.is(wanted));
    let fitting: Vec<&Found> = attached.iter().filter(fit).collect();
    match (&fitting[..], wanted) {
        ([one], _) => Ok(attached.iter().position(|found| found == *one).unwrap_or_default()),
        ([], Some(wanted)) if !attached.is_empty() => {
            bail!("no debug probe {wanted} is attached; there are: {}", list(&attached.iter().collect::<Vec<_>>()))
        }
        ([], _) => {
            let which = wanted.map_or(String::new(), |wanted| format!(" {wanted}"));
            bail!(
                "no debug probe{which} is attached, which {board} needs; plug it in, by a cable that carries data, or \
                 name another way to the board with --link"
            )
        }
        (several, _) => bail!(
            "{} debug probes are attached: {}; name that of {board}: --link rtt:SERIAL or rtt:VID:PID:SERIAL",
            several.len(),
            list(several)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, ids: [u16; 2], serial: &str) -> Found {
        Found { name: name.into(), ids, serial: serial.into() }
    }

    #[test]
    fn the_probe_that_is_named_is_chosen_or_the_only_one() {
        let (link, other) = (found("J-Link", [0x1366, 0x1015], "000683"), found("ST-LINK", [0x0483, 0x374b], "06AF"));
        let both = [link.clone(), other.clone()];
        assert_eq!(choose("b", std::slice::from_ref(&link), None).unwrap(), 0);
        for wanted in ["06AF", "06af", "0483:374B", "0483:374b:06AF"] {
            assert_eq!(choose("b", &both, Some(wanted)).unwrap(), 1, "{wanted}");
        }
        let check = |attached: &[Found], wanted: Option<&str>, part: &str| {
            let error = choose("b", attached, wanted).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check(&[], None, "no debug probe is attached, which b needs; plug it in");
        check(&[], Some("7"), "no debug probe 7 is attached, which b needs; plug it in");
        check(&both, Some("7"), "no debug probe 7 is attached; there are: J-Link 1366:1015:000683, ST-LINK");
        check(
            &both,
            None,
            "2 debug probes are attached: J-Link 1366:1015:000683, ST-LINK 0483:374b:06AF; name that of b",
        );
        // Two of a kind, by what they have in common.
        let twins = [link.clone(), found("J-Link", [0x1366, 0x1015], "000684")];
        check(&twins, Some("1366:1015"), "2 debug probes are attached");
        assert_eq!(choose("b", &twins, Some("000684")).unwrap(), 1);
    }
}
