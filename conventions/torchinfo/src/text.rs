//! The table that `torchinfo.summary(model, input_data=x)` prints, with its default columns and depth.

use std::fmt::Write as _;

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;

use crate::layer_info::{LayerInfo, SummaryList};
use crate::statistics::Statistics;

const MAX_DEPTH: usize = 3;
const COLUMN_WIDTH: usize = 25;
const COLUMNS: usize = 2;

/// The whole table, without a last line break.
pub fn table(list: &SummaryList, statistics: &Statistics) -> String {
    let names = names(list);
    let width = name_width(list, &names);
    let divider = "=".repeat(COLUMNS * COLUMN_WIDTH + width);
    let mut out = format!("{divider}\n");
    row(
        &mut out,
        width,
        "Layer (type:depth-idx)",
        "Output Shape",
        "Param #",
    );
    let _ = writeln!(out, "{divider}");
    let leftovers = list.leftovers();
    for (info, (name, (leftover, _))) in list.rows().zip(names.iter().zip(&leftovers)) {
        if info.depth <= MAX_DEPTH {
            let start = match info.depth {
                0 => String::new(),
                1 => "├─".into(),
                depth => format!("{}└─", "│    ".repeat(depth - 1)),
            };
            let name = format!("{start}{name}");
            row(
                &mut out,
                width,
                &name,
                &shape(&info.output_size),
                &params(info, leftover),
            );
        }
    }
    let _ = writeln!(out, "{divider}");
    let non_trainable = &statistics.params - &statistics.trainable;
    let _ = writeln!(out, "Total params: {}", statistics.params.grouped());
    let _ = writeln!(out, "Trainable params: {}", statistics.trainable.grouped());
    let _ = writeln!(out, "Non-trainable params: {}", non_trainable.grouped());
    let _ = writeln!(out, "Total mult-adds{}", readable(&statistics.mult_adds));
    let _ = writeln!(out, "{divider}");
    for (name, bytes) in statistics.sizes() {
        let _ = writeln!(out, "{name}: {}", megabytes(&bytes));
    }
    out.push_str(&divider);
    out
}

fn row(out: &mut String, width: usize, name: &str, shape: &str, params: &str) {
    let line = format!("{name:<width$} {shape:<COLUMN_WIDTH$} {params:<COLUMN_WIDTH$}");
    let _ = writeln!(out, "{}", line.trim_end());
}

/// `Conv2d: 2-1`: the class, the depth, and the position among all rows of that depth.
fn names(list: &SummaryList) -> Vec<String> {
    let mut at_depth: Vec<usize> = Vec::new();
    let rows = list.rows().map(|info| {
        if at_depth.len() <= info.depth {
            at_depth.resize(info.depth + 1, 0);
        }
        at_depth[info.depth] += 1;
        match info.depth {
            0 => info.class_name.to_string(),
            depth => format!("{}: {depth}-{}", info.class_name, at_depth[depth]),
        }
    });
    rows.collect()
}

/// 40, or the longest name with its indent, rounded up to a multiple of five.
fn name_width(list: &SummaryList, names: &[String]) -> usize {
    let lengths = list.rows().zip(names);
    let lengths = lengths.map(|(info, name)| name.chars().count() + info.depth * 5 + 1);
    match lengths.max() {
        Some(longest) if longest >= 40 => longest.div_ceil(5) * 5,
        _ => 40,
    }
}

fn shape(shape: &Shape) -> String {
    if shape.is_empty() {
        return "--".into();
    }
    let sizes: Vec<_> = shape.iter().map(Dim::to_string).collect();
    format!("[{}]", sizes.join(", "))
}

fn params(info: &LayerInfo, leftover: &Dim) -> String {
    let parameters = &info.parameters;
    if parameters.count == Dim::ZERO {
        return "--".into();
    }
    if info.is_recursive {
        return "(recursive)".into();
    }
    if info.depth == MAX_DEPTH || info.is_leaf_layer {
        let count = parameters.count.grouped();
        if parameters.trainable == Dim::ZERO {
            return format!("({count})");
        }
        return count;
    }
    match leftover.as_const() {
        Some(count) if count <= 0 => "--".into(),
        _ => leftover.grouped(),
    }
}

/// Millions of bytes with two decimals.
pub fn megabytes(bytes: &Dim) -> String {
    match bytes.as_const() {
        Some(bytes) => format!("{:.2}", bytes as f64 / 1e6),
        None => format!("({bytes}) / 1e6"),
    }
}

/// ` (Units.MEGABYTES): 714.68`: in millions, billions or trillions. torchinfo means to print `(M)`,
/// and did before Python 3.11 changed how such an enumeration is formatted.
fn readable(count: &Dim) -> String {
    let Some(count) = count.as_const() else {
        return format!(": {count}");
    };
    let count = count as f64;
    let (unit, value) = if count >= 1e12 {
        ("Units.TERABYTES", count / 1e12)
    } else if count >= 1e9 {
        ("Units.GIGABYTES", count / 1e9)
    } else {
        ("Units.MEGABYTES", count / 1e6)
    };
    if value.fract() == 0.0 {
        return format!(" ({unit}): {}", Dim::from(value as i128).grouped());
    }
    let text = format!("{value:.2}");
    match text.split_once('.') {
        Some((whole, rest)) => {
            let whole = whole.parse::<i128>().unwrap_or_default();
            format!(" ({unit}): {}.{rest}", Dim::from(whole).grouped())
        }
        None => format!(" ({unit}): {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_python_prints_them() {
        assert_eq!(Dim::from(61_100_840).grouped(), "61,100,840");
        assert_eq!(
            readable(&Dim::from(714_682_664)),
            " (Units.MEGABYTES): 714.68"
        );
        assert_eq!(readable(&Dim::from(2_000_000)), " (Units.MEGABYTES): 2");
        assert_eq!(megabytes(&Dim::from(602_176)), "0.60");
    }
}
