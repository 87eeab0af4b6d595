#!/bin/sh
# test-limits.sh - what a deployment says of its limits per key, and that it keeps them
#
# Buys nothing: a request whose body is refused counts as well.  Where there is a limit a minute it is
# used up, if it is at most MOST (default 200), so nothing else goes with that key for up to a minute.
# See lib.sh.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

most=${MOST:-200}
refused='{"prompt": 1}'

post /v1/images/generations "$refused"
limit=$(header x-ratelimit-limit-requests)
left=$(header x-ratelimit-remaining-requests)

echo "# what is said"
if [ -z "$limit" ]; then
	is_error "no limit: the request is judged" 400 invalid_type prompt
	is "no limit: none is left either" "" "$left"
	i=0 odd=
	while [ "$i" -lt 30 ]; do
		post /v1/images/generations "$refused"
		[ "$status" = 400 ] || odd="$odd $status"
		i=$((i + 1))
	done
	is "no limit: thirty in a row are judged alike" "" "$odd"
else
	like "the limit is a number" '^[0-9]+$' "$limit"
	like "so is what is left" '^[0-9]+$' "$left"
	like "the time to its reset has a unit" '^([0-9]+h)?([0-9]+m)?([0-9.]+m?s)?$' "$(header x-ratelimit-reset-requests)"
	if [ "$left" -lt "$limit" ]; then ok "this one was counted"; else not_ok "this one was counted" "$left of $limit"; fi
fi

echo "# what does not spend is not counted"
before=$left
call GET /v1/models
is "the list of models: status 200" 200 "$status"
is "the list of models: nothing is said of a limit" "" "$(header x-ratelimit-limit-requests)"

if [ "$limit" ] && [ "$limit" -le "$most" ]; then
	echo "# used up"
	i=0
	while [ "$status" != 429 ] && [ "$i" -le "$limit" ]; do
		post /v1/images/generations "$refused"
		i=$((i + 1))
	done
	is_error "beyond the limit" 429 rate_limited
	if [ "$i" -ge "$before" ]; then ok "not before it was used up"; else not_ok "not before it was used up" "$i of $before"; fi
	is "beyond the limit: party" client "$(json_get party)"
	is "beyond the limit: nothing is left" 0 "$(header x-ratelimit-remaining-requests)"
	like "beyond the limit: retry-after, in seconds" '^[1-9][0-9]?$' "$(header retry-after)"
	call GET /v1/models
	is "beyond the limit: polling goes on" 200 "$status"
fi

done_testing
