# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Messages of the harness. They go to standard error, as standard output is the guest command's.

if [[ -t 2 && -z ${NO_COLOR-} ]]; then
	bold=$'\e[1m' red=$'\e[31m' dim=$'\e[2m' plain=$'\e[0m'
else
	bold='' red='' dim='' plain=''
fi

say() { printf '%s\n' "$*" >&2; }

# die CAUSE [REMEDY]... : prints one message and exits with status 1. Scripts that exit with a guest
# command's status set die_status to 125.
die() {
	printf '%s%s: %s%s\n' "$red$bold" "${0##*/}" "$1" "$plain" >&2
	shift
	(($# == 0)) || printf '    %s\n' "$@" >&2
	exit "${die_status:-1}"
}

# log_of LABEL : the log file of a step in this checkout. A label may have any length.
log_of() {
	local name=${1//[^a-zA-Z0-9.]/-}
	((${#name} <= 100)) || name=${name:0:80}-$(key_of "$1")
	printf '%s/log/%s.%s.log\n' "$REPOLL_CACHE" "$name" "$(key_of "$checkout")"
}

# step LABEL COMMAND... : runs a long step, writes its output to a log and shows its duration. On a
# terminal it also shows the progress, if COMMAND calls progress. Do not call it in a condition:
# bash would turn off errexit inside COMMAND.
step() {
	local label=$1 log status start=$SECONDS interrupted='' reporter=''
	shift
	log=$(log_of "$label")
	mkdir -p "${log%/*}"
	printf '  %s%s%s … ' "$dim" "$label" "$plain" >&2
	: >"$log"
	if [[ -t 2 ]]; then
		report_progress "$log" 3>&2 2>/dev/null &
		reporter=$!
	fi
	set +e
	trap 'interrupted=yes' INT
	(set -euo pipefail; "$@") >>"$log" 2>&1
	status=$?
	trap - INT
	set -e
	if [[ $reporter ]]; then
		kill "$reporter" 2>/dev/null || true
		wait "$reporter" 2>/dev/null || true
		printf '\r  %s%s%s … \e[K' "$dim" "$label" "$plain" >&2
	fi
	if [[ $interrupted ]]; then
		echo >&2
		die "interrupted" "the next run continues after the last complete step"
	fi
	if ((status)); then
		printf '%sfailed%s after %d s\n' "$red" "$plain" "$((SECONDS - start))" >&2
		tail -n 25 "$log" | cut -c1-200 | sed 's/^/    | /' >&2
		die "\"$label\" failed: $(cause_in "$log" "$status")" "complete log: $log" \
			"the next run continues after the last complete step"
	fi
	printf '%d s\n' "$((SECONDS - start))" >&2
}

# progress UNIT TOTAL PATTERN : declares the progress of a step, inside it. Each later line of the
# log that matches PATTERN, an extended regular expression, is one UNIT of TOTAL.
progress() { echo "progress: $1 $2 $3"; }

# report_progress LOG : shows the progress of the step with this log, once a second, on descriptor
# 3.
report_progress() {
	local begin unit total pattern made
	while sleep 1 && kill -0 $$; do
		begin=$(grep -n "^progress: " "$1" | tail -n 1 || true)
		[[ $begin ]] || continue
		read -r _ unit total pattern <<<"${begin#*:}"
		made=$(tail -n "+$((${begin%%:*} + 1))" "$1" | grep -cE "$pattern" || true)
		printf '\r  %s%s%s … %s %d of %d \e[K' "$dim" "$label" "$plain" "$unit" \
			"$((made < total ? made : total))" "$total" >&3
	done
}

# cause_in LOG STATUS : the probable cause of a failure and its remedy.
cause_in() {
	if grep -qiE 'no space left on device|cannot allocate.*disk' "$1"; then
		echo "the disk is full; free some space, or set REPOLL_CACHE to a folder on a larger one"
	elif grep -qiE "could(n.t| not) resolve|temporary failure (in name )?resolving|network is unreachable|could not connect|connection (refused|timed out)|failed to connect|unable to connect" "$1"; then
		echo "cannot reach the network or the mirror; check the connection, http_proxy and REPOLL_MIRROR"
	elif grep -qiE 'self-signed certificate|certificate verify failed|certificate problem|unable to get local issuer' "$1"; then
		echo "a certificate is not trusted; set SSL_CERT_FILE to the bundle of your certificate authority"
	else
		echo "status $2"
	fi
}

# quietly LABEL COMMAND... : runs a short step; shows nothing unless the step fails, or takes 5
# seconds or more. Do not call it in a condition, as for step.
quietly() {
	local label=$1 log status start=$SECONDS
	shift
	log=$(log_of "$label.$$")
	mkdir -p "${log%/*}"
	set +e
	(set -euo pipefail; "$@") >"$log" 2>&1
	status=$?
	set -e
	if ((status)); then
		cat "$log" >&2
		rm "$log"
		die "\"$label\" failed (status $status)"
	fi
	rm "$log"
	((SECONDS - start < 5)) || say "  $dim$label$plain … $((SECONDS - start)) s"
}

# usage_if_asked "$@" : for scripts without options of their own. --help prints the script's opening
# comment.
usage_if_asked() {
	[[ ${1-} == --help ]] || return 0
	sed -n '3,${/^#/!q; s/^# \{0,1\}//p}' "$0"
	exit
}
