//! A treemap of what each module counts itself, grouped by the model's parts.

use std::collections::HashMap;
use std::fmt::Write as _;

use modelcost_core::dim::Dim;
use modelcost_core::report::Report;
use modelcost_core::trace::{ModuleId, Trace};

use crate::args::Units;
use crate::svg::escape;
use crate::units::{grouped, scaled, share};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 460.0;

/// Colours of the parts, in turn; readable under white text on light and dark pages.
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

/// The height of a group's heading.
const HEADING: f64 = 20.0;

/// What a module counts itself, its children left out.
struct Own {
    path: String,
    class: String,
    count: Dim,
}

/// A part of the model, and the counted modules in it.
struct Group<'a> {
    path: String,
    layers: Vec<&'a Own>,
}

impl<'a> Group<'a> {
    fn weight(&self) -> f64 {
        self.layers.iter().map(|layer| weight(layer)).sum()
    }

    /// The groups of its children, where it has more than one; a chain of single children is walked
    /// through.
    fn split(&self) -> Option<Vec<Group<'a>>> {
        let start = match self.path.len() {
            0 => 0,
            length => length + 1,
        };
        let mut out: Vec<Group<'a>> = Vec::new();
        for layer in &self.layers {
            // What the group's own module counts is a part like its children.
            let path = match layer.path.get(start..) {
                Some(rest) => &layer.path[..start + rest.find('.').unwrap_or(rest.len())],
                None => &layer.path,
            };
            match out.iter_mut().find(|group| group.path == path) {
                Some(group) => group.layers.push(layer),
                None => out.push(Group {
                    path: path.to_string(),
                    layers: vec![layer],
                }),
            }
        }
        match &out[..] {
            [only] if only.path != self.path => only.split(),
            [_] | [] => None,
            _ => Some(out),
        }
    }
}

fn weight(layer: &Own) -> f64 {
    layer.count.approx()
}

/// What each module counts itself, in the order of the model.
fn own_counts(trace: &Trace, report: &Report) -> Vec<Own> {
    let mut counts: HashMap<ModuleId, Dim> = HashMap::new();
    for entry in &report.entries {
        *counts.entry(entry.module).or_default() += &entry.count;
    }
    let modules = trace.named_modules().into_iter();
    let own = modules.filter_map(|(path, id)| {
        let count = counts.remove(&id).filter(|count| count.approx() > 0.0)?;
        let class = trace.module(id).class.short_name().to_string();
        Some(Own { path, class, count })
    });
    own.collect()
}

/// The model's parts, split until none holds most of it.
fn parts(layers: Vec<&Own>) -> Vec<Group<'_>> {
    /// More groups than a page can tell apart.
    const MOST: usize = 24;
    /// A group with more than this share of the whole is split further.
    const LARGE: f64 = 0.45;
    let whole: f64 = layers.iter().map(|layer| weight(layer)).sum();
    let mut done: Vec<Group<'_>> = Vec::new();
    let mut open = vec![Group {
        path: String::new(),
        layers,
    }];
    while let Some(group) = open.pop() {
        let is_large = group.path.is_empty() || group.weight() > LARGE * whole;
        let room = MOST.saturating_sub(open.len() + done.len());
        match group
            .split()
            .filter(|parts| is_large && parts.len() <= room)
        {
            Some(parts) => open.extend(parts.into_iter().rev()),
            None => done.push(group),
        }
    }
    done.sort_by(|a, b| b.weight().total_cmp(&a.weight()));
    done
}

/// The map as SVG.
pub fn svg(trace: &Trace, report: &Report) -> String {
    let own = own_counts(trace, report);
    let total = report
        .count
        .as_ref()
        .map(|cost| cost.count().clone())
        .unwrap_or_default();
    let groups = parts(own.iter().collect());
    let whole = Rect {
        x: 0.0,
        y: 0.0,
        w: WIDTH,
        h: HEIGHT,
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Share of each layer\">"
    );
    let weights: Vec<f64> = groups.iter().map(Group::weight).collect();
    for (index, (group, rect)) in groups.iter().zip(squarify(&weights, whole)).enumerate() {
        draw(
            &mut out,
            group,
            rect,
            COLOURS[index % COLOURS.len()],
            &total,
        );
    }
    out.push_str("</svg>\n");
    out
}

