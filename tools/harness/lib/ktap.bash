# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# KTAP for tests written in bash: a test is a command; what it printed is shown
# as diagnostics when it failed.

ktap_begin() {
	ktap_number=0 ktap_passed=0 ktap_failed=0 ktap_skipped=0
	ktap_words=("$@") # only tests whose name holds one of these words
	echo 'KTAP version 1'
}

ktap_wanted() {
	local word
	((${#ktap_words[@]})) || return 0
	for word in "${ktap_words[@]}"; do [[ $1 != *"$word"* ]] || return 0; done
	return 1
}

ktap_test() {
	local name=$1 output status
	shift
	ktap_wanted "$name" || return 0
	ktap_number=$((ktap_number + 1))
	set +e
	output=$(set -euo pipefail; "$@" 2>&1 </dev/null)
	status=$?
	set -e
	if ((status == 0)); then
		ktap_passed=$((ktap_passed + 1))
		echo "ok $ktap_number - $name"
	elif ((status == 4)); then
		ktap_skipped=$((ktap_skipped + 1))
		echo "ok $ktap_number - $name # SKIP ${output##*$'\n'}"
	else
		ktap_failed=$((ktap_failed + 1))
		echo "not ok $ktap_number - $name"
		sed 's/^/# /' <<<"$output"
	fi
}

# ktap_skip REASON : called inside a test.
ktap_skip() { echo "$1"; exit 4; }

ktap_end() {
	echo "1..$ktap_number"
	echo "$ktap_passed passed, $ktap_failed failed, $ktap_skipped skipped"
	((ktap_failed == 0))
}
