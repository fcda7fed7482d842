# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Exercises. Each is a folder in Documentation/exercises, with these files:
#   task.rst       the task
#   change.patch   the solution
#   verdict        the expected result, with a keyword and its value on each line:
#     grade N           the difficulty; 1 is the easiest
#     title TEXT        one line for the list
#     when everyday|long   run it in make test, or in make test-long
#     seconds N         the approximate duration
#     run COMMAND       the command, which runs at the top of the checkout
#     status N          the command's exit status
#     fails PATTERN     a test of this name fails; each failed test must match such a pattern
#     may-fail PATTERN  a test of this name may fail, too
#     passes PATTERN    a test of this name passes
#     prints REGEX      a line of the output matches
#     ratio NAME OP X   a line of the output is "ratio NAME: NUMBER", and NUMBER OP X holds, where
#                       OP is < or >

exercises=${REPOLL_EXERCISES:-$checkout/Documentation/exercises}

# exercise_names : all names, the easiest first.
exercise_names() {
	local file
	for file in "$exercises"/*/verdict; do
		[[ -e $file ]] || die "there are no exercises in $exercises"
		printf '%s %s\n' "$(field "$file" grade)" "$(basename "${file%/verdict}")"
	done | sort -n | cut -d' ' -f2
}

# field FILE KEYWORD : all values of the keyword, one per line.
field() { sed -n "s/^$2 //p" "$1"; }

# choose NAME : sets name, folder, kind, seconds and command of an exercise.
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

	make exercise E=NAME            prints the task of an exercise, if it fits the checkout
	make exercise E=NAME CHECK=mine tests your change
	make exercise E=NAME CHECK=1    tests the solution in a copy of the checkout
	EOT
}

# patched_files : the files that the solution changes.
patched_files() {
	sed -nE 's/^(---|\+\+\+) [ab]\/([^\t]*).*/\2/p' "$folder/change.patch" | sort -u
}

# apply_solution TOP [OPTION...] : applies change.patch to a folder, which may be outside of git.
apply_solution() {
	local top=$1
	shift
	(cd "$top" && GIT_CEILING_DIRECTORIES=$(dirname "$top") git apply --whitespace=nowarn "$@" "$folder/change.patch")
}

# print_task NAME : prints the task, if the solution applies to the checkout.
print_task() {
	local changed files
	choose "$1"
	mapfile -t files < <(patched_files)
	changed=$(git -C "$checkout" status --porcelain -- "${files[@]}" 2>/dev/null | cut -c4- | paste -sd' ')
	[[ -z $changed ]] || die "changed already: $changed: commit it, or git checkout it, then repeat the command"
	apply_solution "$checkout" --check 2>/dev/null ||
		die "$name does not fit this checkout: git checkout ${files[*]}"
	# Prints the task without the licence line and the markup of literals.
	sed -e '1,2 { /^\.\. SPDX/d; /^$/d }' -e 's/``//g' "$folder/task.rst"
	cat <<-EOT

	Try your change:   make exercise E=$name CHECK=mine
	The solution:      Documentation/exercises/$name/change.patch
	Undo:              git checkout ${files[*]}
	EOT
}

need_cache() {
	[[ -e $(rootfs_folder)/etc/repoll-toolchain ]] || die "the cache is empty: make setup fills it, once, in about 4 minutes"
}

# synchronise : sets $copy and makes it equal to the checkout. Equal files are not touched, so that
# their build outputs stay valid.
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

