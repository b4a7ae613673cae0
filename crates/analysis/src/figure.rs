//! Figures as papers print them: `4.1G`, `25.6 M`, `4,089,184,256`.

use std::fmt;
use std::str::FromStr;

/// A number with the precision it was printed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The printed digits as an integer: 41 for `4.1G`.
    digits: u128,
    /// What the last printed digit stands for: 100,000,000 for `4.1G`. A figure below one unit's
    /// precision (`4.1` with no suffix) keeps a step of 1.
    step: u128,
    text: String,
}

/// Why a text is not a figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a figure; write it as printed, for example 4.1G, 25.6M or 4089184256")]
pub struct FigureError(String);

/// Suffixes by the power of ten that they stand for, largest first.
const SUFFIXES: &[(u32, &str)] = &[(12, "T"), (9, "G"), (6, "M"), (3, "k")];

impl Figure {
    /// A value as it is printed down to the digit that stands for `step`.
    pub fn rounded(value: u128, step: u128) -> Figure {
        let (step, digits) = (step.max(1), value / step.max(1));
        let scale = SUFFIXES
            .iter()
            .map(|(power, suffix)| (10u128.pow(*power), *suffix))
            .find(|(scale, _)| value >= *scale);
        let text = match scale {
            Some((scale, suffix)) if step < scale => {
                let places = (scale / step).ilog10() as usize;
                format!(
                    "{}.{:0places$}{suffix}",
                    value / scale,
                    value % scale / step
                )
            }
            Some((scale, suffix)) => format!("{}{suffix}", value / scale),
            None => value.to_string(),
        };
        Figure { digits, step, text }
    }

    /// The printed value.
    pub fn value(&self) -> u128 {
        self.digits.saturating_mul(self.step)
    }

    /// What the last printed digit stands for.
    pub fn step(&self) -> u128 {
        self.step
    }

    /// Whether a value rounds to this figure at its own precision.
    pub fn fits(&self, value: u128) -> bool {
        // Halves are taken both ways: printers round them up or to even.
        let doubled = value.saturating_mul(2);
        let printed = self.value().saturating_mul(2);
        doubled.abs_diff(printed) <= self.step && (self.step > 1 || value == self.value())
    }

    /// Whether a value gives this figure when the digits after the printed ones are cut off.
    pub fn fits_truncated(&self, value: u128) -> bool {
        value / self.step == self.digits
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Figure {
    type Err = FigureError;

    fn from_str(text: &str) -> Result<Figure, FigureError> {
        let error = || FigureError(text.to_string());
        let compact: String = text
            .chars()
            .filter(|c| !matches!(c, ',' | '_' | ' ' | '\u{a0}' | '\u{202f}'))
            .collect();
        let end = compact
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(compact.len());
        let (number, rest) = compact.split_at(end);
        // `4.1e9` is 4.1 times 10^9; its last digit stands for 10^8.
        let (suffix, exponent) = match rest.strip_prefix(['e', 'E']) {
            Some(power) => (
                "",
                power
                    .trim_start_matches('+')
                    .parse::<u32>()
                    .map_err(|_| error())?,
            ),
            None => (rest, 0),
        };
        let lower = suffix.to_ascii_lowercase();
        let unit = lower
            .trim_end_matches("flops")
            .trim_end_matches("flop")
            .trim_end_matches("macs")
            .trim_end_matches("mac")
            .trim_end_matches("params");
        let power = exponent
            + match unit {
                "" => 0,
                "k" => 3,
                "m" => 6,
                "g" | "b" => 9,
                "t" => 12,
                "p" => 15,
                _ => return Err(error()),
            };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(error());
        }
        let mut digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| error())?;
        let places = u32::try_from(fraction.len()).map_err(|_| error())?;
        let step = match power.checked_sub(places) {
            Some(exponent) => 10u128.checked_pow(exponent).ok_or_else(error)?,
            // Digits below one: counts are whole, so they carry no information.
            None => {
                digits /= 10u128.checked_pow(places - power).ok_or_else(error)?;
                1
            }
        };
        digits.checked_mul(step).ok_or_else(error)?;
        Ok(Figure {
            digits,
            step,
            text: text.trim().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_printed_precision() {
        let figure: Figure = "4.1G".parse().unwrap();
        assert_eq!(
            (figure.value(), figure.step()),
            (4_100_000_000, 100_000_000)
        );
        assert!(figure.fits(4_089_184_256) && !figure.fits(4_178_000_000));
        assert!(!"4.089G".parse::<Figure>().unwrap().fits(4_089_984_256));
        assert!(
            "4.089 GFLOPs"
                .parse::<Figure>()
                .unwrap()
                .fits(4_089_184_256)
        );
        assert!(
            "4,089,184,256"
                .parse::<Figure>()
                .unwrap()
                .fits(4_089_184_256)
        );
        assert_eq!("25.6M".parse::<Figure>().unwrap().value(), 25_600_000);
        assert_eq!("4.1e9".parse::<Figure>().unwrap().step(), 100_000_000);
        assert!(
            "4.178G"
                .parse::<Figure>()
                .unwrap()
                .fits_truncated(4_178_999_999)
        );
    }

    #[test]
    fn writes_figures() {
        let text = |value, step| Figure::rounded(value, step).to_string();
        assert_eq!(text(4_089_180_000, 10_000), "4.08918G");
        assert_eq!(text(4_009_000_000, 1_000_000), "4.009G");
        assert_eq!(text(714_691_904, 1), "714.691904M");
        assert_eq!(text(12_000, 1_000), "12k");
        assert_eq!(text(12, 1), "12");
    }

    #[test]
    fn rejects_what_is_no_figure() {
        for text in ["", "G", "four", "4.1.2G", "4.1X", "1e99", "-3G"] {
            assert!(text.parse::<Figure>().is_err(), "{text}");
        }
    }
}
