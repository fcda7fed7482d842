# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The cache: one folder for each artefact, named by a key of what it is made from.

REPOLL_CACHE=${REPOLL_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/repoll}
[[ $REPOLL_CACHE == /* ]] || die "REPOLL_CACHE must be an absolute path, not '$REPOLL_CACHE'"
[[ $REPOLL_CACHE != *[[:space:]:,]* && $checkout != *[[:space:]:,]* ]] ||
	die "kernel builds cannot cope with spaces, colons or commas in a path" \
		"the cache is $REPOLL_CACHE (set by REPOLL_CACHE), the checkout $checkout"
mkdir -p "$REPOLL_CACHE" 2>/dev/null && [[ -w $REPOLL_CACHE ]] ||
	die "cannot write to the cache folder $REPOLL_CACHE" "set REPOLL_CACHE to a folder that you may write to"
export REPOLL_CACHE

# key_of WORD... : a short hash. Pass what makes a difference to the artefact;
# a recipe is passed as `declare -f FUNCTION`, so that comments make none.
key_of() { printf '%s\n' "$@" | sha256sum | cut -c1-12; }

# need_space GIGABYTES WHAT
need_space() {
	local avail
	avail=$(df --output=avail -BM "$REPOLL_CACHE" | tail -n 1)
	avail=${avail//[!0-9]/}
	((avail >= $1 * 1024)) ||
		die "not enough disk for $2: $1 GB needed, $((avail / 1024)).$((avail % 1024 * 10 / 1024)) GB free in $REPOLL_CACHE" \
			"free some space, or set REPOLL_CACHE to a folder on a larger disk" \
			"(the whole cache takes 6 GB, and 2 GB more with the debug kernel)"
}

# with_lock NAME COMMAND... : one run at a time; others wait and say so.
with_lock() {
	local lock fd
	lock="$REPOLL_CACHE/lock/$1"
	shift
	mkdir -p "${lock%/*}"
	exec {fd}>"$lock"
	if ! flock -n "$fd"; then
		say "  waiting for another run that makes ${lock##*/} …"
		flock "$fd"
	fi
	"$@"
	exec {fd}>&-
}

# make_artefact FOLDER BUILDER ARGS... : runs BUILDER FOLDER.partial ARGS and
# renames the result into place when it is complete.
make_artefact() {
	[[ -d $1 ]] || with_lock "$(basename "$1")" make_artefact_locked "$@"
}

make_artefact_locked() {
	local folder=$1 builder=$2
	shift 2
	[[ ! -d $folder ]] || return 0
	remove_tree "$folder.partial"
	mkdir -p "$folder.partial"
	"$builder" "$folder.partial" "$@"
	mv "$folder.partial" "$folder"
}

# make_in_place FOLDER BUILDER ARGS... : for builds that remember their own path;
# a marker says complete, and an interrupted build goes on where it stopped.
make_in_place() {
	[[ -e $1/.complete ]] || with_lock "$(basename "$1")" make_in_place_locked "$@"
}

make_in_place_locked() {
	local folder=$1 builder=$2
	shift 2
	[[ ! -e $folder/.complete ]] || return 0
	mkdir -p "$folder"
	"$builder" "$folder" "$@"
	touch "$folder/.complete"
}

# A root file system made by an ordinary user holds files of mapped ids.
remove_tree() {
	[[ -e $1 ]] || return 0
	if ((EUID)); then
		unshare --user --map-root-user --map-auto -- rm -rf --one-file-system "$1"
	else
		rm -rf --one-file-system "$1"
	fi
}

# build_folder WHAT : where the build outputs of this checkout go.
build_folder() {
	printf '%s/build/%s-%s/%s\n' "$REPOLL_CACHE" "$(basename "$checkout")" "$(key_of "$checkout")" "$1"
}
