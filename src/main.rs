//! The commands: arguments in, exit status out. No logic.

fn main() {}
