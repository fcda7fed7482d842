# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Exercises: a folder of Documentation/exercises each.
#   task.rst       the task
#   prepare.patch  the state that the reader starts from, if it is not that of the checkout
#   change.patch   the solution
#   verdict        a keyword and its value on each line:
#     grade N           1 is for a first day
#     title TEXT        one line for the list
#     when everyday|long   which of make test and make test-long tries it
#     seconds N         the time that it takes, about
#     run COMMAND       is run at the top of the checkout
#     status N          its exit status
#     fails PATTERN     a test of this name fails; all that fail must match one of these patterns
#     passes PATTERN    a test of this name passes
#     prints REGEX      a line of the output matches
#     ratio NAME OP X   a line of the output is "ratio NAME: NUMBER", and NUMBER OP X holds, where
#                       OP is < or >

exercises=${REPOLL_EXERCISES:-$checkout/Documentation/exercises}

exercise_names() {
	local file
	for file in "$exercises"/*/verdict; do
		[[ -e $file ]] || die "there are no exercises in $exercises"
		printf '%s %s\n' "$(field "$file" grade)" "$(basename "${file%/verdict}")"
	done | sort -n | cut -d' ' -f2
}

# field FILE KEYWORD : all values of the keyword, one on each line.
field() { sed -n "s/^$2 //p" "$1"; }

# choose NAME : sets what the functions below use of an exercise.
choose() {
	name=$1 folder=$exercises/$1
	[[ $1 != */* && -e $folder/verdict ]] || die "there is no exercise '$1': make exercise lists them"
	command=$(field "$folder/verdict" run)
}

list() {
	local name verdict
	for name in $(exercise_names); do
		verdict=$exercises/$name/verdict
		printf '  %s  %-18s %s\n' "$(field "$verdict" grade)" "$name" "$(field "$verdict" title)"
	done
	cat <<-'EOT'

	make exercise E=NAME            sets one up in the checkout, and prints its task
	make exercise E=NAME CHECK=mine tries the change that you made
	make exercise E=NAME CHECK=1    tries the solution in a copy
	EOT
}

# The files that the patches of the exercise change.
patched_files() {
	find "$folder" \( -name prepare.patch -o -name change.patch \) -exec cat {} + |
		sed -nE 's/^(---|\+\+\+) [ab]\/([^\t]*).*/\2/p' | sort -u
}

# apply_patch TOP PATCH [OPTION...] : a folder that git does not know is patched, too.
apply_patch() {
	local top=$1 patch=$2
	shift 2
	(cd "$top" && GIT_CEILING_DIRECTORIES=$(dirname "$top") git apply --whitespace=nowarn "$@" "$patch")
}

set_up() {
	local changed files patch
	choose "$1"
	mapfile -t files < <(patched_files)
	changed=$(git -C "$checkout" status --porcelain -- "${files[@]}" 2>/dev/null | cut -c4- | paste -sd' ')
	[[ -z $changed ]] || die "changed already: $changed: commit it, or git checkout it, then call again"
	patch=$folder/prepare.patch
	[[ -e $patch ]] || patch=$folder/change.patch
	apply_patch "$checkout" "$patch" --check 2>/dev/null ||
		die "$name does not fit this checkout: git checkout ${files[*]}"
	[[ $patch == */change.patch ]] || apply_patch "$checkout" "$patch"
	# Without the licence line, and the markup of literals.
	sed -e '1,2 { /^\.\. SPDX/d; /^$/d }' -e 's/``//g' "$folder/task.rst"
	cat <<-EOT

	Try your change:   make exercise E=$name CHECK=mine
	The solution:      Documentation/exercises/$name/change.patch
	Undo:              git checkout ${files[*]}
	EOT
}

need_cache() {
	[[ -e $(rootfs_folder)/etc/repoll-toolchain ]] || die "the cache is empty: make setup fills it, in up to 10 minutes, once"
}

# Makes $copy the same as the checkout. Files that are the same are not touched, so that what was
# built from them stays.
synchronise() {
	local file
	copy=$(build_folder exercise)
	mkdir -p "$copy"
	(cd "$checkout" && { git ls-files --cached --others --exclude-standard 2>/dev/null || find . -type f -printf '%P\n'; }) |
		while read -r file; do [[ ! -e $checkout/$file ]] || echo "$file"; done | LC_ALL=C sort -u >"$copy.files"
	(cd "$copy" && find . \( -type f -o -type l \) -printf '%P\n') | LC_ALL=C sort | comm -13 "$copy.files" - |
		while read -r file; do rm "$copy/$file"; done
	while read -r file; do
		cmp -s "$checkout/$file" "$copy/$file" && continue
		mkdir -p "$(dirname "$copy/$file")"
		cp -P --preserve=mode "$checkout/$file" "$copy/$file"
	done <"$copy.files"
}

