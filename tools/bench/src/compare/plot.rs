// SPDX-License-Identifier: GPL-2.0
//! The comparison as a drawing.

use super::{Comparison, Method};
use anyhow::{anyhow, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 520;

fn colour(method: Method) -> RGBColor {
    match method {
        Method::Select => RGBColor(0xc2, 0x3b, 0x22),
        Method::Poll => RGBColor(0xd9, 0x8e, 0x04),
        Method::Level => RGBColor(0x1b, 0x6c, 0xa8),
        Method::Edge => RGBColor(0x2e, 0x8b, 0x57),
    }
}

/// Draws SVG in one line, in two panels: one file is ready, all are.
pub fn plot(comparison: &Comparison) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let failed = |error: &dyn std::fmt::Display| anyhow!("cannot draw: {error}");
        area.fill(&WHITE).map_err(|e| failed(&e))?;
        let (left, right) = area.split_horizontally(WIDTH / 2);
        for (panel, all) in [(&left, false), (&right, true)] {
            draw(panel, comparison, all).map_err(|e| failed(&e))?;
        }
        area.present().map_err(|e| failed(&e))?;
    }
    let licence = "><!-- SPDX-License-Identifier: GPL-2.0 -->";
    Ok(svg.replacen('>', licence, 1).replace('\n', ""))
}

fn draw<'a>(
    panel: &DrawingArea<SVGBackend<'a>, Shift>,
    comparison: &Comparison,
    all: bool,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let title = if all { "all are ready" } else { "one is ready" };
    let mut chart = ChartBuilder::on(panel)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(74)
        .build_cartesian_2d(
            (0.8f64..14_000.0).log_scale(),
            (300f64..8_000_000.0).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("files watched")
        .y_desc("instructions a call")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for method in Method::ALL {
        for (side, name) in ["C ", ""].into_iter().enumerate() {
            let points: Vec<_> = comparison
                .points
                .iter()
                .filter(|point| point.method == method && point.all == all)
                .map(|point| (point.watched as f64, point.instructions[side]))
                .collect();
            let colour = colour(method);
            let label = format!("{name}{}", method.name());
            let ours = side == 1;
            let style = colour.stroke_width(if ours { 3 } else { 1 });
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style))?
                .label(label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
            let size = if ours { 4 } else { 2 };
            chart.draw_series(
                points
                    .iter()
                    .map(|&point| Circle::new(point, size, colour.filled())),
            )?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 14))
        .draw()
}

#[cfg(test)]
mod tests {
    use super::super::{Point, WATCHED};
    use super::*;
    use repoll::Counts;

    #[test]
    fn a_comparison_can_be_drawn_in_one_line() -> Result<()> {
        let mut points = Vec::new();
        for method in Method::ALL {
            for watched in WATCHED {
                for all in [false, true] {
                    points.push(Point {
                        method,
                        watched,
                        all,
                        instructions: [400.0 * watched as f64, 700.0],
                        counts: Counts::default(),
                    });
                }
            }
        }
        let comparison = Comparison {
            nothing: [1.0, 2.0],
            points,
        };
        let svg = plot(&comparison)?;
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains('\n'));
        assert!(svg.contains("one is ready") && svg.contains("C select"));
        assert_eq!(comparison.text().lines().count(), 2 * 13 + 1);
        Ok(())
    }
}
