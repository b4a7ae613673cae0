//! One self-contained page about a model.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use modelcost_analysis::bridge::bridge;
use modelcost_analysis::growth::{Growth, growth};
use modelcost_analysis::sweep::{self, Axis};
use modelcost_core::convention::{Convention, Options as CountOptions, Standing};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::report::Report;
use modelcost_core::trace::Shape;
use modelcost_reader::{Model, Options};
use smol_str::SmolStr;

use super::sweep::{INPUT_SIZE, image};
use super::{all_conventions, convention, open};
use crate::args::{ReportArgs, Units};
use crate::errors::Failed;
use crate::files;
use crate::svg;
use crate::treemap;
use crate::units::{grouped, shape, share, with_unit};

/// More rows than these are folded away at first.
const MOST_ROWS: usize = 60;

/// One convention's answer.
struct Column {
    convention: &'static dyn Convention,
    result: Result<Report, String>,
}

pub fn run(args: &ReportArgs) -> Result<String, Failed> {
    let options = args.read.options().map_err(Failed::input)?;
    let model = open(&args.model, &options)?;
    let main = convention(&args.convention)?;
    let columns: Vec<Column> = all_conventions()
        .into_iter()
        .map(|convention| {
            let result = convention
                .count(&model.trace, &CountOptions::default())
                .map_err(|failure| failure.to_string());
            Column { convention, result }
        })
        .collect();
    let report = main
        .count(&model.trace, &CountOptions::default())
        .map_err(|failure| Failed::in_file(&args.model, failure))?;
    let growing = growing(&model, args, main);
    let page = page(
        &model,
        main,
        &report,
        &columns,
        args.against.as_deref(),
        growing.as_ref(),
    )?
    .into_string();
    match &args.output {
        None => Ok(page),
        Some(path) => files::write(path, page.as_bytes()),
    }
}

/// How the count grows.
struct Growing {
    /// What is varied, in words.
    title: &'static str,
    axis: Axis,
    points: Vec<(f64, Dim)>,
    growth: Option<Growth>,
}

/// The count at other sizes of the image or other lengths of the text, where the file allows them.
fn growing(model: &Model, args: &ReportArgs, convention: &dyn Convention) -> Option<Growing> {
    let options = args.read.options().ok()?;
    let trace = &model.trace;
    let (title, axis, at): (_, _, Dimension) = match image(trace) {
        Some((_, shape)) => {
            let side = u64::try_from(shape[3].as_const()?).ok()?;
            let step = if side < 96 { (side / 2).max(1) } else { 32 };
            let sizes = (4..=16).map(|n| n * step).collect();
            ("By image side", (INPUT_SIZE, sizes), Dimension::Image)
        }
        None => {
            let (_, first) = trace.inputs.first()?;
            let first = trace.tensor(*first);
            let is_text = first.dtype.is_some_and(|dtype| !dtype.is_floating_point());
            let length = first
                .shape
                .as_ref()?
                .iter()
                .max_by_key(|dim| dim.as_const())?;
            length.as_const().filter(|_| is_text)?;
            let sizes = (6..=12).map(|power| 1 << power).collect();
            (
                "By sequence length",
                ("seq", sizes),
                Dimension::Length(length.clone()),
            )
        }
    };
    let axis = Axis {
        name: axis.0.into(),
        sizes: axis.1,
    };
    let shapes = |size: &Dim| -> Vec<(SmolStr, Shape)> {
        let inputs = trace.inputs.iter();
        let shapes = inputs.filter_map(|(name, id)| {
            let mut shape = trace.tensor(*id).shape.clone()?;
            match &at {
                Dimension::Image if shape.len() == 4 => shape[2..].fill(size.clone()),
                Dimension::Image => {}
                Dimension::Length(length) => {
                    for dim in shape.iter_mut().filter(|dim| *dim == length) {
                        *dim = size.clone();
                    }
                }
            }
            Some((name.clone(), shape))
        });
        shapes.collect()
    };
    let unbound = open(&args.model, &Options::default()).ok()?;
    let read = |sizes: &[(String, Dim)]| match sizes {
        [(_, size)] => unbound.at_shapes(&options, &shapes(size)),
        _ => Err("a report sweeps one dimension".into()),
    };
    let swept = sweep::sweep(std::slice::from_ref(&axis), &read, convention);
    let points: Vec<(f64, Dim)> = swept
        .points
        .iter()
        .filter_map(|point| Some((point.at.first()?.1 as f64, point.count.clone().ok()?)))
        .filter(|(_, count)| count.is_const())
        .collect();
    let growth = swept
        .polynomial()
        .and_then(|count| growth(count, &axis.name));
    (points.len() > 2).then_some(Growing {
        title,
        axis,
        points,
        growth,
    })
}

