//! Plots as SVG: bars of CPU cost beside each other, with a line across the gate's where its goal lies. Plain text, no library.

use std::fmt::Write as _;

use super::report::{Report, cost};
use super::suite::Measured;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 230.0;
const BAR: f64 = 14.0;
const GAP: f64 = 12.0;
/// One colour a side, told apart in grey too.
const SIDES: [(&str, &str); 3] = [("gate", "#1f5fa8"), ("pass", "#8fb4dd"), ("nginx", "#c9c9c9")];

const GOAL: &str = "#c0392b";

/// Every plot of a report: name and text.
pub(crate) fn all(report: &Report) -> Vec<(String, String)> {
    let (bulk, small): (Vec<&Measured>, Vec<&Measured>) = report.cells.iter().partition(|cell| cost(cell).1 == "s/GB");
    let mut plots = Vec::new();
    if !bulk.is_empty() {
        plots.push(("cpu-per-gb.svg".to_owned(), bars("CPU seconds per GB", &bulk)));
    }
    if !small.is_empty() {
        plots.push(("cpu-per-request.svg".to_owned(), bars("CPU µs per request", &small)));
    }
    plots
}

/// Horizontal bars, a group for each work.
fn bars(title: &str, cells: &[&Measured]) -> String {
    let value = |cell: &Measured, side: &str| cell.median(side, cost(cell).0);
    let goal = |cell: &Measured| Some(value(cell, "pass")? * cell.goal()?);
    let highest = cells
        .iter()
        .flat_map(|cell| SIDES.iter().filter_map(|(side, _)| value(cell, side)).chain(goal(cell)))
        .fold(f64::MIN_POSITIVE, f64::max);
    let group = BAR * SIDES.len() as f64 + GAP;
    let height = 64.0 + group * cells.len() as f64;
    let scale = (WIDTH - LEFT - 70.0) / highest;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\">{title}</text>\n"
    );
    for (number, (side, colour)) in SIDES.iter().enumerate() {
        let x = LEFT + 90.0 * number as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"34\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"44\">{side}</text>",
            x + 17.0
        );
    }
    let x = LEFT + 90.0 * SIDES.len() as f64;
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"33\" width=\"2.5\" height=\"14\" fill=\"{GOAL}\"/><text x=\"{}\" y=\"44\">the gate's goal</text>",
        x + 8.0
    );
    for (number, cell) in cells.iter().enumerate() {
        let top = 58.0 + group * number as f64;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            top + BAR * 1.8,
            cell.name
        );
        for (row, (side, colour)) in SIDES.iter().enumerate() {
            let Some(value) = value(cell, side) else { continue };
            let (y, width) = (top + BAR * row as f64, value * scale);
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\">{value:.3}</text>",
                BAR - 2.0,
                LEFT + width + 5.0,
                y + BAR - 4.0
            );
        }
        if let Some(goal) = goal(cell) {
            let x = LEFT + goal * scale;
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"2.5\" height=\"{BAR}\" fill=\"{GOAL}\"/>",
                top - 1.0
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}
