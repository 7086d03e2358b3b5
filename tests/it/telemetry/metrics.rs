//! What `MetricsListener` counts and measures.
