//! Starts, prints an error's chain, sets the exit code.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
