//! Charts as SVG, for the report and for `explain --format svg`.
//!
//! They carry their colours as CSS classes with defaults that suit light and dark pages.

use std::fmt::Write as _;

use modelcost_analysis::bridge::Bridge;
use modelcost_core::dim::Dim;

use crate::args::Units;
use crate::units::{grouped, scaled};

/// Text inside SVG or HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const STYLE: &str = "<style>\
    .label{font:13px system-ui,sans-serif;fill:#1f2328}.small{font:11px system-ui,sans-serif;fill:#59636e}.value{font:12px ui-monospace,monospace;fill:#59636e}\
    .total{fill:#57606a}.up{fill:#cf222e}.down{fill:#1a7f37}.line{stroke:#d1d9e0;fill:none}.grid{stroke:#d1d9e0;stroke-dasharray:2 4;fill:none}.dot{fill:#0969da}.curve{stroke:#0969da;stroke-width:2;fill:none}\
    @media(prefers-color-scheme:dark){.label{fill:#f0f6fc}.value,.small{fill:#9198a1}.total{fill:#8b949e}.up{fill:#f85149}.down{fill:#3fb950}.line,.grid{stroke:#3d444d}.dot{fill:#58a6ff}.curve{stroke:#58a6ff}}\
    </style>";

/// A waterfall from one total to the other, one row a cause.
pub fn waterfall(bridge: &Bridge) -> String {
    const ROW: f64 = 34.0;
    const LEFT: f64 = 360.0;
    const WIDTH: f64 = 1000.0;
    let room = WIDTH - LEFT - 130.0;
    let mut level = bridge.from_count.approx();
    let mut reach = level.max(bridge.to_count.approx()).max(1.0);
    for cause in &bridge.causes {
        level += cause.delta.approx();
        reach = reach.max(level);
    }
    let x = |value: f64| LEFT + (value / reach).clamp(0.0, 1.0) * room;
    let height = ROW * (bridge.causes.len() as f64 + 2.0) + 8.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"From {} to {}\">{STYLE}",
        escape(&bridge.from),
        escape(&bridge.to)
    );
    let row = |out: &mut String,
               index: usize,
               label: &str,
               class: &str,
               from: f64,
               to: f64,
               value: String| {
        let y = ROW * index as f64 + 4.0;
        let (start, end) = (x(from.min(to)), x(from.max(to)));
        label_lines(out, label, LEFT - 12.0, y);
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{start:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"22\" rx=\"3\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            (end - start).max(1.5),
            end + 8.0,
            y + 16.0,
            escape(&value)
        );
    };
    let from = bridge.from_count.approx();
    row(
        &mut out,
        0,
        &bridge.from,
        "total",
        0.0,
        from,
        grouped(&bridge.from_count),
    );
    let mut level = from;
    for (index, cause) in bridge.causes.iter().enumerate() {
        let delta = cause.delta.approx();
        let class = if delta > 0.0 { "up" } else { "down" };
        let sign = if delta > 0.0 { "+" } else { "" };
        row(
            &mut out,
            index + 1,
            &cause.title,
            class,
            level,
            level + delta,
            format!("{sign}{}", grouped(&cause.delta)),
        );
        level += delta;
    }
    let last = bridge.causes.len() + 1;
    row(
        &mut out,
        last,
        &bridge.to,
        "total",
        0.0,
        bridge.to_count.approx(),
        grouped(&bridge.to_count),
    );
    out.push_str("</svg>\n");
    out
}

/// A row's label, ending at `x`: what it is about, and below it how the conventions differ.
fn label_lines(out: &mut String, label: &str, x: f64, y: f64) {
    let split = label.split_once(", ").or_else(|| label.split_once(": "));
    let mut line = |class: &str, y: f64, text: &str, most: usize| {
        let text = escape(&shorten(text, most));
        let _ = write!(
            out,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>"
        );
    };
    match split {
        Some((what, how)) => {
            line("label", y + 10.0, what, 50);
            line("small", y + 24.0, how, 62);
        }
        None => line("label", y + 16.0, label, 50),
    }
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let mut out: String = text.chars().take(most - 1).collect();
    out.push('…');
    out
}

/// A line through points, with sizes below and counts at the side.
pub fn curve(points: &[(f64, Dim)], x_label: &str, y_label: &str) -> String {
    const WIDTH: f64 = 1000.0;
    const HEIGHT: f64 = 340.0;
    const LEFT: f64 = 90.0;
    const RIGHT: f64 = 30.0;
    const TOP: f64 = 20.0;
    const BOTTOM: f64 = 50.0;
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return String::new();
    };
    let largest = points.iter().map(|(_, y)| y.approx()).fold(1.0, f64::max);
    let step = round_step(largest / 4.0);
    let top = (largest / step).ceil() * step;
    let span = (last.0 - first.0).max(f64::MIN_POSITIVE);
    let x = |value: f64| LEFT + (value - first.0) / span * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} by {}\">{STYLE}",
        escape(y_label),
        escape(x_label)
    );
    let mut at = 0.0;
    while at <= top * 1.001 {
        let _ = write!(
            out,
            "<line class=\"{}\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            if at == 0.0 { "line" } else { "grid" },
            WIDTH - RIGHT,
            y(at),
            y(at),
            LEFT - 8.0,
            y(at) + 4.0,
            escape(&scaled(&Dim::Const(at as i128), Units::Auto))
        );
        at += step;
    }
    let path: Vec<String> = points
        .iter()
        .map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(value.approx())))
        .collect();
    let _ = write!(
        out,
        "<polyline class=\"curve\" points=\"{}\"/>",
        path.join(" ")
    );
    // Labels that would touch the last one written are left out.
    let mut free_from = f64::MIN;
    for (at, value) in points {
        let title = format!("{x_label} {at}: {}", grouped(value));
        let _ = write!(
            out,
            "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}</title></circle>",
            x(*at),
            y(value.approx()),
            escape(&title)
        );
        let half = at.to_string().len() as f64 * 3.8;
        if x(*at) - half > free_from {
            free_from = x(*at) + half + 6.0;
            let _ = write!(
                out,
                "<text class=\"value\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{at}</text>",
                x(*at),
                HEIGHT - BOTTOM + 18.0
            );
        }
    }
    let _ = writeln!(
        out,
        "<text class=\"small\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text></svg>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0,
        escape(x_label)
    );
    out
}

/// The next larger of 1, 2, 2.5 and 5 times a power of ten.
fn round_step(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1.0).log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= value)
        .unwrap_or(10.0 * power)
}
