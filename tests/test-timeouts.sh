#!/bin/sh
# test-timeouts.sh - the deadline of a request, as its caller sees it
#
# Asks for one picture (MODEL, default: the deployment's own) and lets two requests run into their
# deadline, so early that nothing can have been bought.  See lib.sh.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# body N - a request for so many pictures
body() {
	printf '{"prompt": "a clock", "size": "1024x1024", "n": %s%s}' "$1" "${MODEL:+, \"model\": $(json_quote "$MODEL")}"
}

# asked WISH N - a request with that deadline; sets $took, in seconds
asked() {
	start=$(date +%s)
	body "$2" >"$tmp/request"
	call POST /v1/images/generations --header 'Content-Type: application/json' \
		--header "x-easel-deadline: $1" --data-binary "@$tmp/request"
	took=$(($(date +%s) - start))
}

echo "# it passes"
for wish in 1ms 2ms; do
	asked "$wish" 10
	if [ "$took" -le 2 ]; then ok "$wish: at once"; else not_ok "$wish: at once" "$took s"; fi
	like "$wish: server-timing" 'auth;dur=[0-9.]+' "$(header server-timing)"
	if [ "$status" = 200 ]; then
		ok "$wish: a provider on this machine was as fast as that"
		continue
	fi
	is_error "$wish" 504 deadline_exceeded
	like "$wish: the message names it" '0\.00[12] s' "$(json_get message)"
	isnt "$wish: there is a hint" "" "$(json_get text)"
	is "$wish: an SDK is told not to retry" false "$(header x-should-retry)"
done

echo "# what is no duration"
for wish in soon -1s 0 10 1.5s 1y; do
	asked "$wish" 1
	is_error "'$wish'" 400 invalid_value x-easel-deadline
done

echo "# it never lengthens"
asked 9999h 1
is "a long one: status 200" 200 "$status"
isnt "a long one: there is a picture" "" "$(json_get url)$(json_get b64_json | head -c 20)"

done_testing
