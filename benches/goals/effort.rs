//! How much is measured.

/// How often what is compared is run in turn. Many short rounds: few of them are disturbed, and a median does not mind those.
const ROUNDS: usize = 101;

/// All rounds, or with `-- --quick` a tenth: enough to see that everything runs.
pub(crate) fn rounds() -> usize {
    if std::env::args().any(|arg| arg == "--quick") { ROUNDS.div_ceil(10) } else { ROUNDS }
}