/// A group: its heading, and its layers below it.
fn draw(out: &mut String, group: &Group<'_>, rect: Rect, colour: &str, total: &Dim) {
    let mut layers = group.layers.clone();
    layers.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    let has_heading = layers.len() > 1 && rect.h > 2.5 * HEADING && rect.w > 60.0;
    let mut inner = rect;
    if has_heading {
        inner.y += HEADING;
        inner.h -= HEADING;
        let sum: Dim = layers.iter().map(|layer| layer.count.clone()).sum();
        let part = share(&sum, total).unwrap_or_default();
        let _ = write!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{HEADING}\" fill=\"{colour}\" stroke=\"#fff\" stroke-opacity=\".55\"/>",
            rect.x, rect.y, rect.w
        );
        let both = format!("{}  {part}", group.path);
        let fitting = [both.as_str(), &group.path, last_parts(&group.path, 1)];
        text(out, &fitting, rect.x, rect.y + 14.0, rect.w, Style::Heading);
    }
    let weights: Vec<f64> = layers.iter().map(|layer| weight(layer)).collect();
    for (layer, rect) in layers.iter().zip(squarify(&weights, inner)) {
        let count = &layer.count;
        let title = format!(
            "{} {}: {} ({})",
            layer.path,
            layer.class,
            grouped(count),
            share(count, total).unwrap_or_default()
        );
        let _ = write!(
            out,
            "<g><title>{}</title><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\" stroke=\"#fff\" stroke-opacity=\".55\"/>",
            escape(&title),
            rect.x,
            rect.y,
            rect.w,
            rect.h
        );
        if rect.h > 18.0 {
            // Below a heading the group's own path need not be said again.
            let own = layer.path.strip_prefix(&group.path).unwrap_or(&layer.path);
            let own = own.trim_start_matches('.');
            let own = if own.is_empty() || !has_heading {
                &layer.path
            } else {
                own
            };
            let fitting = [own, last_parts(own, 2), last_parts(own, 1)];
            text(out, &fitting, rect.x, rect.y + 15.0, rect.w, Style::Name);
        }
        if rect.h > 34.0 {
            let value = scaled(count, Units::Auto);
            text(out, &[&value], rect.x, rect.y + 30.0, rect.w, Style::Value);
        }
        out.push_str("</g>");
    }
}

/// The last parts of a path: `attn.qkv` of `blocks.0.attn.qkv`.
fn last_parts(path: &str, parts: usize) -> &str {
    let dots: Vec<usize> = path.match_indices('.').map(|(at, _)| at).collect();
    match dots.len().checked_sub(parts) {
        Some(first) => &path[dots[first] + 1..],
        None => path,
    }
}

#[derive(Clone, Copy)]
enum Style {
    Heading,
    Name,
    Value,
}

/// Writes the first of some texts that fits a width; of a name that does not, its beginning.
fn text(out: &mut String, texts: &[&str], x: f64, y: f64, width: f64, style: Style) {
    const MARGIN: f64 = 6.0;
    let (per_letter, attributes) = match style {
        Style::Heading => (
            7.4,
            "font-family=\"system-ui,sans-serif\" font-size=\"12\" font-weight=\"600\"",
        ),
        Style::Name => (7.0, "font-family=\"system-ui,sans-serif\" font-size=\"12\""),
        Style::Value => (
            6.7,
            "font-family=\"ui-monospace,monospace\" font-size=\"11\" fill-opacity=\".8\"",
        ),
    };
    let room = ((width - 2.0 * MARGIN) / per_letter).max(0.0) as usize;
    let fitting = texts.iter().find(|text| text.chars().count() <= room);
    let shortened = texts
        .last()
        .filter(|_| matches!(style, Style::Name) && room >= 5)
        .map(|text| text.chars().take(room - 1).collect::<String>() + "…");
    let text = fitting.map(|text| text.to_string()).or(shortened);
    if let Some(text) = text {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{y:.1}\" fill=\"#fff\" {attributes}>{}</text>",
            x + MARGIN,
            escape(&text)
        );
    }
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
