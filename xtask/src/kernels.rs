//! `cargo xtask kernels`: whether loops over columns become vector code, counted in the machine code.
//!
//! A clock says how fast a loop was on one machine on one day. This says what the compiler made of it: in the
//! assembly of `crates/engine_component/examples/kernels.rs` it looks for the innermost loop of each kernel, counts
//! its instructions, and by how many rows one turn goes on. It needs nothing but the compiler, on an x86-64 machine,
//! whose instructions it knows.

use anyhow::{Context, Result, bail};

use crate::command::{Cmd, root};

/// The loop over plain slices, and those that have to be as good.
const HAND: &str = "kernel_hand";
const KERNELS: &[&str] = &[HAND, "kernel_slices", "kernel_rows", "kernel_prepared"];

/// What a build may use: what every such machine has, or all that this one has.
const TARGETS: &[(&str, &str)] = &[("default", "x86-64"), ("native", "native")];

/// Bytes of a row of each column.
const ROW: usize = 12;

/// More than the loop by hand takes, times this, is a fault.
const MARGIN: f64 = 1.1;

/// The innermost loop of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Loop {
    instructions: usize,
    /// Rows that one turn goes on by.
    rows: usize,
    /// Bits of the widest register that it adds in.
    bits: usize,
}

impl Loop {
    fn per_row(self) -> f64 {
        self.instructions as f64 / self.rows as f64
    }
}

pub(crate) fn run() -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        bail!("kernels are only compared on x86-64");
    }
    println!(
        "{:8} {:16} {:>12} {:>5} {:>5} {:>17}",
        "target", "kernel", "instructions", "rows", "bits", "instructions/row"
    );
    let mut faults = Vec::new();
    for (target, cpu) in TARGETS {
        let assembly = assembly(target, cpu)?;
        let mut hand = None;
        for kernel in KERNELS {
            let found = innermost(&assembly, kernel).with_context(|| format!("no loop is found in {kernel}"))?;
            let most = MARGIN * hand.get_or_insert(found).per_row();
            let Loop { instructions, rows, bits } = found;
            println!("{target:8} {kernel:16} {instructions:>12} {rows:>5} {bits:>5} {:>17.2}", found.per_row());
            if found.per_row() > most {
                faults.push(format!("{kernel} ({target}) takes more instructions than {HAND}"));
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

/// The kernels, compiled for a processor.
fn assembly(target: &str, cpu: &str) -> Result<String> {
    let path = root().join("target").join(format!("kernels-{target}.s"));
    let build =
        Cmd::cargo("rustc --quiet --release --package engine_component --example kernels -- -C codegen-units=1")
            .arg("-C")
            .arg(format!("target-cpu={cpu}"))
            .arg(format!("--emit=asm={}", path.display()));
    build.run()?;
    std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))
}

/// The loop of a function that adds floats and goes on by the most rows in one turn: a run of instructions that ends
/// with a jump back to its beginning.
fn innermost(assembly: &str, function: &str) -> Option<Loop> {
    let lines = assembly.lines().skip_while(|line| !is_beginning(line, function)).skip(1);
    let (mut best, mut block, mut label): (Option<Loop>, Vec<&str>, &str) = (None, Vec::new(), "");
    for line in lines.take_while(|line| !line.starts_with(".Lfunc_end")) {
        if let Some(name) = line.strip_suffix(':').filter(|_| !line.starts_with(char::is_whitespace)) {
            (label, block) = (name, Vec::new());
            continue;
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with(['.', '#']) {
            continue;
        }
        block.push(line);
        if line.starts_with('j') && line.split_whitespace().nth(1) == Some(label) {
            let found = loop_of(&block).filter(|found| found.rows > best.map_or(0, |best| best.rows));
            best = found.or(best);
        }
    }
    best
}

/// What a loop does, if it adds floats and goes on by whole rows.
fn loop_of(block: &[&str]) -> Option<Loop> {
    let bits = block.iter().filter_map(|line| added_bits(line)).max()?;
    let step = block.iter().filter_map(|line| steps(line)).filter(|step| step.is_multiple_of(ROW)).max()?;
    Some(Loop { instructions: block.len(), rows: step / ROW, bits })
}

/// Whether the code of a function begins in this line: its name is a part of the mangled one.
fn is_beginning(line: &str, function: &str) -> bool {
    line.ends_with(':') && line.starts_with("_") && line.contains(function)
}

/// Bits of the register that an instruction adds floats in.
fn added_bits(instruction: &str) -> Option<usize> {
    match instruction.split_whitespace().next()? {
        "addss" | "vaddss" => Some(32),
        "addps" | "vaddps" if instruction.contains("%zmm") => Some(512),
        "addps" | "vaddps" if instruction.contains("%ymm") => Some(256),
        "addps" | "vaddps" => Some(128),
        _ => None,
    }
}

/// By how much an instruction moves a pointer.
fn steps(instruction: &str) -> Option<usize> {
    let number = instruction.strip_prefix("addq")?.trim_start().strip_prefix('$')?;
    number.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSEMBLY: &str = "
_ZN7kernels11kernel_hand17h0E:
	.cfi_startproc
	testq	%rsi, %rsi
	je	.LBB0_4
.LBB0_1:
	movups	(%rdi,%rax), %xmm0
	movups	(%rdx,%rax), %xmm1
	addps	%xmm0, %xmm1
	movups	%xmm1, (%rdi,%rax)
	addq	$24, %rax
	cmpq	%rax, %rsi
	jne	.LBB0_1
.LBB0_2:
	movss	(%rdi,%rax), %xmm0
	addss	(%rdx,%rax), %xmm0
	addq	$12, %rax
	jne	.LBB0_2
.LBB0_4:
	retq
.Lfunc_end0:
_ZN7kernels11kernel_rows17h0E:
	jmp	.LBB1_1
.LBB1_1:
	vaddps	(%rdx,%rax), %ymm0, %ymm0
	addq	$96, %rax
	jne	.LBB1_1
.Lfunc_end1:
";

    #[test]
    fn the_loop_of_a_function_is_found() {
        let hand = innermost(ASSEMBLY, "kernel_hand").unwrap();
        assert_eq!(hand, Loop { instructions: 7, rows: 2, bits: 128 });
        assert_eq!(hand.per_row(), 3.5);
        let rows = innermost(ASSEMBLY, "kernel_rows").unwrap();
        assert_eq!(rows, Loop { instructions: 3, rows: 8, bits: 256 });
        assert_eq!(innermost(ASSEMBLY, "kernel_slices"), None);
    }
}
