# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# The options that both guests take: parse_options "$@" sets the variables below
# and leaves the command in $command.

kernel=stock smp=2 memory='' icount='' module=yes programs=all append='' peer='' image=''
install='' timeout='' boot_limit='' inside='' foreign='' command=()

parse_options() {
	local name
	while (($#)); do
		case $1 in
		--inside | --kernel | --smp | --memory | --append | --timeout | --boot-limit | --image | --accel | --install | --programs)
			(($# > 1)) && [[ $2 != -- ]] || die "$1 wants a value"
			case $1 in
			--smp | --timeout | --boot-limit)
				[[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || die "$1 wants a number, not '$2'"
				;;
			--memory)
				[[ $2 =~ ^[1-9][0-9]*[MG]?$ ]] || die "--memory wants a size such as 512M or 2G, not '$2'"
				;;
			--programs)
				[[ $2 =~ ^[a-z][a-z-]*(,[a-z][a-z-]*)*$ ]] || die "--programs wants names of ours, separated by commas, not '$2'"
				;;
			--install)
				[[ $2 =~ ^[a-z0-9][a-z0-9+.,-]*$ ]] || die "--install wants Debian package names, separated by commas, not '$2'"
				;;
			esac
			name=${1#--}
			case $name in
			accel) REPOLL_ACCEL=$2 ;;
			*) printf -v "${name//-/_}" %s "$2" ;;
			esac
			shift
			;;
		--icount) icount=yes ;;
		--no-module) module='' ;;
		--no-programs) programs='' ;;
		--peer) peer=yes ;;
		--foreign) foreign=yes ;;
		--help) usage; exit ;;
		--) break ;;
		*) die "unknown option '$1'" "--help lists the options" ;;
		esac
		shift
	done
	if (($#)); then
		shift
		command=("$@")
	fi
	check_flavour "$kernel"
	[[ -z $icount ]] || { REPOLL_ACCEL=tcg smp=1; }
	: "${boot_limit:=$([[ $kernel == debug* ]] && echo 300 || echo 120)}"
}

# make_ready : everything that the guest needs; $run becomes the run's own folder.
make_ready() {
	ensure_kbuild "$kernel"
	choose_accel
	[[ -z $module ]] || build_module "$kernel"
	case $programs in
	'') ;;
	all) build_userspace ;;
	*)
		local some
		IFS=, read -ra some <<<"$programs"
		build_userspace "${some[@]}" ${peer:+repoll-peer}
		;;
	esac
	mkdir -p "$REPOLL_CACHE/run"
	# What runs that were killed left behind.
	find "$REPOLL_CACHE/run" -mindepth 1 -maxdepth 1 -mmin +1440 -exec rm -rf {} +
	run=$(mktemp -d "$REPOLL_CACHE/run/XXXXXX")
	trap 'rm -rf "$run"' EXIT
}

# go_inside [ENTER-OPTION...] -- SCRIPT ARGUMENT... : exits with its status. A signal
# that ends this process ends the guest too: unshare, which waits for it, ignores signals.
go_inside() {
	local status=0
	"$harness/cmd/enter" "$@" <&0 &
	inner=$!
	trap 'end_inside 130' INT
	trap 'end_inside 143' TERM
	trap 'end_inside 129' HUP
	wait "$inner" || status=$?
	exit "$status"
}

end_inside() {
	trap '' INT TERM HUP
	kill -9 "$inner" 2>/dev/null || true
	wait "$inner" 2>/dev/null || true
	exit "$1"
}
