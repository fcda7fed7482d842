# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The cache. Each artefact has its own folder, named by a key of everything that it is made from.

REPOLL_CACHE=${REPOLL_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/repoll}
[[ $REPOLL_CACHE == /* ]] || die "REPOLL_CACHE must be an absolute path, not '$REPOLL_CACHE'"
[[ $REPOLL_CACHE != *[[:space:]:,]* && $checkout != *[[:space:]:,]* ]] ||
	die "kernel builds do not support spaces, colons or commas in a path" \
		"the cache is $REPOLL_CACHE (set by REPOLL_CACHE), the checkout is $checkout"
mkdir -p "$REPOLL_CACHE" 2>/dev/null && [[ -w $REPOLL_CACHE ]] ||
	die "cannot write to the cache folder $REPOLL_CACHE" "set REPOLL_CACHE to a folder that you may write to"
export REPOLL_CACHE

# key_of WORD... : a short hash of the words: everything that makes a difference to the artefact.
# Pass a recipe as `declare -f FUNCTION`, which leaves out its comments.
key_of() { printf '%s\n' "$@" | sha256sum | cut -c1-12; }

# need_space GIGABYTES PURPOSE : fails unless the cache has that much free disk space.
need_space() {
	local avail
	avail=$(df --output=avail -BM "$REPOLL_CACHE" | tail -n 1)
	avail=${avail//[!0-9]/}
	((avail >= $1 * 1024)) ||
		die "not enough disk for $2: $1 GB needed, $((avail / 1024)).$((avail % 1024 * 10 / 1024)) GB free in $REPOLL_CACHE" \
			"free some space, or set REPOLL_CACHE to a folder on a larger disk" \
			"(the whole cache takes 6 GB; the debug kernel adds 2 GB)"
}

# with_lock NAME COMMAND... : runs COMMAND alone; other runs with the same NAME print a message and
# wait.
with_lock() {
	local lock fd
	lock="$REPOLL_CACHE/lock/$1"
	shift
	mkdir -p "${lock%/*}"
	exec {fd}>"$lock"
	if ! flock -n "$fd"; then
		say "  waiting for another run that builds ${lock##*/} …"
		flock "$fd"
	fi
	"$@"
	exec {fd}>&-
}

# make_artefact FOLDER BUILDER ARGS... : runs BUILDER FOLDER.partial ARGS, unless FOLDER exists, and
# renames the complete result to FOLDER.
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

# make_in_place FOLDER BUILDER ARGS... : runs BUILDER FOLDER ARGS, for builds that record their own
# path. A marker file says that FOLDER is complete; an interrupted build continues.
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

# remove_tree FOLDER : removes a folder. A root file system that an ordinary user made contains
# files of mapped user ids, so that user removes it in a user namespace.
remove_tree() {
	[[ -e $1 ]] || return 0
	if ((EUID)); then
		unshare --user --map-root-user --map-auto -- rm -rf --one-file-system "$1"
	else
		rm -rf --one-file-system "$1"
	fi
}

# build_folder NAME : the folder of one kind of build output of this checkout.
build_folder() {
	printf '%s/build/%s-%s/%s\n' "$REPOLL_CACHE" "$(basename "$checkout")" "$(key_of "$checkout")" "$1"
}
