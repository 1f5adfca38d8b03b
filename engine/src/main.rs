//! The `adit` binary. Everything it does is in the library, where tests reach it.

fn main() -> std::process::ExitCode {
    adit::cli::main()
}
