//! What one costs where there are so many.

/// The cost of each, in nanoseconds, by how many there are.
#[derive(Clone)]
pub(crate) struct Curve {
    pub(crate) what: &'static str,
    pub(crate) points: Vec<(usize, f64)>,
}

/// One point is the median of so many runs.
const RUNS: usize = 3;

impl Curve {
    /// Measures and prints it. `run` gives the time that each of so many took.
    pub(crate) fn measure(what: &'static str, up_to: usize, run: impl Fn(usize) -> f64) -> Self {
        let sizes = (3..).map(|power| 10_usize.pow(power)).take_while(|&size| size <= up_to);
        let points = sizes.map(|size| {
            let mut runs: Vec<f64> = (0..RUNS).map(|_| run(size)).collect();
            runs.sort_by(f64::total_cmp);
            (size, runs[RUNS / 2])
        });
        let curve = Self { what, points: points.collect() };
        curve.print();
        curve
    }

    /// The dearest, of the cheapest.
    fn growth(&self) -> f64 {
        let costs = || self.points.iter().map(|&(_, cost)| cost);
        costs().fold(0.0, f64::max) / costs().fold(f64::INFINITY, f64::min)
    }

    /// Whether the dearest costs at most twice the cheapest.
    pub(crate) fn is_flat(&self) -> bool {
        self.growth() <= 2.0
    }

    fn print(&self) {
        println!("\n{}", self.what);
        for (size, cost) in &self.points {
            println!("{size:>12} {cost:>10.0} ns");
        }
        let verdict = if self.is_flat() { "flat" } else { "NOT flat" };
        println!("{:>12} {:>10.2} ×  {verdict}", "max / min", self.growth());
    }
}