# apply_all TOP : the state to start from, and the solution.
apply_all() {
	local patch
	for patch in "$folder"/{prepare,change}.patch; do
		[[ ! -e $patch ]] || apply_patch "$1" "$patch" ||
			die "$(basename "$patch") of $name does not apply: git checkout what you changed, or try your change by CHECK=mine"
	done
}

try_solution() {
	# The programs, by a hash of their sources, are those of the copy too, and here crates are
	# compiled already.
	[[ ! $command =~ --programs\ ([^\ ]+) ]] || (build_userspace ${BASH_REMATCH[1]//,/ })
	synchronise
	apply_all "$copy"
	try_in "$copy"
}

# try_in TOP : runs the command there, shows what it prints, and compares the verdict.
try_in() {
	local status output
	output=$REPOLL_CACHE/log/exercise-$name.$(key_of "$checkout").log
	mkdir -p "${output%/*}"
	say "  $name: $command"
	set +e
	# REPOLL_PROGRAMS may name programs of other sources.
	(cd "$1" && exec env -u REPOLL_PROGRAMS -u MAKEFLAGS RUST_BACKTRACE=0 REPOLL_CARGO_TARGET="$(build_folder cargo)" bash -c "$command") 2>&1 </dev/null | tee "$output" | sed -u 's/^/  | /' >&2
	status=${PIPESTATUS[0]}
	set -e
	compare_verdict "$folder/verdict" "$output" "$status" || die "$name: the verdict is another than $folder/verdict says"
	say "  $name: the verdict is what must come"
}

# results OUTPUT : prints "ok NAME" or "fails NAME" for each test, of KTAP or of cargo test.
results() {
	ktap_results <"$1" | sed -nE 's/^passed\t/ok /p; s/^failed\t/fails /p'
	sed -nE -e 's/^test ([^ ]+)( - should panic)? \.\.\. ok$/ok \1/p' -e 's/^test ([^ ]+)( - should panic)? \.\.\. FAILED$/fails \1/p' "$1"
}

# compare_verdict VERDICT OUTPUT STATUS : prints what differs.
compare_verdict() {
	local differs='' line pattern matched status=$3 wanted number
	local results=()
	mapfile -t results < <(results "$2")
	differ() { echo "  differs: $1"; differs=yes; }

	wanted=$(field "$1" status)
	[[ -z $wanted || $wanted == "$status" ]] || differ "status $status, wanted $wanted"

	for line in "${results[@]}"; do
		[[ $line == fails\ * ]] || continue
		matched=
		# shellcheck disable=SC2053
		while read -r pattern; do [[ ${line#fails } != $pattern ]] || matched=yes; done < <(field "$1" fails)
		[[ $matched ]] || differ "${line#fails } fails, too"
	done
	while read -r line; do
		matched=
		# shellcheck disable=SC2053
		for number in "${results[@]}"; do [[ $number != ${line/#passes /ok } ]] || matched=yes; done
		[[ $matched ]] || differ "no test that ${line%% *}: ${line#* }"
	done < <(grep -E '^(fails|passes) ' "$1")
	while read -r line; do
		grep -qE -- "$line" "$2" || differ "nothing printed matches: $line"
	done < <(field "$1" prints)
	while read -r line; do
		wanted=${line##* } number=$(sed -nE "s/^ratio ${line% [<>] *}: ([0-9.]+)$/\1/p" "$2" | tail -n 1)
		[[ $number ]] && awk "BEGIN { exit !($number ${line: -$((${#wanted} + 2)):1} $wanted) }" || differ "ratio ${number:-(none)}, wanted: $line"
	done < <(field "$1" ratio)
	[[ ! $differs ]]
}

# is_whole NAME : what make test can say without a guest.
is_whole() {
	local keyword file top
	choose "$1"
	for keyword in grade title when seconds run; do
		[[ $(field "$folder/verdict" "$keyword" | wc -l) == 1 ]] || { echo "verdict: not one '$keyword'"; return 1; }
	done
	grep -qE '^(fails|passes|prints|ratio) ' "$folder/verdict" || { echo "verdict: says nothing of what must come"; return 1; }
	grep -qF -- "$command" "$folder/task.rst" || { echo "task.rst: does not name the command: $command"; return 1; }
	top=$(mktemp -d "$REPOLL_CACHE/exercise.XXXXXX")
	patched_files | while read -r file; do
		[[ ! -e $checkout/$file ]] || (cd "$checkout" && cp --parents "$file" "$top")
	done
	(apply_all "$top") || { rm -r "$top"; return 1; }
	rm -r "$top"
}
