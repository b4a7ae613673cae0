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
    .label{font:13px system-ui,sans-serif;fill:#1f2328}.value{font:12px ui-monospace,monospace;fill:#59636e}\
    .total{fill:#57606a}.up{fill:#cf222e}.down{fill:#1a7f37}.line{stroke:#d1d9e0;fill:none}.curve{stroke:#0969da;stroke-width:2;fill:none}\
    @media(prefers-color-scheme:dark){.label{fill:#f0f6fc}.value{fill:#9198a1}.total{fill:#8b949e}.up{fill:#f85149}.down{fill:#3fb950}.line{stroke:#3d444d}.curve{stroke:#58a6ff}}\
    </style>";

/// A waterfall from one total to the other, one row a cause.
pub fn waterfall(bridge: &Bridge) -> String {
    const ROW: f64 = 34.0;
    const LEFT: f64 = 400.0;
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
        let _ = write!(
            out,
            "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{start:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"22\" rx=\"3\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 12.0,
            y + 16.0,
            escape(&shorten(label, 60)),
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

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let mut out: String = text.chars().take(most - 1).collect();
    out.push('…');
    out
}

/// A line through points, with both axes labelled at their ends.
pub fn curve(points: &[(f64, Dim)], x_label: &str, y_label: &str) -> String {
    let (width, height, left, bottom) = (1000.0_f64, 340.0_f64, 110.0_f64, 44.0_f64);
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return String::new();
    };
    let top = points.iter().map(|(_, y)| y.approx()).fold(1.0, f64::max);
    let span = (last.0 - first.0).max(f64::MIN_POSITIVE);
    let x = |value: f64| left + (value - first.0) / span * (width - left - 40.0);
    let y = |value: f64| height - bottom - value / top * (height - bottom - 24.0);
    let path: Vec<String> = points
        .iter()
        .map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(value.approx())))
        .collect();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{} by {}\">{STYLE}",
        escape(y_label),
        escape(x_label)
    );
    let _ = write!(
        out,
        "<polyline class=\"line\" points=\"{left},14 {left},{0} {1},{0}\"/><polyline class=\"curve\" points=\"{2}\"/>",
        height - bottom,
        width - 20.0,
        path.join(" ")
    );
    for (at, value) in points {
        let title = format!("{x_label} {at}: {}", grouped(value));
        let _ = write!(
            out,
            "<circle class=\"total\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}</title></circle>",
            x(*at),
            y(value.approx()),
            escape(&title)
        );
    }
    let _ = writeln!(
        out,
        "<text class=\"value\" x=\"{:.1}\" y=\"24\" text-anchor=\"end\">{}</text>\
         <text class=\"value\" x=\"{left}\" y=\"{:.1}\">{}</text>\
         <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{} {}</text></svg>",
        left - 8.0,
        escape(&scaled(&Dim::Const(top as i128), Units::Auto)),
        height - bottom + 20.0,
        first.0,
        width - 20.0,
        height - bottom + 20.0,
        escape(x_label),
        last.0
    );
    out
}
