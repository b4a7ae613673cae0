//! What a person can choose: in the editor's settings, in `modelcost.toml`, in a comment of the file.

use std::ops::Range;

pub use modelcost_analysis::format::Units;
pub use modelcost_analysis::settings::*;

/// A comment that chooses for one file: `# modelcost: convention = "thop"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// The convention's name.
    pub convention: String,
    /// Where the name stands, without quotes.
    pub span: Range<usize>,
}

/// Finds the directive of a file: the first one, on a line of its own.
pub fn directive(text: &str) -> Option<Directive> {
    const MARK: &str = "modelcost:";
    let mut from = 0;
    while let Some(found) = text[from..].find(MARK) {
        let mark = from + found;
        from = mark + MARK.len();
        let line_start = text[..mark].rfind(['\n', '\r']).map_or(0, |at| at + 1);
        let before = text[line_start..mark].trim();
        if before != "#" && before != "//" {
            continue;
        }
        let line_end = text[from..]
            .find(['\n', '\r'])
            .map_or(text.len(), |at| from + at);
        let Some((key, value)) = text[from..line_end].split_once('=') else {
            continue;
        };
        if key.trim() != "convention" {
            continue;
        }
        let name = value.trim().trim_matches(['"', '\'']).trim();
        let start = line_end - value.len() + value.find(name).unwrap_or(0);
        return Some(Directive {
            convention: name.into(),
            span: start..start + name.len(),
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive() {
        let text = "# A net.\n#  modelcost: convention = \"thop@0.0.31\"\n[model]\n";
        let found = directive(text).unwrap();
        assert_eq!(found.convention, "thop@0.0.31");
        assert_eq!(&text[found.span], "thop@0.0.31");
        assert_eq!(directive("name = \"modelcost: convention = x\"\n"), None);
    }

    #[test]
    fn a_config() {
        modelcost_conventions::link();
        let text = "convention = \"thop\"\n[hints]\nunits = \"raw\"\nshape = false\n[budget]\ncount = \"600M\"\nptflops.params = 5_000_000\n";
        let (given, diagnostics) = parse_config(text);
        assert_eq!(diagnostics, []);
        let mut settings = Settings::default();
        settings.apply(&given);
        assert_eq!(settings.convention, "thop");
        assert_eq!(settings.hints.units, Units::Raw);
        assert!(!settings.hints.shape && settings.hints.params);
        assert_eq!(settings.budgets[0], ("count".into(), "600M".into()));
        assert_eq!(
            settings.budgets[1],
            ("ptflops.params".into(), "5000000".into())
        );
    }

    #[test]
    fn a_mistaken_config() {
        modelcost_conventions::link();
        let text = "convention = \"thopp\"\nhinst = 1\n[hints]\nunits = \"tons\"\n";
        let (_, diagnostics) = parse_config(text);
        let said: Vec<_> = diagnostics
            .iter()
            .map(|d| (&text[d.span.clone().unwrap()], d.message.as_str()))
            .collect();
        assert_eq!(
            said[0],
            (
                "thopp",
                "there is no convention 'thopp'; did you mean thop?"
            )
        );
        assert_eq!(said[1], ("hinst", "modelcost.toml has no key 'hinst'"));
        assert_eq!(said[2].0, "\"tons\"");
    }
}
