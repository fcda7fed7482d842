# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The scripts' one writer and one reader of KTAP, the Kernel Test Anything Protocol. The programs
# in Rust write the same format (tools/testkit):
#
#   KTAP version 1
#   # the reason                     diagnostics precede the result that they belong to
#   not ok 1 NAME
#   ok 2 NAME # SKIP REASON
#   ok 3 NAME # 12 ms
#   1..3
#   1 passed, 1 failed, 1 skipped    our own closing line, not part of KTAP
#
# The results of a parent test are indented and precede the result of the parent.

# ---- the writer

# ktap_begin [WORD...] : starts a report; tests run only if their name contains one of the words.
# shellcheck disable=SC2120 # callers in other files pass words
ktap_begin() {
	ktap_number=0 ktap_passed=0 ktap_failed=0 ktap_skipped=0
	ktap_words=("$@")
	echo 'KTAP version 1'
}

ktap_wanted() {
	local word
	((${#ktap_words[@]})) || return 0
	for word in "${ktap_words[@]}"; do [[ $1 != *"$word"* ]] || return 0; done
	return 1
}

# ktap_line passed|failed|skipped NUMBER NAME [COMMENT] : prints one result.
ktap_line() {
	local comment=${4-}
	[[ $1 != skipped ]] || comment="SKIP $comment"
	[[ $1 != failed ]] || printf 'not '
	printf 'ok %d %s%s\n' "$2" "$3" "${comment:+ # $comment}"
}

# ktap_result passed|failed|skipped NAME [COMMENT] : prints one result and counts it.
ktap_result() {
	ktap_number=$((ktap_number + 1))
	case $1 in
	passed) ktap_passed=$((ktap_passed + 1)) ;;
	failed) ktap_failed=$((ktap_failed + 1)) ;;
	skipped) ktap_skipped=$((ktap_skipped + 1)) ;;
	esac
	ktap_line "$1" "$ktap_number" "${@:2}"
}

# ktap_diagnostics : prints standard input as diagnostics.
ktap_diagnostics() { sed 's/^/# /'; }

# ktap_test NAME COMMAND... : runs COMMAND as one test; its output is shown if it fails.
ktap_test() {
	local name=$1 output status
	shift
	ktap_wanted "$name" || return 0
	set +e
	output=$(set -euo pipefail; "$@" 2>&1 </dev/null)
	status=$?
	set -e
	case $status in
	0) ktap_result passed "$name" ;;
	4) ktap_result skipped "$name" "${output##*$'\n'}" ;;
	*)
		ktap_diagnostics <<<"$output"
		ktap_result failed "$name"
		;;
	esac
}

# ktap_skip REASON : ends the command of a test, which then counts as skipped.
ktap_skip() { echo "$1"; exit 4; }

# expect STATUS PATTERN COMMAND... : fails unless COMMAND exits with STATUS and prints a line that
# matches PATTERN, an extended regular expression.
expect() {
	local wanted=$1 pattern=$2 output status=0
	shift 2
	output=$("$@" 2>&1) || status=$?
	if [[ $status != "$wanted" ]] || ! grep -qE -- "$pattern" <<<"$output"; then
		printf 'command: %s\nstatus %s, expected %s; expected in the output: %s\n%s\n' "$*" "$status" "$wanted" "$pattern" "$output"
		return 1
	fi
}

# ktap_end : prints the plan and the closing line; fails if a test failed or no name contained a
# word.
ktap_end() {
	echo "1..$ktap_number"
	ktap_sum "$ktap_passed" "$ktap_failed" "$ktap_skipped"
	if ((ktap_number == 0 && ${#ktap_words[@]})); then
		echo "${0##*/}: no test's name contains: ${ktap_words[*]}" >&2
		return 1
	fi
	((ktap_failed == 0))
}

# ktap_sum PASSED FAILED SKIPPED : prints the closing line.
ktap_sum() { printf '%d passed, %d failed, %d skipped\n' "$@"; }

# ktap_from_cargo : translates the output of cargo test on standard input.
ktap_from_cargo() {
	local line name
	ktap_begin
	while IFS= read -r line; do
		name=${line#test }
		case $line in
		test\ *' ... ok') ktap_result passed "${name% ... ok}" ;;
		test\ *' ... FAILED') ktap_result failed "${name% ... FAILED}" ;;
		test\ *' ... ignored'*) ktap_result skipped "${name% ... ignored*}" ignored ;;
		'' | running\ *\ test* | 'test result: ok'* | ' '*Running\ * | ' '*Doc-tests\ * | ' '*Compiling\ * | ' '*Finished\ *) ;;
		*) ktap_diagnostics <<<"$line" ;;
		esac
	done
	ktap_end
}

# ---- the reader

# ktap_results : reads a report on standard input and prints "OUTCOME<tab>NAME" for each test. A
# parent is not printed, unless it failed and none of its tests did: it hung, or its guest died.
ktap_results() {
	awk '
		match($0, /^ *(not )?ok [0-9]+/) {
			head = substr($0, 1, RLENGTH)
			name = substr($0, RLENGTH + 1)
			indent = match(head, /[^ ]/) - 1
			outcome = head ~ /not/ ? "failed" : name ~ / # SKIP/ ? "skipped" : "passed"
			sub(/^ (- )?/, "", name)
			sub(/ # .*/, "", name)
			test = last <= indent
			if (!test) {
				failures = 0
				for (depth in failed) if (depth + 0 > indent) { failures += failed[depth]; failed[depth] = 0 }
				test = outcome == "failed" && !failures
			}
			if (outcome == "failed") failed[indent]++
			last = indent
			if (test) print outcome "\t" name
			fflush()
		}'
}

# ktap_count : reads a report on standard input and prints "PASSED FAILED SKIPPED".
ktap_count() {
	ktap_results | awk '{ count[$1]++ } END { print count["passed"] + 0, count["failed"] + 0, count["skipped"] + 0 }'
}

# ktap_progress LABEL : reads a report on standard input and prints failures, and a line each 100
# tests.
ktap_progress() {
	ktap_results | awk -F '\t' -v "label=$1" '
		$1 == "failed" { print "  " label ": failed: " $2; failed++ }
		++count % 100 == 0 { print "  " label ": " count " tests, " failed + 0 " failed" }
		{ fflush() }'
}

# ktap_renumber BEFORE : copies a report; the numbers of its outermost results go on after BEFORE.
ktap_renumber() {
	awk -v "before=$1" '
		match($0, /^(not )?ok [0-9]+/) {
			head = substr($0, 1, RLENGTH)
			number = head
			sub(/.* /, "", number)
			sub(/[0-9]+$/, "", head)
			$0 = head (number + before) substr($0, RLENGTH + 1)
		}
		{ print }'
}