/// What of the inputs follows the axis.
enum Dimension {
    Image,
    Length(Dim),
}

fn page(
    model: &Model,
    convention: &'static dyn Convention,
    report: &Report,
    columns: &[Column],
    against: Option<&str>,
    growing: Option<&Growing>,
) -> Result<Markup, Failed> {
    let trace = &model.trace;
    let total = report.count.as_ref().map(|cost| cost.count().clone());
    let unit = report.convention.unit;
    let other = match against {
        Some(name) => Some(self::convention(name)?),
        // The well-known convention whose number differs most tells most.
        None => furthest(columns, convention),
    };
    let bridge = other.and_then(|other| {
        let other = other.count(trace, &CountOptions::default()).ok()?;
        bridge(trace, report, &other)
    });
    let inputs: Vec<String> = trace
        .inputs
        .iter()
        .map(|(name, id)| {
            let tensor = trace.tensor(*id);
            let dims = tensor.shape.as_deref().map(shape).unwrap_or("?".into());
            format!(
                "{name} {dims} {}",
                tensor.dtype.map(|dtype| dtype.name()).unwrap_or("")
            )
        })
        .collect();
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (trace.name) " – modelcost" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (trace.name) }
                    p.faint { (model.path.file_name().unwrap_or_default().to_string_lossy()) " · " (inputs.join(", ")) }
                    div.figures {
                        @if let Some(total) = &total {
                            (figure(&with_unit(total, Units::Auto, unit), &grouped(total), &report.convention.identity()))
                        }
                        @if let Some(params) = &report.params {
                            (figure(&with_unit(params, Units::Auto, unit).replace("Mac", "").replace("FLOP", ""), &grouped(params), "parameters"))
                        }
                    }
                }
                main {
                    section {
                        h2 { "The same model, " (columns.len()) " conventions" }
                        (table_of_conventions(columns, convention))
                    }
                    @if let Some(total) = &total {
                        section {
                            h2 { "Where it goes" }
                            p.faint { "Area is the share of " (grouped(total)) " " (unit) "s under " (report.convention.identity()) "." }
                            div.scroll { (PreEscaped(treemap::svg(trace, report))) }
                        }
                    }
                    @if let Some(bridge) = &bridge {
                        section {
                            h2 { "From " (bridge.from) " to " (bridge.to) }
                            div.scroll { (PreEscaped(svg::waterfall(bridge))) }
                        }
                    }
                    @if let Some(growing) = growing {
                        section {
                            h2 { (growing.title) }
                            div.scroll { (PreEscaped(svg::curve(&growing.points, &growing.axis.name, &report.convention.identity()))) }
                            @if let Some(growth) = &growing.growth {
                                p.faint { (growth.order) ", from " code { (growth.leading) } }
                            }
                        }
                    }
                    section {
                        details open[report.layers.len() <= MOST_ROWS] {
                            summary { h2 { "Layers" } }
                            (table_of_layers(report, total.as_ref()))
                        }
                    }
                    @if report.fidelity.level != Level::Exact {
                        section {
                            h2 { "What the file does not say" }
                            ul { @for note in &report.fidelity.notes { li { (note) } } }
                        }
                    }
                }
                footer.faint { "modelcost " (env!("CARGO_PKG_VERSION")) }
            }
        }
    })
}

fn furthest(columns: &[Column], from: &dyn Convention) -> Option<&'static dyn Convention> {
    let count = |column: &Column| -> Option<f64> {
        Some(
            column
                .result
                .as_ref()
                .ok()?
                .count
                .as_ref()?
                .count()
                .approx(),
        )
    };
    let own = columns
        .iter()
        .find(|column| column.convention.info() == from.info())
        .and_then(count)?;
    columns
        .iter()
        .filter(|column| {
            let info = column.convention.info();
            matches!(info.standing, Standing::Builtin | Standing::Common)
        })
        .filter_map(|column| {
            Some((
                column.convention,
                (count(column)?.max(1.0) / own.max(1.0)).ln().abs(),
            ))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, distance)| *distance > 0.0)
        .map(|(convention, _)| convention)
}

