//! Every part is killed, round after round; each acknowledged purchase is found exactly once everywhere.
#![cfg(target_os = "linux")]

use std::process::Command;

#[test]
fn each_purchase_counts_once_whatever_is_killed() {
    let verify = Command::new(env!("CARGO_BIN_EXE_ledger")).args(["verify", "--rounds", "6", "--seed", "7"]).output();
    let output = verify.expect("the program is there");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("lost 0, doubled 0"), "{said}");
    assert!(said.contains("6 rounds, 42 kills"), "{said}");
}
