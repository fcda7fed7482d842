# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# A run of several suites of tests. Each suite is a parent in the KTAP report: its own results are
# indented above its line. The closing line counts the tests of all suites.

. "$harness/lib/ktap.bash"
. "$harness/lib/splat.bash"

suite_log=$(mktemp)
background='' background_process=''
trap 'suites_clean' EXIT

# Background suites form a process group of their own, so that one signal ends them all.
suites_clean() {
	[[ -z $background_process ]] || kill -9 -- "-$background_process" 2>/dev/null || true
	rm -rf "$suite_log" ${background:+"$background"}
}

# run_suite COMMAND... : shows COMMAND's output, keeps it in $suite_log, returns its status.
run_suite() {
	local status
	set +e
	"$@" 2>&1 </dev/null | tee "$suite_log" | sed -uE '/^[0-9]+ passed, [0-9]+ failed/d; s/^/  /'
	status=${PIPESTATUS[0]}
	set -e
	return "$status"
}

# suite NAME COMMAND... : runs COMMAND and counts its results. A suite that ends with an error but
# without a failed test (a hang, an oops) counts as one failure. If QEMU failed the guest, the
# suite runs a second time, and only the second run counts.
suite() {
	local name=$1 status=0 start=$SECONDS passed failed skipped
	shift
	echo "# $name"
	run_suite "$@" || status=$?
	if grep -qF "$emulator_failed" "$suite_log"; then
		echo "# $name, once more"
		status=0
		run_suite "$@" || status=$?
	fi
	read -r passed failed skipped < <(ktap_count <"$suite_log")
	if ((status != 0 && failed == 0)); then
		echo "  # ended with status $status"
		failed=1
	elif ((passed + failed + skipped == 0)); then
		echo "  # no test ran"
		failed=1
	fi
	ktap_number=$((ktap_number + 1)) ktap_passed=$((ktap_passed + passed))
	ktap_failed=$((ktap_failed + failed)) ktap_skipped=$((ktap_skipped + skipped))
	ktap_line "$( ((failed)) && echo failed || echo passed)" "$ktap_number" "$name" "$((SECONDS - start)) s"
}

# suite_of_host NAME COMMAND... : a suite whose result depends on the checkout's files alone. It is
# skipped if it has passed for the same files; REPOLL_AGAIN=1, which CI sets, runs it in any case.
suite_of_host() {
	local marker failed_before=$ktap_failed
	marker=$REPOLL_CACHE/passed/$(key_of "$1" "$(key_of_checkout)")
	if [[ -e $marker && ! ${REPOLL_AGAIN-} ]]; then
		suite "$1" ktap_line skipped 1 "all of it" "passed for the same files; REPOLL_AGAIN=1 runs it again"
		return
	fi
	suite "$@"
	((ktap_failed > failed_before)) || mark_passed "$marker"
}

# mark_passed MARKER : creates the marker, and removes markers that are older than a month.
mark_passed() {
	mkdir -p "$REPOLL_CACHE/passed"
	find "$REPOLL_CACHE/passed" -type f -mtime +30 -delete
	touch "$1"
}

# key_of_checkout : a key of the kernel's build and of all files that git would commit (of all
# files in a folder without git history).
key_of_checkout() {
	key_of "$(kbuild_folder stock)" "$(cd "$checkout" && { git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
		find . -type f -print0; } | LC_ALL=C sort -zu | xargs -0 sha256sum 2>/dev/null || true)"
}

# suites_in_background FUNCTION : runs the suites of FUNCTION in the background.
suites_in_background() {
	background=$(mktemp -d)
	set -m
	(
		set +m
		suite_log=$background/log
		trap - EXIT
		ktap_begin >/dev/null
		"$1"
		echo "$ktap_number $ktap_passed $ktap_failed $ktap_skipped" >"$background/counts"
	) >"$background/out" 2>&1 &
	background_process=$!
	set +m
}

# suites_join : waits for the background suites, prints their report and adds their counts.
suites_join() {
	local number passed failed skipped status=0
	wait "$background_process" || status=$?
	ktap_renumber "$ktap_number" <"$background/out"
	if ! { read -r number passed failed skipped <"$background/counts"; } 2>/dev/null; then
		number=1 passed=0 failed=1 skipped=0
		ktap_line failed "$((ktap_number + 1))" "suites in the background" "status $status"
	fi
	ktap_number=$((ktap_number + number)) ktap_passed=$((ktap_passed + passed))
	ktap_failed=$((ktap_failed + failed)) ktap_skipped=$((ktap_skipped + skipped))
	rm -r "$background"
	background='' background_process=''
}
