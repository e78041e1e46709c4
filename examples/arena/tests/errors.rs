//! What goes wrong is told to people: one line, also where programmers asked for backtraces.

use std::process::Command;

#[test]
fn an_error_is_one_line_without_a_backtrace() {
    for (arguments, said) in [
        (["system", "steer"], "no NATS server at nats://127.0.0.1:1: "),
        (["system", "stear"], "there is no system `stear`; there are: steer, "),
        (["--rate", "0"], "it has to be above 0"),
    ] {
        let mut arena = Command::new(env!("CARGO_BIN_EXE_arena"));
        let output = arena.args(arguments).env("RUST_BACKTRACE", "1").env("NATS_URL", "nats://127.0.0.1:1").output();
        let output = output.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with("error: ") && error.contains(said) && error.lines().count() == 1, "{error}");
    }
}
