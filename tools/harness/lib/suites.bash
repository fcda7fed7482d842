# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Suites of tests: each one's KTAP is indented below its own line; the sum closes the run.

. "$harness/lib/splat.bash"

suite_log=$(mktemp)
beside='' beside_process=''
trap 'suites_clean' EXIT
suites=0 passed=0 failed=0 skipped=0

# Suites in the background are a process group of their own: their end does not depend on where
# a signal went.
suites_clean() {
	[[ -z $beside_process ]] || kill -9 -- "-$beside_process" 2>/dev/null || true
	rm -rf "$suite_log" ${beside:+"$beside"}
}

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

# suite_of_host NAME COMMAND... : a suite whose verdict depends on the files of the checkout alone.
# Skipped if it has passed for these very files; CI sets REPOLL_AGAIN.
suite_of_host() {
	local marker failed_before=$failed
	marker=$REPOLL_CACHE/passed/$(key_of "$1" "$(key_of_checkout)")
	if [[ -e $marker && ! ${REPOLL_AGAIN-} ]]; then
		suite "$1" echo "ok 1 - all of it # SKIP passed for these very files; REPOLL_AGAIN=1 runs it again"
		return
	fi
	suite "$@"
	((failed > failed_before)) || mark_passed "$marker"
}

# mark_passed FILE : those of last month's files are removed.
mark_passed() {
	mkdir -p "$REPOLL_CACHE/passed"
	find "$REPOLL_CACHE/passed" -type f -mtime +30 -delete
	touch "$1"
}

# A key of all files that git would commit, or of all, and of what they are built with.
key_of_checkout() {
	key_of "$(kbuild_folder stock)" "$(cd "$checkout" && { git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
		find . -type f -print0; } | LC_ALL=C sort -zu | xargs -0 sha256sum 2>/dev/null || true)"
}

# suites_beside FUNCTION : runs the suites of FUNCTION in the background. suites_join shows them.
suites_beside() {
	beside=$(mktemp -d)
	set -m
	(
		set +m
		suite_log=$beside/log suites=0 passed=0 failed=0 skipped=0
		trap - EXIT
		"$1"
		echo "$suites $passed $failed $skipped" >"$beside/sum"
	) >"$beside/out" 2>&1 &
	beside_process=$!
	set +m
}

# Waits for the suites in the background, and shows them as if they had run here and now.
suites_join() {
	local s p f k status=0
	wait "$beside_process" || status=$?
	awk -v before="$suites" '
		match($0, /^(not )?ok [0-9]+ - /) {
			split(substr($0, 1, RLENGTH), word, " ")
			number = word[1] == "not" ? word[3] : word[2]
			$0 = (word[1] == "not" ? "not " : "") "ok " (number + before) " - " substr($0, RLENGTH + 1)
		}
		{ print }' "$beside/out"
	{ read -r s p f k <"$beside/sum"; } 2>/dev/null || { s=1 p=0 f=1 k=0; echo "not ok $((suites + 1)) - suites in the background # status $status"; }
	suites=$((suites + s)) passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + k))
	rm -r "$beside"
	beside='' beside_process=''
}

# The plan, the sum, and the status of the whole run.
suites_end() {
	echo "1..$suites"
	local line="$passed passed, $failed failed"
	((skipped == 0)) || line+=", $skipped skipped"
	echo "$line"
	((failed == 0))
}
