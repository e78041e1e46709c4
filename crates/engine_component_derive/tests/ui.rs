//! Mistakes that must not compile, each with the message that the compiler gives for it.
//!
//! `TRYBUILD=overwrite` writes the messages anew.

#[test]
fn mistakes_do_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass_*.rs");
    cases.compile_fail("tests/ui/fail_*.rs");
}
