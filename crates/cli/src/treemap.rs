//! A treemap of a report's leaves, grouped by the model's children.

use std::fmt::Write as _;

use modelcost_core::report::{Layer, Report};

use crate::args::Units;
use crate::svg::escape;
use crate::units::{grouped, scaled, share};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 460.0;

/// Colours of the model's children, in turn; readable under white text on light and dark pages.
const COLOURS: &[&str] = &[
    "#0550ae", "#116329", "#953800", "#6639ba", "#a40e26", "#1b7c83", "#7d4e00", "#99286e",
    "#3e4a59", "#4d6b00",
];

#[derive(Clone, Copy)]
struct Rect {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

/// The map as SVG.
pub fn svg(report: &Report) -> String {
    let weight = |layer: &Layer| layer.count.as_ref().map_or(0.0, |count| count.approx());
    let mut leaves: Vec<&Layer> = report
        .layers
        .iter()
        .filter(|layer| !layer.is_container && weight(layer) > 0.0)
        .collect();
    leaves.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    let total = report
        .count
        .as_ref()
        .map(|cost| cost.count().clone())
        .unwrap_or_default();
    let mut groups: Vec<&str> = Vec::new();
    for layer in &report.layers {
        let top = layer.path.split('.').next().unwrap_or_default();
        if !top.is_empty() && !groups.contains(&top) {
            groups.push(top);
        }
    }
    let whole = Rect {
        x: 0.0,
        y: 0.0,
        w: WIDTH,
        h: HEIGHT,
    };
    let rects = squarify(
        &leaves.iter().map(|layer| weight(layer)).collect::<Vec<_>>(),
        whole,
    );
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Share of each layer\">"
    );
    for (layer, rect) in leaves.iter().zip(rects) {
        let top = layer.path.split('.').next().unwrap_or_default();
        let group = groups.iter().position(|group| *group == top).unwrap_or(0);
        let count = layer.count.clone().unwrap_or_default();
        let title = format!(
            "{} {}: {} ({})",
            layer.path,
            layer.class,
            grouped(&count),
            share(&count, &total).unwrap_or_default()
        );
        let _ = write!(
            out,
            "<g><title>{}</title><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\" stroke=\"#fff\" stroke-opacity=\".55\"/>",
            escape(&title),
            rect.x,
            rect.y,
            rect.w,
            rect.h,
            COLOURS[group % COLOURS.len()]
        );
        let fits = rect.h > 20.0 && rect.w > 8.0 * layer.path.len() as f64;
        if fits {
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#fff\" font-family=\"system-ui,sans-serif\" font-size=\"12\">{}</text>",
                rect.x + 6.0,
                rect.y + 16.0,
                escape(&layer.path)
            );
            if rect.h > 38.0 {
                let _ = write!(
                    out,
                    "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#fff\" fill-opacity=\".8\" font-family=\"ui-monospace,monospace\" font-size=\"11\">{}</text>",
                    rect.x + 6.0,
                    rect.y + 32.0,
                    escape(&scaled(&count, Units::Auto))
                );
            }
        }
        out.push_str("</g>");
    }
    out.push_str("</svg>\n");
    out
}

/// Rectangles with areas in proportion to descending weights, as near to squares as a row at a time
/// allows (Bruls, Huizing and van Wijk, "Squarified Treemaps", 2000).
fn squarify(weights: &[f64], whole: Rect) -> Vec<Rect> {
    let sum: f64 = weights.iter().sum();
    let scale = whole.w * whole.h / sum.max(f64::MIN_POSITIVE);
    let areas: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
    let mut out = Vec::with_capacity(areas.len());
    let mut free = whole;
    let mut start = 0;
    while start < areas.len() {
        let side = free.w.min(free.h);
        let mut end = start + 1;
        while end < areas.len()
            && worst(&areas[start..=end], side) <= worst(&areas[start..end], side)
        {
            end += 1;
        }
        let row = &areas[start..end];
        let thickness = row.iter().sum::<f64>() / side.max(f64::MIN_POSITIVE);
        let mut along = 0.0;
        for area in row {
            let length = area / thickness.max(f64::MIN_POSITIVE);
            out.push(if free.w >= free.h {
                Rect {
                    x: free.x,
                    y: free.y + along,
                    w: thickness,
                    h: length,
                }
            } else {
                Rect {
                    x: free.x + along,
                    y: free.y,
                    w: length,
                    h: thickness,
                }
            });
            along += length;
        }
        if free.w >= free.h {
            free = Rect {
                x: free.x + thickness,
                w: free.w - thickness,
                ..free
            };
        } else {
            free = Rect {
                y: free.y + thickness,
                h: free.h - thickness,
                ..free
            };
        }
        start = end;
    }
    out
}

/// The largest ratio of sides in a row.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    row.iter()
        .map(|area| (side * side * area / (sum * sum)).max(sum * sum / (side * side * area)))
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_shares() {
        let whole = Rect {
            x: 0.0,
            y: 0.0,
            w: 100.0,
            h: 60.0,
        };
        let rects = squarify(&[6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0], whole);
        for (rect, weight) in rects.iter().zip([6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0]) {
            assert!((rect.w * rect.h - weight / 24.0 * 6000.0).abs() < 1e-6);
            assert!(
                rect.x >= -1e-9
                    && rect.x + rect.w <= 100.0 + 1e-9
                    && rect.y + rect.h <= 60.0 + 1e-9
            );
        }
    }
}