fn figure(large: &str, exact: &str, label: &str) -> Markup {
    html! { div { strong { (large) } span { (exact) } em { (label) } } }
}

fn table_of_conventions(columns: &[Column], main: &dyn Convention) -> Markup {
    html! {
        table.conventions {
            thead { tr { th { "convention" } th.number { "count" } th { "unit" } th.number { "parameters" } th { "why" } } }
            tbody {
                @for column in columns {
                    @let info = column.convention.info();
                    tr.main[info == main.info()] {
                        td { (info.identity()) }
                        @match &column.result {
                            Ok(report) => {
                                td.number { (report.count.as_ref().map_or("–".into(), |cost| grouped(cost.count()))) }
                                td { (info.unit) }
                                td.number { (report.params.as_ref().map_or("–".into(), grouped)) }
                                td.faint.why { (info.summary) }
                            }
                            Err(message) => {
                                td.number { "fails" } td { (info.unit) } td.number { "–" } td.faint.why { (message) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn table_of_layers(report: &Report, total: Option<&Dim>) -> Markup {
    html! {
        table.layers {
            thead { tr { th { "layer" } th { "class" } th { "output" } th.number { "parameters" } th.number { "count" } th.number { "share" } } }
            tbody {
                @for layer in report.layers.iter().filter(|layer| !layer.path.is_empty()) {
                    tr.container[layer.is_container] {
                        td style={ "padding-left:" (0.6 + 1.1 * (layer.depth.saturating_sub(1)) as f64) "rem" } {
                            code { (layer.path.rsplit('.').next().unwrap_or_default()) }
                        }
                        td { (layer.class) }
                        td { (layer.output_shape.as_deref().map(shape).unwrap_or_default()) }
                        td.number { (layer.params.as_ref().filter(|p| **p != Dim::ZERO).map(grouped).unwrap_or_default()) }
                        td.number { (layer.count.as_ref().filter(|c| **c != Dim::ZERO).map(grouped).unwrap_or_default()) }
                        td.number { (layer.count.as_ref().zip(total).filter(|(c, _)| **c != Dim::ZERO).and_then(|(c, t)| share(c, t)).unwrap_or_default()) }
                    }
                }
            }
        }
    }
}

const STYLE: &str = "
:root{color-scheme:light dark;--text:#1f2328;--faint:#59636e;--line:#d1d9e0;--page:#fff;--card:#f6f8fa;--accent:#0969da}
@media(prefers-color-scheme:dark){:root{--text:#f0f6fc;--faint:#9198a1;--line:#3d444d;--page:#0d1117;--card:#151b23;--accent:#58a6ff}}
body{margin:0 auto;max-width:68rem;padding:2rem 1.25rem 4rem;font:16px/1.5 system-ui,sans-serif;color:var(--text);background:var(--page)}
h1{margin:0;font-size:2rem}h2{margin:3rem 0 .75rem;font-size:1.25rem}
.faint,footer{color:var(--faint)}p{margin:.25rem 0}
.figures{display:flex;gap:1rem;flex-wrap:wrap;margin-top:1.25rem}
.figures div{display:flex;flex-direction:column;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.75rem 1.25rem}
.figures strong{font-size:1.6rem}.figures span{font-family:ui-monospace,monospace}.figures em{font-style:normal;color:var(--faint)}
table{border-collapse:collapse;width:100%;font-size:.9rem}th{text-align:left;color:var(--faint);font-weight:500}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
.number{text-align:right;font-family:ui-monospace,monospace;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.main{background:var(--card);font-weight:600}tr.container td{color:var(--faint)}
td:first-child{white-space:nowrap}
svg{width:100%;height:auto}footer{margin-top:4rem}
section{overflow-x:auto}
summary{cursor:pointer}summary h2{display:inline-block}
@media(max-width:44rem){
body{padding:1.25rem .75rem 3rem}section{overflow-x:visible}
.conventions thead{display:none}.conventions tr{display:grid;grid-template-columns:1fr auto auto;border-bottom:1px solid var(--line)}
.conventions td{border:0}.conventions td:nth-child(4){display:none}.conventions .why{grid-column:1/-1;padding-top:0}
.layers th:nth-child(2),.layers td:nth-child(2),.layers th:nth-child(3),.layers td:nth-child(3),.layers th:nth-child(4),.layers td:nth-child(4){display:none}
.scroll{overflow-x:auto}.scroll svg{min-width:44rem}
}
";
