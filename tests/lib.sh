# shellcheck shell=sh
# lib.sh - what the plain shell tests share: sh, curl, sed, grep and od, nothing else
#
#	BASE_URL=http://127.0.0.1:8080 API_KEY_FILE=var/first.key tests/test-models.sh
#
# They run against any deployment.  Output is TAP (https://testanything.org); exit 1 when one failed.
# The key goes to curl through a file, so that no argument list shows it.

if [ -z "${BASE_URL-}" ] || { [ -z "${API_KEY-}" ] && [ -z "${API_KEY_FILE-}" ]; }; then
	echo "usage: BASE_URL=http://HOST:PORT API_KEY=sk-… (or API_KEY_FILE=FILE) $0 [ARGUMENT]" >&2
	exit 2
fi
BASE_URL=${BASE_URL%/}
BASE_URL=${BASE_URL%/v1}
KEY=${API_KEY:-$(cat "$API_KEY_FILE")} || exit 2

tmp=$(umask 077 && mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
(umask 077 && printf 'header = "Authorization: Bearer %s"\n' "$KEY" >"$tmp/auth")

n=0 bad=0 status=000

ok() {
	n=$((n + 1))
	echo "ok $n - $1"
}

# not_ok NAME LINE… - each LINE explains
not_ok() {
	n=$((n + 1)) bad=$((bad + 1))
	echo "not ok $n - $1"
	shift
	printf '%s\n' "$@" | sed 's/^/# /'
	# What was answered says most; a picture in it says nothing.
	[ ! -s "$tmp/head" ] || sed 's/^/# | /' "$tmp/head"
	[ ! -s "$tmp/body" ] || head -c 1000 "$tmp/body" | tr -cd '[:print:]\n' | sed 's/^/# | /'
	echo
}

skip() {
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

is() { # NAME WANT GOT
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "want: $2" "got:  $3"; fi
}

isnt() { # NAME UNWANTED GOT
	if [ "$2" != "$3" ]; then ok "$1"; else not_ok "$1" "got what it must not be: $3"; fi
}

like() { # NAME PATTERN GOT - an extended regular expression
	if printf '%s\n' "$3" | grep -qE -e "$2"; then ok "$1"; else not_ok "$1" "want: /$2/" "got:  $3"; fi
}

unlike() { # NAME PATTERN GOT
	if printf '%s\n' "$3" | grep -qE -e "$2"; then not_ok "$1" "unwanted: /$2/" "got: $3"; else ok "$1"; fi
}

done_testing() {
	echo "1..$n"
	[ "$bad" = 0 ]
	exit
}

# open_call METHOD PATH [CURL ARGUMENTS] - a request without a credential; sets $status, fills
# $tmp/head and $tmp/body.  The path goes out as it is written.
open_call() {
	call_method=$1 call_path=$2
	shift 2
	case $call_method in
	HEAD) set -- --head "$@" ;;
	GET) ;;
	*)
		case " $*" in
		*' --data'* | *' --form'*) ;;
		*) set -- --header 'Content-Length: 0' "$@" ;;
		esac
		set -- --request "$call_method" "$@"
		;;
	esac
	: >"$tmp/head"
	: >"$tmp/body"
	status=$(curl --silent --show-error --globoff --path-as-is --max-time "${MAX_TIME:-180}" \
		--dump-header "$tmp/head" --output "$tmp/body" --write-out '%{http_code}' \
		"$@" "$BASE_URL$call_path" 2>"$tmp/curl") || status="curl: $(cat "$tmp/curl")"
}

# call METHOD PATH [CURL ARGUMENTS] - the same with the key
call() {
	with_key_method=$1 with_key_path=$2
	shift 2
	open_call "$with_key_method" "$with_key_path" --config "$tmp/auth" "$@"
}

# post PATH JSON
post() {
	printf '%s' "$2" >"$tmp/request"
	call POST "$1" --header 'Content-Type: application/json' --data-binary "@$tmp/request"
}

# header NAME - the last value of that header in the answer
header() {
	tr -d '\r' <"$tmp/head" | grep -i "^$1:" | tail -n 1 | sed 's/^[^:]*: *//'
}

# json_get NAME - the first member of that name in the answer, strings without their quotes
json_get() {
	json_all "$1" | head -n 1
}

# json_all NAME - every member of that name, one a line
json_all() {
	tr -d '\n\r' <"$tmp/body" |
		grep -oE "\"$1\":[[:space:]]*(\"([^\"\\\\]|\\\\.)*\"|[^],}]*)" |
		sed -e 's/^"[^"]*":[[:space:]]*//' -e 's/^"\(.*\)"$/\1/'
}

# json_quote TEXT - as a JSON string
json_quote() {
	printf '"%s"' "$(printf '%s' "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' | tr '\n\r\t' '   ')"
}

# is_error NAME STATUS CODE [PARAM] - the answer is an error object
is_error() {
	is "$1: status $2" "$2" "$status"
	is "$1: code $3" "$3" "$(json_get code)"
	[ $# -lt 4 ] || is "$1: param $4" "$4" "$(json_get param)"
	like "$1: it is JSON" '^application/json' "$(header content-type)"
	is "$1: the body names the header's request id" "$(header x-request-id)" "$(json_get request_id)"
	isnt "$1: there is a message" "" "$(json_get message)"
}

# picture_type FILE - png, jpeg, webp or "not a picture", by its first bytes
picture_type() {
	case $(head -c 12 "$1" | od -An -tx1 | tr -d ' \n') in
	89504e470d0a1a0a*) echo png ;;
	ffd8ff*) echo jpeg ;;
	52494646????????57454250) echo webp ;;
	*) echo "not a picture" ;;
	esac
}

# png_size FILE - "1024x768"
png_size() {
	# shellcheck disable=SC2046 # eight numbers
	set -- $(head -c 24 "$1" | tail -c 8 | od -An -tu1)
	echo "$(((($1 * 256 + $2) * 256 + $3) * 256 + $4))x$(((($5 * 256 + $6) * 256 + $7) * 256 + $8))"
}

# ---- pictures: the test's own `make MEMBERS` asks for one with these members added ----

# fetch URL [FILE] - a stored picture as anybody gets it, in $tmp/picture or FILE; fills $tmp/head
fetch() {
	: >"$tmp/body"
	curl --silent --show-error --max-time 30 --dump-header "$tmp/head" --output "${2:-$tmp/picture}" \
		"$1" || echo "# curl failed for $1"
}

# url_is_ours NAME URL - it is of this installation, and a picture lies there, now in $tmp/picture
url_is_ours() {
	like "$1: it is ours, not the provider's" '^https?://[^/]+/files/[0-9a-z]{26}\.(png|jpg|webp)$' "$2"
	fetch "$2"
	isnt "$1: what lies there is a picture" "not a picture" "$(picture_type "$tmp/picture")"
}

# model_is_there ID
model_is_there() {
	echo "# the model"
	call GET "/v1/models/$1"
	is "the model is there: status 200" 200 "$status"
	is "the model is there: its id" "$1" "$(json_get id)"
}

# in_base64 - a picture in the answer itself
in_base64() {
	echo "# a picture in base64"
	make '"response_format":"b64_json"'
	is "b64_json: status 200" 200 "$status"
	is "b64_json: no URL in the answer" "" "$(json_get url)"
	json_get b64_json | base64 -d >"$tmp/picture" 2>/dev/null
	isnt "b64_json: it is a picture" "not a picture" "$(picture_type "$tmp/picture")"
}