try_solution() {
	# Programs are cached by the hash of their sources, so the copy uses the programs that are
	# built here, where their crates are compiled already.
	[[ ! $command =~ --programs\ ([^\ ]+) ]] || (build_userspace ${BASH_REMATCH[1]//,/ })
	synchronise
	apply_solution "$copy" ||
		die "change.patch of $name does not apply: git checkout what you changed, or test your change with CHECK=mine"
	try_in "$copy"
}

# try_in TOP : runs the command in TOP, shows its output, and compares the result with the verdict.
try_in() {
	local status output
	output=$REPOLL_CACHE/log/exercise-$name.$(key_of "$checkout").log
	mkdir -p "${output%/*}"
	say "  $name: $command"
	set +e
	# REPOLL_PROGRAMS may name programs that were built from other sources.
	(cd "$1" && exec env -u REPOLL_PROGRAMS -u MAKEFLAGS RUST_BACKTRACE=0 REPOLL_CARGO_TARGET="$(build_folder cargo)" bash -c "$command") 2>&1 </dev/null | tee "$output" | sed -u 's/^/  | /' >&2
	status=${PIPESTATUS[0]}
	set -e
	compare_verdict "$folder/verdict" "$output" "$status" || die "$name: the result differs from $folder/verdict"
	say "  $name: the result is as expected"
}

# results OUTPUT : prints "ok NAME" or "fails NAME" for each test, of KTAP or of cargo test.
results() {
	{
		cat "$1"
		{ grep '^test .* \.\.\. ' "$1" || true; } | sed 's/ - should panic / /' | { ktap_from_cargo || true; }
	} | ktap_results | sed -nE 's/^passed\t/ok /p; s/^failed\t/fails /p'
}

# compare_verdict VERDICT OUTPUT STATUS : fails, and prints the differences, if there are any.
compare_verdict() {
	local differs='' line pattern matched status=$3 wanted number
	local results=()
	mapfile -t results < <(results "$2")
	differ() { echo "  differs: $1"; differs=yes; }

	wanted=$(field "$1" status)
	[[ -z $wanted || $wanted == "$status" ]] || differ "status $status, expected $wanted"

	for line in "${results[@]}"; do
		[[ $line == fails\ * ]] || continue
		matched=
		# shellcheck disable=SC2053
		while read -r pattern; do [[ ${line#fails } != $pattern ]] || matched=yes; done < <(field "$1" fails; field "$1" may-fail)
		[[ $matched ]] || differ "${line#fails } fails, too"
	done
	while read -r line; do
		matched=
		# shellcheck disable=SC2053
		for number in "${results[@]}"; do [[ $number != ${line/#passes /ok } ]] || matched=yes; done
		[[ $matched ]] || differ "no test that ${line%% *}: ${line#* }"
	done < <(grep -E '^(fails|passes) ' "$1")
	while read -r line; do
		grep -qE -- "$line" "$2" || differ "no line of the output matches: $line"
	done < <(field "$1" prints)
	while read -r line; do
		wanted=${line##* } number=$(sed -nE "s/^ratio ${line% [<>] *}: ([0-9.]+)$/\1/p" "$2" | tail -n 1)
		[[ $number ]] && awk "BEGIN { exit !($number ${line: -$((${#wanted} + 2)):1} $wanted) }" || differ "ratio ${number:-(none)}, expected: $line"
	done < <(field "$1" ratio)
	[[ ! $differs ]]
}

# is_whole NAME : checks the files of an exercise, without a guest.
is_whole() {
	local keyword file top
	choose "$1"
	for keyword in grade title when seconds run; do
		[[ $(field "$folder/verdict" "$keyword" | wc -l) == 1 ]] || { echo "verdict: needs exactly one '$keyword'"; return 1; }
	done
	grep -qE '^(fails|passes|prints|ratio) ' "$folder/verdict" || { echo "verdict: has no expectation: fails, passes, prints or ratio"; return 1; }
	grep -qF -- "$command" "$folder/task.rst" || { echo "task.rst: does not name the command: $command"; return 1; }
	top=$(mktemp -d "$REPOLL_CACHE/exercise.XXXXXX")
	patched_files | while read -r file; do
		[[ ! -e $checkout/$file ]] || (cd "$checkout" && cp --parents "$file" "$top")
	done
	apply_solution "$top" || { rm -r "$top"; return 1; }
	rm -r "$top"
}
