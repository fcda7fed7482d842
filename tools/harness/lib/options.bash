# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# The options of guest-initramfs and guest-rootfs. parse_options "$@" sets the variables below; the
# guest's command goes to $command.

kernel=stock smp=2 memory='' icount='' module=yes programs=all append='' peer='' image=''
install='' timeout='' boot_limit='' inside='' foreign='' command=()

parse_options() {
	local name
	while (($#)); do
		case $1 in
		--inside | --kernel | --smp | --memory | --append | --timeout | --boot-limit | --image | --accel | --install | --programs)
			(($# > 1)) && [[ $2 != -- ]] || die "$1 needs a value"
			case $1 in
			--smp | --timeout | --boot-limit)
				[[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || die "$1 must be a number, not '$2'"
				;;
			--memory)
				[[ $2 =~ ^[1-9][0-9]*[MG]?$ ]] || die "--memory must be a size such as 512M or 2G, not '$2'"
				;;
			--programs)
				[[ $2 =~ ^[a-z][a-z-]*(,[a-z][a-z-]*)*$ ]] || die "--programs must be names of programs, separated by commas, not '$2'"
				;;
			--install)
				[[ $2 =~ ^[a-z0-9][a-z0-9+.,-]*$ ]] || die "--install must be names of Debian packages, separated by commas, not '$2'"
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
		*) die "unknown option '$1'" "see --help" ;;
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

# make_ready : builds everything that the guest needs; sets $run, the run's own folder.
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
	# Folders that killed runs have left.
	find "$REPOLL_CACHE/run" -mindepth 1 -maxdepth 1 -mmin +1440 -exec rm -rf {} +
	run=$(mktemp -d "$REPOLL_CACHE/run/XXXXXX")
	trap 'rm -rf "$run"' EXIT
}

# go_inside [ENTER-OPTION...] -- SCRIPT ARGUMENT... : runs SCRIPT in the root file system and exits
# with its status. A signal that ends this process ends the guest, too: unshare, which waits for the
# guest, ignores signals.
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
