//! The curves as a picture: logarithmic both ways, so that what is flat is a level line.

use std::{io, path::Path};

use plotters::prelude::*;

use crate::curve::Curve;

/// Draws them and gives the path of the file.
pub(crate) fn draw(curves: &[Curve]) -> String {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scale.svg");
    draw_into(&file, curves).expect("the curves are drawn");
    file.display().to_string()
}

fn draw_into(file: &Path, curves: &[Curve]) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let most = points().map(|&(size, _)| size).max().unwrap_or(1_000);
    let dearest = points().map(|&(_, cost)| cost).fold(1.0, f64::max);

    let area = SVGBackend::new(file, (1_000, 640)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("nanoseconds each, by how many there are", ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d((1_000..most).log_scale(), (10.0..dearest * 10.0).log_scale())?;
    chart.configure_mesh().x_desc("how many").y_desc("ns").draw()?;
    for (number, curve) in curves.iter().enumerate() {
        let colour = Palette99::pick(number).stroke_width(2);
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), colour).point_size(3))?
            .label(curve.what)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
