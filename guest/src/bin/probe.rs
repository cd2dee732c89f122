//! `probe`: tries what a kernel is said to have. See
//! [`stage1_builder_guest::probe`].

fn main() -> std::process::ExitCode {
    stage1_builder_guest::probe::main()
}
