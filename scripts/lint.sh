#!/bin/bash
# lint.sh - everything that can be judged without running the code
#
# Format, banned functions, the layers' order, clang-tidy, cppcheck, shellcheck.  One line a check;
# what failed is printed below it.  Exit 1 when anything failed.  LINT="format layers" runs only those,
# LINT_CPPFLAGS are the compiler's flags.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
cppflags=${LINT_CPPFLAGS:-"-D_GNU_SOURCE -Ishared -DEASEL_VERSION='\"lint\"'"}
jobs=${JOBS:-2}

# Tracked files and new ones alike, so that a file is judged before it is committed.
list() { git ls-files -co --exclude-standard -- "$@" | while read -r f; do [ -f "$f" ] && echo "$f"; done; }
mapfile -t c_files < <(list '*.c')
mapfile -t h_files < <(list '*.h')
mapfile -t cc_files < <(list '*.cc' '*.cpp' '*.cxx')
mapfile -t sh_files < <(list '*.sh' tests/run bench/run .ci/run | while read -r f; do
	head -n 1 "$f" | grep -qE '^#!/bin/(ba|da)?sh|^# shellcheck shell=' && echo "$f"
done)

failed=0 passed=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT
trap 'exit 1' HUP INT TERM

# check NAME COMMAND… - the command's output is shown only when it fails
check() {
	local name=$1 start=$SECONDS
	shift
	case " ${LINT:-$name} " in *" $name "*) ;; *) return ;; esac
	if "$@" >"$out" 2>&1; then
		passed=$((passed + 1))
		echo "ok      $name ($((SECONDS - start)) s)"
	else
		failed=$((failed + 1))
		echo "FAILED  $name ($((SECONDS - start)) s)"
		sed 's/^/  /' "$out"
	fi
}

# Headers are manuals, their columns laid out by hand; the definitions are judged.
format() { clang-format --dry-run -Werror "${c_files[@]}"; }

# Functions that cannot be used safely, or not in threads; each has a replacement in shared/base.
banned_names='sprintf|vsprintf|strcpy|strcat|strncpy|strncat|gets|atoi|atol|strtok|sscanf|alloca'
banned_names+='|gmtime|localtime|system|popen|tmpnam'
banned() {
	local f found=0
	for f in "${c_files[@]}" "${h_files[@]}" "${cc_files[@]}"; do
		# Strings and comments may name them; lines keep their numbers.
		perl -0777 -pe 's{"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*}{$& =~ s/[^\n]//gr}gse' "$f" |
			grep -nE "(^|[^A-Za-z0-9_>.])($banned_names)[[:space:]]*\(" | sed "s|^|$f:|" |
			grep . && found=1
	done
	return $found
}

# Arrows point downwards: a file may include headers of its own layer's rank and lower ones.
layers() {
	awk '
	BEGIN {
		split("base config store access net files provider job http api", l)
		split("0 1 2 3 3 3 4 5 6 7", r)
		for (i in l) rank[l[i]] = r[i]
		bad = 0
	}
	FNR == 1 {
		n = split(FILENAME, part, "/")
		mine = -1
		only = ""
		if (part[1] == "shared" && part[2] in rank) mine = rank[part[2]]
		else if (part[1] == "shared") { print FILENAME ": a layer that has no rank in scripts/lint.sh"; bad = 1; nextfile }
		else if (part[1] == "imaging") { mine = 99; only = " base files " }
		else if (part[1] == "handlers" || part[1] == "cli") mine = 8
		else nextfile
	}
	/^#[ \t]*include[ \t]*[<"]fcgi/ {
		if (FILENAME != "shared/http/conn.c") {
			print FILENAME ":" FNR ": only shared/http/conn.c speaks FastCGI"; bad = 1
		}
	}
	/^#[ \t]*include[ \t]*"/ {
		split($0, q, "\"")
		if (split(q[2], to, "/") < 2 || !(to[1] in rank)) next
		if (only != "" ? !index(only, " " to[1] " ") : rank[to[1]] > mine) {
			print FILENAME ":" FNR ": may not include " q[2] ": the arrow points upwards"; bad = 1
		}
	}
	END { exit bad }' "${c_files[@]}" "${h_files[@]}" "${cc_files[@]}" || return 1
	[ "${cc_files[*]}" = shared/config/toml.cc ] || [ "${#cc_files[@]}" = 0 ] || {
		echo "only shared/config/toml.cc is C++, but there is: ${cc_files[*]}"
		return 1
	}
}

tidy_checks='-*,bugprone-*,clang-analyzer-*'
# Habits of this code that the checks take for mistakes, and what clang 14 does not understand: the
# cleanup attribute (leaks of what AUTO() frees, stores that hand ownership over).
for off in \
	bugprone-easily-swappable-parameters \
	bugprone-reserved-identifier \
	bugprone-assignment-in-if-condition \
	bugprone-implicit-widening-of-multiplication-result \
	bugprone-narrowing-conversions \
	bugprone-macro-parentheses \
	bugprone-branch-clone \
	bugprone-signal-handler \
	bugprone-sizeof-expression \
	bugprone-suspicious-include \
	bugprone-suspicious-string-compare \
	bugprone-not-null-terminated-result \
	clang-analyzer-unix.Malloc \
	clang-analyzer-deadcode.DeadStores \
	clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling \
	clang-analyzer-optin.performance.Padding \
	clang-analyzer-optin.cplusplus; do
	tidy_checks+=",-$off"
done

tidy() {
	local flags
	# shellcheck disable=SC2046,SC2086
	flags=$(eval printf '"%s\n"' $cppflags $(pkg-config --cflags vips libseccomp openssl libcurl sqlite3 jansson libsodium libzip libmd))
	export tidy_checks flags
	# shellcheck disable=SC2016 # expanded by the inner shell
	printf '%s\0' "${c_files[@]}" | xargs -0 -P "$jobs" -n 1 bash -c '
		mapfile -t f <<<"$flags"
		[ "$1" = shared/base/err.c ] || f+=(-include scripts/lint-facts.h)
		# An assertion of cmocka that fails does not return, which the analyzer does not know.
		case $1 in tests/*) tidy_checks+=",-clang-analyzer-*" ;; esac
		said=$(clang-tidy --quiet --checks="$tidy_checks" --warnings-as-errors="*" "$1" -- \
			-std=gnu11 "${f[@]}" 2>&1) && exit 0
		printf "%s\n" "$said" | grep -A 2 " error: "
		exit 1' bash
}

check_c() {
	local flags=() word
	# shellcheck disable=SC2086
	while read -r word; do
		case $word in -I* | -D*) flags+=("$word") ;; esac
	done < <(eval printf '"%s\n"' $cppflags)
	cppcheck --quiet -j "$jobs" --std=c11 --enable=warning,performance,portability --inline-suppr \
		--error-exitcode=1 --suppress=missingIncludeSystem --suppress=unknownMacro \
		--template='{file}:{line}: {severity}: {message} [{id}]' "${flags[@]}" "${c_files[@]}"
}

shell() { shellcheck --external-sources --source-path=SCRIPTDIR "${sh_files[@]}"; }

check format format
check banned banned
check layers layers
check shellcheck shell
check cppcheck check_c
check clang-tidy tidy
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
