//! Setup, build, test, demo, emulated machines and benchmarks.

fn main() {}
