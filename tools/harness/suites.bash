# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Suites of tests: each one's KTAP is indented below its own line; the sum closes the run.

. "$harness/splat.bash"

suite_log=$(mktemp)
trap 'rm -f "$suite_log"' EXIT
suites=0 passed=0 failed=0 skipped=0

# run_suite COMMAND... : shows what it prints, keeps it in $suite_log, and returns its status.
run_suite() {
	local status
	set +e
	"$@" 2>&1 </dev/null | tee "$suite_log" | sed -uE '/^[0-9]+ passed, [0-9]+ failed/d; s/^/    /'
	status=${PIPESTATUS[0]}
	set -e
	return "$status"
}

# suite NAME COMMAND... : counts its result lines. A suite that ends badly
# without a failed test of its own (a hang, an oops) counts as one failure.
# A suite whose guest QEMU failed runs once more, and only that run counts.
suite() {
	local name=$1 status=0 start=$SECONDS p f s
	shift
	suites=$((suites + 1))
	echo "# $name"
	run_suite "$@" || status=$?
	if grep -qF "$emulator_failed" "$suite_log"; then
		echo "# $name, once more"
		status=0
		run_suite "$@" || status=$?
	fi
	s=$(grep -cE '^ *ok [0-9]+.*# SKIP' "$suite_log" || true)
	p=$(($(grep -cE '^ *ok [0-9]+' "$suite_log" || true) - s))
	f=$(grep -cE '^ *not ok [0-9]+' "$suite_log" || true)
	if ((status != 0 && f == 0)); then
		echo "    # ended with status $status"
		f=1
	elif ((p + f + s == 0)); then
		echo "    # no test ran"
		f=1
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	((f)) && printf 'not '
	printf 'ok %d - %s # %d s\n' "$suites" "$name" "$((SECONDS - start))"
}

# The plan, the sum, and the status of the whole run.
suites_end() {
	echo "1..$suites"
	local line="$passed passed, $failed failed"
	((skipped == 0)) || line+=", $skipped skipped"
	echo "$line"
	((failed == 0))
}
