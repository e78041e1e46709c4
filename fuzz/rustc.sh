#!/bin/sh
# The compiler of this workspace's crates when they are fuzzed: with counters in every branch, and with
# comparisons traced, as libFuzzer wants them. Macros and build scripts run inside of the compiler and of cargo,
# where nobody would count.
rustc=$1
shift
case " $* " in
*" proc-macro "* | *" build_script_build "*) exec "$rustc" "$@" ;;
esac
exec "$rustc" "$@" -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0
