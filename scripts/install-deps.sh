#!/bin/sh
# install-deps.sh [--test] - installs what building and running Easel needs; with --test also what
# the tests, the linters and the benchmark need.
#
# Debian 12 or newer.  Nothing is asked, nothing is started: a freshly installed lighttpd or nginx
# stays stopped and disabled, because `easel serve` runs its own.  Does nothing, quickly, when all is
# there.
set -eu
cd "$(dirname "$0")/.."

# What must be there as a package: headers and modules have no command to look for.
packages='libfcgi-dev libcurl4-openssl-dev libssl-dev libsqlite3-dev libhiredis-dev libjansson-dev libwslay-dev libsodium-dev libmd-dev libzip-dev libvips-dev
	libseccomp-dev libtomlplusplus-dev lighttpd lighttpd-mod-openssl ca-certificates'
# What may come from anywhere as long as the command is found: command=package.
commands='gcc=gcc g++=g++ make=make pkg-config=pkg-config curl=curl jq=jq sqlite3=sqlite3 git=git'

with_tests=
case ${1-} in
--test)
	with_tests=1
	packages="$packages libcmocka-dev zlib1g-dev"
	commands="$commands clang=clang clang-format=clang-format clang-tidy=clang-tidy
		cppcheck=cppcheck shellcheck=shellcheck python3=python3 node=nodejs npm=npm
		nginx=nginx-light apache2=apache2-bin wrk=wrk file=file webpinfo=webp openssl=openssl spawn-fcgi=spawn-fcgi
		ps=procps mount=mount ip=iproute2 redis-server=redis-server"
	;;
'') ;;
*)
	echo "usage: scripts/install-deps.sh [--test]" >&2
	exit 2
	;;
esac

# Daemons and administrators' tools live in sbin, which a user's PATH need not have.
PATH=$PATH:/usr/sbin:/sbin

missing=
# shellcheck disable=SC2086 # the lists are meant to be split
installed=" $(dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' $packages 2>/dev/null |
	sed -n 's/^ii *//p' | tr '\n' ' ')"
for package in $packages; do
	case $installed in
	*" $package "*) ;;
	*) missing="$missing $package" ;;
	esac
done
for pair in $commands; do
	command -v "${pair%%=*}" >/dev/null || missing="$missing ${pair#*=}"
done
# ensurepip is what Debian splits off into python3-venv.
if [ "$with_tests" ] && [ ! -x tests/.venv/bin/python ] &&
	! python3 -c 'import ensurepip' 2>/dev/null; then
	missing="$missing python3-venv"
fi

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "install-deps.sh: these packages are missing and there is no sudo:$missing" >&2
		exit 1
	fi
}

# Debian starts a daemon when its package is unpacked, unless this policy says no.
policy=/usr/sbin/policy-rc.d
hold_services() {
	[ ! -e $policy ] || return 0
	printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
	as_root chmod 755 $policy
	trap 'as_root rm -f $policy' EXIT
	trap 'exit 1' HUP INT TERM
}

if [ "$missing" ]; then
	echo "installing:$missing"
	hold_services
	as_root apt-get -qq update
	# shellcheck disable=SC2086
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
		-o Dpkg::Use-Pty=0 install $missing >/dev/null
	if [ -d /run/systemd/system ]; then
		for daemon in lighttpd nginx redis-server; do
			case " $missing " in
			*" $daemon"*) as_root systemctl --quiet disable "$daemon" ;;
			esac
		done
	fi
fi

[ "$with_tests" ] || exit 0

# The official SDKs.  Each copy of what was asked for is the mark that it was delivered.
venv=tests/.venv
want=tests/sdk/requirements.txt
if ! cmp -s $want $venv/requirements.txt; then
	echo "installing the Python SDK, pytest and a reader of webhooks into $venv"
	rm -rf $venv
	python3 -m venv $venv
	$venv/bin/pip install --quiet --disable-pip-version-check -r $want
	cp $want $venv/requirements.txt
fi
want=tests/sdk/package-lock.json
if ! cmp -s $want tests/sdk/node_modules/.installed; then
	echo "installing the Node SDK into tests/sdk/node_modules"
	(cd tests/sdk && npm ci --no-audit --no-fund --loglevel=error)
	cp $want tests/sdk/node_modules/.installed
fi
